"""Keyword searches: what sites find for keywords, downloaded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import (
    GleansetError,
    Incomplete,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    UsageError,
)
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from harvest.candidates import SharedQueue, SourceQueue
from harvest.downloads import (
    KEYWORD_STAGE,
    Downloader,
    DownloadRun,
    SimulatedDownloader,
)
from harvest.importer import Importer
from harvest.lists import check_file_exists, read_lines
from harvest.result_filter import ResultFilter
from harvest.results import OK, HarvestCounts, merge_results
from harvest.sources import Query, Source

DEFAULT_LIMIT = 100
# After these errors a source is not asked for the next keyword: it would fail again.
FINAL_ERRORS = (RateLimited, NeedsLogin, MissingComponent)

Keyword = tuple[str, str | None]


class Search(NamedTuple):
    """One keyword, with the query for each source."""

    keyword: str
    queries: tuple[tuple[Source, Query], ...]


def read_keywords(
    keywords: Sequence[Keyword],
    file: Path | None,
    label: str | None,
    encoding: str | None,
) -> list[Keyword]:
    """Return the given keywords with their labels, then those of a file, without repeats.

    The file has one keyword a line, optionally followed by a tab and a label; `#` begins a comment.
    Keywords without a label get `label`. Raises `InputUnusable` for a file that cannot be read,
    `UsageError` without any keyword.
    """
    words = [(word.strip(), hint) for word, hint in keywords if word.strip()]
    if file:
        words += read_lines(check_file_exists(file), encoding)

    if not words:
        raise UsageError(
            "there is no keyword", "name some, or a file of them with -i FILE"
        )
    return list(dict.fromkeys((word, hint or label) for word, hint in words))


def plan_searches(
    keywords: Sequence[Keyword],
    sources: Sequence[Source],
    options: Mapping[str, Mapping[str, str]],
) -> list[Search]:
    """Return the searches of every keyword on every source, with the options of each source.

    Raises `UsageError` for an unknown option, before any request.
    """
    searches = []
    for word, label in keywords:
        queries = []
        for source in sources:
            hint = label or (word if source.hints else None)
            query = Query(word, hint, options.get(source.name, {}))
            source.settings(query)  # raises for unknown options
            queries.append((source, query))
        searches.append(Search(word, tuple(queries)))
    return searches


class SearchOutcome(NamedTuple):
    """One source after one keyword: `error` ended it; `is_short`: the keyword lacks images."""

    keyword: str
    source: str
    visits: Importer
    error: GleansetError | None
    is_short: bool


def summarize_run(results: Sequence[SearchOutcome]) -> HarvestCounts:
    """Return the counts of a run, by keyword and source where there are several.

    When every source failed and nothing was found, the first error is raised: a refusal is never
    an empty result. Raises `Incomplete`, with the counts, where a keyword lacks images because a
    search did not reach the end of its results.
    """
    summary = _merge_outcomes(results)
    has_results = any(result.visits.tally.total() for result in results)
    errors = [(result, result.error) for result in results if result.error]
    if not has_results and not errors:
        summary.no_results = True
    elif not has_results:
        sources_with_error = {result.source for result, _ in errors}
        if sources_with_error == {result.source for result in results}:
            _, first_error = errors[0]
            raise first_error

    by_keyword = _group_outcomes(results, "keyword")
    by_source = _group_outcomes(results, "source")
    if len(by_keyword) > 1 or errors:
        summary.keywords = by_keyword
    if len(by_source) > 1 or errors:
        summary.sources = by_source

    incomplete = [(result, error) for result, error in errors if result.is_short]
    if incomplete:
        first, error = incomplete[0]
        searches = f"{first.source} {first.keyword!r}"
        if len(incomplete) > 1:
            searches += f", and {len(incomplete) - 1} more searches"
        raise Incomplete(
            f"search incomplete: {searches}: {error.what}", error.fix, summary
        )
    return summary


def _merge_outcomes(results: Sequence[SearchOutcome]) -> HarvestCounts:
    return merge_results([result.visits.result() for result in results])


def _group_outcomes(
    results: Sequence[SearchOutcome], key: str
) -> dict[str, HarvestCounts]:
    """Return the counts and the status of each keyword or source."""
    groups = defaultdict[str, list[SearchOutcome]](list)
    for result in results:
        groups[getattr(result, key)].append(result)

    parts = {}
    for name, members in groups.items():
        part = _merge_outcomes(members)
        errors = [str(member.error) for member in members if member.error]
        part.status = errors[0] if errors else OK
        parts[name] = part
    return parts


def harvest_searches(
    dataset: Dataset,
    searches: Sequence[Search],
    run: DownloadRun,
    *,
    limit: int,
    condition: ResultFilter | None = None,
) -> HarvestCounts:
    """Download up to `limit` distinct images for each keyword, over all its sources.

    All sources of a keyword are searched together. Each brings an equal share; what it cannot fill
    passes to the others. Only results that meet the condition are used. Returns and raises as
    `summarize_run`.
    """
    results: list[SearchOutcome] = []
    final_errors: dict[str, GleansetError] = {}
    with run.open(dataset, KEYWORD_STAGE) as downloader:
        for search in searches:
            results += _run_search(downloader, search, limit, condition, final_errors)
    return summarize_run(results)


def _run_search(
    downloader: Downloader | SimulatedDownloader,
    search: Search,
    limit: int,
    condition: ResultFilter | None,
    final_errors: dict[str, GleansetError],
) -> Iterator[SearchOutcome]:
    """Search for one keyword and download; yield how it ended for each source.

    `final_errors` are those of sources that are not asked again, by name; more are added.
    """
    images = set[str]()
    queues: dict[str, SourceQueue] = {}
    for source, query in search.queries:
        own_images = set[str]()
        importer = downloader.importer(own_images, images)
        queues[source.name] = SourceQueue(
            (source, query),
            downloader.client,
            condition,
            importer,
            own_images,
            downloader.wake,
        )

    def record(outcome: Outcome[Candidate, Measured]) -> bool:
        return queues[outcome.item.origin.source].visits.record_download(outcome)

    # The others have a queue only for their outcome: nothing is searched.
    active = {name: queue for name, queue in queues.items() if name not in final_errors}
    shared_queue = SharedQueue(limit, active, images)
    note = shared_queue.describe_progress
    try:
        downloader.run(shared_queue, record, search.keyword, note)
    except BaseException:
        # Interrupts the sources, which may be waiting.
        downloader.client.close()
        raise
    finally:
        for queue in queues.values():
            queue.close()

    is_short = len(images) < limit
    for name, queue in queues.items():
        queue.visits.finish()
        error = queue.error or final_errors.get(name)
        if isinstance(error, FINAL_ERRORS):
            final_errors[name] = error
        count = queue.visits.tally["not_asked"]
        if not error and is_short and count:
            problem = f"{count} images were not requested: their hosts refuse requests"
            error = Incomplete(problem, "try them again later: harvest retry")
        yield SearchOutcome(
            search.keyword,
            name,
            queue.visits,
            error,
            is_short,
        )
