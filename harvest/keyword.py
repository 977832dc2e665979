"""Search keywords: what sites find for them, downloaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import (
    GleansetError,
    Incomplete,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    UsageError,
)
from harvest.downloads import Downloader, DownloadRun
from harvest.importer import Importer, counts
from harvest.lists import checked_file, read_lines
from harvest.prefetch import closing_searches
from harvest.selection import ALL, Selection
from harvest.source_worker import SharedQueue, SourceWorker
from harvest.sources import Query, Source

STAGE = "harvest-keyword"
LIMIT = 100
# After these a source is not asked for the next keyword either: it would say the same.
FINAL_REFUSALS = (RateLimited, NeedsLogin, MissingComponent)

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
        found += [(word, own or label) for word, own in read_lines(checked_file(file))]
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
    """Return what a source is asked; the keyword is the hint unless a label is given."""
    query = Query(keyword, label or (keyword if source.hints else None), options)
    source.settings(query)
    return query


class RunCounts:
    """The numbers of one keyword or one source, and who refused in it."""

    def __init__(self) -> None:
        self.tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons: Counter[str] = Counter()
        self.refusals: list[str] = []

    def add(self, importer: Importer, error: GleansetError | None) -> None:
        """Add the numbers of one importer, and what ended its source."""
        # `+=` would drop the zeros that a result promises.
        self.tally.update(importer.tally)
        self.reasons.update(importer.reasons)
        if error is not None:
            self.refusals.append(str(error))

    def result(self) -> dict[str, object]:
        """Return the numbers with a status: 'ok', or what the first refusal said."""
        status = self.refusals[0] if self.refusals else "ok"
        return {"status": status, **counts(self.tally, self.reasons)}


class RunStats:
    """The counts of one run: in all, by keyword and by source."""

    def __init__(self) -> None:
        self.total = RunCounts()
        self.by_keyword: dict[str, RunCounts] = {}
        self.by_source: dict[str, RunCounts] = {}
        self._errors: dict[str, GleansetError] = {}
        self._ended_early: list[tuple[str, str, GleansetError]] = []

    def add(
        self,
        keyword: str,
        source: str,
        importer: Importer,
        error: GleansetError | None,
        is_short: bool,
    ) -> None:
        """Note what one source gave for one keyword, and the error that ended it.

        `is_short`: the keyword has fewer images than were asked for.
        """
        mine = self.by_source.setdefault(source, RunCounts())
        word = self.by_keyword.setdefault(keyword, RunCounts())
        for one in (self.total, mine, word):
            one.add(importer, error)
        if error is not None:
            self._errors.setdefault(source, error)
            if is_short:
                self._ended_early.append((keyword, source, error))

    def result(self) -> dict[str, object]:
        """Return the numbers of the run.

        When every source refused and nothing at all was had, the first one's error is raised: a
        refusal is never an empty result. Where a keyword lacks images and the end of a list was
        not seen, `Incomplete` is raised with the numbers.
        """
        had = any(self.total.tally.values())
        if self._errors and not had and len(self._errors) == len(self.by_source):
            raise next(iter(self._errors.values()))
        result = counts(self.total.tally, self.total.reasons)
        if not had and not self._errors:
            result["no_results"] = True
        for name, by in (("keywords", self.by_keyword), ("sources", self.by_source)):
            if len(by) > 1 or self._errors:
                result[name] = {key: one.result() for key, one in by.items()}
        raise_incomplete(self._ended_early, result)
        return result


def raise_incomplete(
    ended_early: Sequence[tuple[str, str, GleansetError]], result: dict[str, object]
) -> None:
    """Raise `Incomplete` with a result where searches (keyword, source, error) ended early."""
    if ended_early:
        keyword, source, error = ended_early[0]
        more = f", and {len(ended_early) - 1} more searches" if len(ended_early) > 1 else ""
        what = f"search incomplete: {source} {keyword!r}{more}: {error.what}"
        raise Incomplete(what, error.mend, result)


class KeywordRun:
    """Searches one keyword after another, all its sources at once, and counts for each."""

    def __init__(self, downloader: Downloader, selection: Selection, limit: int) -> None:
        self._downloader = downloader
        self._selection = selection
        self._limit = limit
        self._given_up: dict[str, GleansetError] = {}
        self.stats = RunStats()

    def search(self, search: Search) -> None:
        """Search and download. A refusal is kept; what was fetched before it stays."""
        images: set[str] = set()
        downloader = self._downloader
        workers = [
            SourceWorker(
                asked,
                downloader.client,
                self._selection,
                images,
                partial(downloader.importer, STAGE),
                downloader.wake,
            )
            for asked in search.asked
        ]
        with closing_searches(workers, downloader.client):
            going = [worker for worker in workers if worker.source.name not in self._given_up]
            queue = SharedQueue(self._limit, going, images)
            downloader.run(
                queue,
                lambda outcome: queue.places(outcome.item).take_download(outcome),
                search.keyword,
                self._limit,
                queue.progress,
            )
        for worker in workers:
            self._count(search.keyword, worker, len(images) < self._limit)

    def _count(self, keyword: str, worker: SourceWorker[Importer], is_short: bool) -> None:
        name = worker.source.name
        error = worker.results.error or self._given_up.get(name)
        if isinstance(error, FINAL_REFUSALS):
            self._given_up[name] = error
        unasked = worker.places.tally["not_asked"]
        if error is None and is_short and unasked:
            error = Incomplete(
                f"{unasked} images were not asked for, because their hosts refuse requests",
                "Try them again later with: harvest retry",
            )
        worker.places.finish()
        self.stats.add(keyword, name, worker.places, error, is_short)


def harvest_searches(
    dataset: Dataset,
    asked: Sequence[Search],
    run: DownloadRun,
    *,
    limit: int = LIMIT,
    selection: Selection = ALL,
) -> dict[str, object]:
    """Download up to `limit` distinct images for each keyword, over all its sources; the counts.

    Each source brings its equal share; one that a source cannot fill passes to the others.
    The account of each source says whether it refused; when all did and nothing at all was
    had, the first refusal is raised: it is never an empty result. Raises `Incomplete`, with the
    counts, where a keyword got less because the end of a list was not seen.
    """
    with dataset.stage(STAGE) as scratch, run.open_client() as client:
        downloader = Downloader(dataset, client, scratch, run)
        searching = KeywordRun(downloader, selection, limit)
        for search in asked:
            searching.search(search)
    return searching.stats.result()
