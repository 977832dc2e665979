"""Search keywords: what sites find for them, downloaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from gleanset import Dataset
from gleanset.errors import (
    GleansetError,
    Incomplete,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    UsageError,
)
from harvest.candidates import Places, SharedQueue, SourceImages, SourceQueue
from harvest.downloads import Downloader, DownloadRun
from harvest.http import Client
from harvest.importer import Importer, counts
from harvest.lists import check_file_exists, read_lines
from harvest.selection import ALL, Selection
from harvest.sources import Query, Source

STAGE = "harvest-keyword"
LIMIT = 100
# After these a source is not asked for the next keyword either: it would say the same.
FINAL_ERRORS = (RateLimited, NeedsLogin, MissingComponent)

Keyword = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Search:
    """One keyword, and what each source is asked for it."""

    keyword: str
    asked: tuple[tuple[Source, Query], ...]


def read_keywords(
    keywords: Sequence[Keyword], file: Path | None, label: str | None
) -> list[Keyword]:
    """Return keywords with their labels: those given, then those of a file, each once.

    One a line; a tab and a label may follow, else it has `label`; `#` begins a comment. Raises
    `InputUnusable` for a file that is not there or may not be read, `UsageError` when there is no
    keyword at all.
    """
    found: list[Keyword] = [(word.strip(), own) for word, own in keywords if word.strip()]
    if file is not None:
        found += [(word, own or label) for word, own in read_lines(check_file_exists(file))]
    if not found:
        raise UsageError("there is no keyword", "name some, or a file of them with -i FILE")
    return list(dict.fromkeys(found))


def searches(
    keywords: Sequence[Keyword],
    sources: Sequence[Source],
    options: Mapping[str, Mapping[str, str]],
) -> list[Search]:
    """Return every keyword for every source, with the options of each.

    Raises `UsageError` for an option that a source does not have, before any request.
    """
    return [
        Search(
            word,
            tuple(
                (site, _query(word, label, options.get(site.name, {}), site)) for site in sources
            ),
        )
        for word, label in keywords
    ]


def _query(keyword: str, label: str | None, options: Mapping[str, str], source: Source) -> Query:
    query = Query(keyword, label or (keyword if source.hints else None), options)
    source.settings(query)
    return query


@dataclass(frozen=True, slots=True)
class SearchResult(Generic[Places]):
    """One source after one keyword: `error` ended it, `is_short`: the keyword lacks images."""

    keyword: str
    source: str
    places: Places
    error: GleansetError | None
    is_short: bool


OpenQueue = Callable[[tuple[Source, Query], set[str]], SourceQueue[Places]]


def run_searches(
    searches: Iterable[Search],
    limit: int,
    client: Client,
    open_queue: OpenQueue[Places],
    drive: Callable[[SharedQueue[Places], str], None],
) -> Iterator[SearchResult[Places]]:
    """Search keywords one after another, all sources of one together; yield how each ended.

    `open_queue` begins to ask a source, whose images go into a set; `drive` takes the candidates
    of a keyword.
    """
    given_up: dict[str, GleansetError] = {}
    for search in searches:
        images: set[str] = set()
        queues = {pair[0].name: open_queue(pair, SourceImages(images)) for pair in search.asked}
        active = {name: queue for name, queue in queues.items() if name not in given_up}
        try:
            drive(SharedQueue(limit, active, images), search.keyword)
        except BaseException:
            # Ends what the sources wait for.
            client.close()
            raise
        finally:
            for queue in queues.values():
                queue.close()
        is_short = len(images) < limit
        for name, queue in queues.items():
            error = queue.error or given_up.get(name)
            if isinstance(error, FINAL_ERRORS):
                given_up[name] = error
            unasked = queue.places.tally["not_asked"]
            if error is None and is_short and unasked:
                error = Incomplete(
                    f"{unasked} images were not asked for, because their hosts refuse requests",
                    "Try them again later with: harvest retry",
                )
            yield SearchResult(search.keyword, name, queue.places, error, is_short)


def summarize_run(ends: Sequence[SearchResult[Importer]]) -> dict[str, object]:
    """Return the counts of a run, by keyword and source where there are several.

    When every source refused and nothing was found, the first error is raised: a refusal is never
    an empty result. Raises `Incomplete`, with the counts, where a keyword lacks images because the
    end of a list was not seen.
    """
    errors = first_errors_by_source(ends)
    result = _counts(ends)
    had = any(n for end in ends for n in end.places.tally.values())
    raise_if_all_refused(errors, ends, had=had)
    if not had and not errors:
        result["no_results"] = True
    for name, key in (("keywords", "keyword"), ("sources", "source")):
        values = dict.fromkeys(getattr(end, key) for end in ends)
        if len(values) > 1 or errors:
            result[name] = {
                value: _counts([end for end in ends if getattr(end, key) == value], status=True)
                for value in values
            }
    raise_if_incomplete(ends, result)
    return result


def _counts(ends: Sequence[SearchResult[Importer]], *, status: bool = False) -> dict[str, object]:
    tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
    reasons: Counter[str] = Counter()
    for end in ends:
        tally.update(end.places.tally)
        reasons.update(end.places.reasons)
    errors = [str(end.error) for end in ends if end.error is not None]
    return ({"status": (errors or ["ok"])[0]} if status else {}) | counts(tally, reasons)


def first_errors_by_source(ends: Sequence[SearchResult[Places]]) -> dict[str, GleansetError]:
    """Return the first error of each source that had one."""
    errors: dict[str, GleansetError] = {}
    for end in ends:
        if end.error is not None:
            errors.setdefault(end.source, end.error)
    return errors


def raise_if_all_refused(
    errors: Mapping[str, GleansetError], ends: Sequence[SearchResult[Places]], *, had: bool
) -> None:
    """Raise the first error where all sources refused and nothing was had."""
    if not had and errors and errors.keys() == {end.source for end in ends}:
        raise next(iter(errors.values()))


def raise_if_incomplete(ends: Sequence[SearchResult[Places]], result: dict[str, object]) -> None:
    """Raise `Incomplete` with a result where searches that lack images ended in an error."""
    incomplete = [(end, end.error) for end in ends if end.error is not None and end.is_short]
    if incomplete:
        end, error = incomplete[0]
        more = f", and {len(incomplete) - 1} more searches" if len(incomplete) > 1 else ""
        what = f"search incomplete: {end.source} {end.keyword!r}{more}: {error.what}"
        raise Incomplete(what, error.fix, result)


def harvest_searches(
    dataset: Dataset,
    asked: Sequence[Search],
    run: DownloadRun,
    *,
    limit: int = LIMIT,
    selection: Selection = ALL,
) -> dict[str, object]:
    """Download up to `limit` distinct images for each keyword, over all its sources; the counts.

    Each source brings an equal share; what it cannot fill passes to the others. Raises as
    `summarize_run`.
    """
    ends: list[SearchResult[Importer]] = []
    with dataset.stage(STAGE) as scratch, run.open_client() as client:
        downloader = Downloader(dataset, client, scratch, run)

        def open_queue(pair: tuple[Source, Query], images: set[str]) -> SourceQueue[Importer]:
            importer = downloader.importer(STAGE, images)
            return SourceQueue(pair, client, selection, importer, images, downloader.wake)

        def download(queue: SharedQueue[Importer], keyword: str) -> None:
            downloader.run(
                queue,
                lambda outcome: queue.places(outcome.item).record_download(outcome),
                keyword,
                limit,
                queue.progress,
            )

        for end in run_searches(asked, limit, client, open_queue, download):
            end.places.finish()
            ends.append(end)
    return summarize_run(ends)
