"""Search keywords: what sites find for them, downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import GleansetError, MissingComponent, NeedsLogin, RateLimited, UsageError
from harvest.downloads import Downloader, DownloadRun
from harvest.fair_share import FairShare, ImagesFound
from harvest.lists import checked_file, read_lines
from harvest.prefetch import SourceResults, closing_searches
from harvest.run_stats import RunStats
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
        workers = [self._worker(asked, images) for asked in search.asked]
        with closing_searches(workers, self._downloader.client):
            self._download(search.keyword, workers, images)
        for worker in workers:
            self._count(search.keyword, worker)

    def _worker(self, asked: tuple[Source, Query], images: set[str]) -> SourceWorker:
        found = ImagesFound(images)
        importer = self._downloader.importer(STAGE, found)
        results = SourceResults(*asked, self._downloader.client)
        wake = self._downloader.wake
        return SourceWorker(asked[0], results, self._selection, importer, found, wake)

    def _download(self, keyword: str, workers: Sequence[SourceWorker], images: set[str]) -> None:
        asked = [worker for worker in workers if worker.source.name not in self._given_up]
        queue = SharedQueue(FairShare(self._limit, asked, images), asked)
        self._downloader.run(queue, queue.record, keyword, self._limit, queue.progress)

    def _count(self, keyword: str, worker: SourceWorker) -> None:
        name = worker.source.name
        error = worker.results.error or self._given_up.get(name)
        if isinstance(error, FINAL_REFUSALS):
            self._given_up[name] = error
        worker.importer.finish()
        self.stats.add(keyword, name, worker.importer, error)


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
    had, the first refusal is raised: it is never an empty result.
    """
    with dataset.stage(STAGE) as scratch, run.open_client() as client:
        downloader = Downloader(dataset, client, scratch, run)
        searching = KeywordRun(downloader, selection, limit)
        with downloader.on_nodes():
            for search in asked:
                searching.search(search)
    return searching.stats.result()
