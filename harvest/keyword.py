"""Search keywords: what sites find for them, downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import GleansetError, MissingComponent, NeedsLogin, RateLimited, UsageError
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome, Threads
from gleanset.work.progress import Progress
from harvest.fair_share import FairShare
from harvest.http import Client
from harvest.http.supply import Bell
from harvest.http.turns import in_turns
from harvest.importer import Importer
from harvest.prefetch import closing_searches
from harvest.run_stats import RunStats
from harvest.selection import ALL, Selection
from harvest.source_worker import SourceWorker
from harvest.sources import Query, Source
from harvest.urls import Download, checked_list, read_lines, written

STAGE = "harvest-keyword"
LIMIT = 100
# After these a source is not asked for the next keyword either: it would say the same.
_FINAL = (RateLimited, NeedsLogin, MissingComponent)

Keyword = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Search:
    """One keyword, and what each source is asked for it."""

    keyword: str
    asked: tuple[tuple[Source, Query], ...]


def read_keywords(words: Sequence[str], file: Path | None, label: str | None) -> list[Keyword]:
    """Keywords with their labels: those given, then those of a file, each once.

    One a line; a tab and a label may follow; `#` begins a comment. Raises `InputUnusable` for
    a file that is not there or may not be read, `UsageError` when there is no keyword at all.
    """
    found: list[Keyword] = [(word.strip(), label) for word in words if word.strip()]
    if file is not None:
        found += read_lines(checked_list(file), label)
    if not found:
        raise UsageError("there is no keyword", "name some, or a file of them with -i FILE")
    return list(dict.fromkeys(found))


def searches(
    keywords: Sequence[Keyword],
    sources: Sequence[Source],
    options: Mapping[str, Mapping[str, str]],
) -> list[Search]:
    """Every keyword for every source, with the options of each.

    Raises `UsageError` for an option that a source does not have, before any request.
    """
    return [
        Search(
            word,
            tuple(
                (site, query)
                for site in sources
                for query in queries([word], label, options.get(site.name, {}), site)
            ),
        )
        for word, label in keywords
    ]


def queries(
    keywords: Sequence[str], label: str | None, options: Mapping[str, str], source: Source
) -> list[Query]:
    """One query a keyword; the keyword is the hint unless a label is given.

    Raises `UsageError` for an option that the source does not have, before any request.
    """
    made = [Query(word, label or (word if source.hints else None), options) for word in keywords]
    for query in made:
        source.settings(query)
    return made


@dataclass(frozen=True, slots=True)
class Tools:
    """What all downloads of a run have in common."""

    dataset: Dataset
    client: Client
    download: Download
    selection: Selection
    threads: int
    progress: Progress | None

    def intake(self, met: set[str]) -> Importer:
        """A new one for one source, which notes the images that it met."""
        return Importer(self.dataset, STAGE, self.download.store, met)


class Run:
    """Searches one keyword after another, and keeps account of each."""

    def __init__(self, tools: Tools, limit: int) -> None:
        self._tools = tools
        self._limit = limit
        self._given_up: dict[str, GleansetError] = {}
        self.ledger = RunStats()

    def search(self, search: Search) -> None:
        """Search and download, all sources at once.

        A refusal is kept; what was fetched before it stays.
        """
        images: set[str] = set()
        bell = Bell()
        lanes = [self._lane(asked, images, bell) for asked in search.asked]
        with closing_searches(lanes, self._tools.client):
            self._fetch(search.keyword, lanes, images, bell)
        for lane in lanes:
            self._enter(search.keyword, lane)

    def _lane(self, asked: tuple[Source, Query], images: set[str], bell: Bell) -> SourceWorker:
        tools = self._tools
        return SourceWorker(asked, tools.intake, tools.client, tools.selection, images, bell.ring)

    def _fetch(
        self, keyword: str, lanes: Sequence[SourceWorker], images: set[str], bell: Bell
    ) -> None:
        tools = self._tools
        asked = [lane for lane in lanes if lane.source.name not in self._given_up]
        supply = _Supply(FairShare(self._limit, asked, images), asked)
        threads = Threads(tools.threads, stop=tools.download.stop)
        batches = in_turns(tools.download, supply, threads, tools.client, bell)
        progress = tools.progress or Progress()
        with closing(batches):
            for batch in progress.batches(batches, keyword, self._limit, note=supply.counts):
                with tools.dataset.db.write():
                    supply.record(batch)

    def _enter(self, keyword: str, lane: SourceWorker) -> None:
        name = lane.source.name
        error = lane.found.error or self._given_up.get(name)
        if isinstance(error, _FINAL):
            self._given_up[name] = error
        lane.intake.finish()
        self.ledger.enter(keyword, name, lane.intake, error)


class _Supply:
    """What the lanes of a keyword want, and what became of it."""

    def __init__(self, shared: FairShare[Candidate], lanes: Sequence[SourceWorker]) -> None:
        self._shared = shared
        self._lanes = {lane.source.name: lane for lane in lanes}

    @property
    def asking(self) -> bool:
        return self._shared.asking

    def take(self) -> Candidate | None:
        return self._shared.take()

    def settled(self, candidate: Candidate) -> None:
        self._lanes[candidate.origin.source].settled()

    def record(self, batch: Iterable[Outcome[Candidate, Measured]]) -> None:
        for outcome in batch:
            origin = outcome.item.origin
            told = None if outcome.result else written(outcome.item)
            self._lanes[origin.source].intake.take(origin, outcome, candidate=told)

    def counts(self) -> str:
        """How many images each source has brought."""
        return ", ".join(f"{name} {len(lane.met)}" for name, lane in self._lanes.items())


def harvest_searches(
    dataset: Dataset,
    asked: Sequence[Search],
    open_client: Callable[[], Client],
    *,
    limit: int = LIMIT,
    selection: Selection = ALL,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Download up to `limit` distinct images for each keyword, over all its sources; the counts.

    Each source brings its equal share; one that a source cannot fill passes to the others.
    The account of each source says whether it refused; when all did and nothing at all was
    had, the first refusal is raised: it is never an empty result.
    """
    with dataset.stage(STAGE) as scratch, open_client() as client:
        download = Download(client, StageBytes(dataset.originals(scratch)))
        number = threads or dataset.settings.net.threads
        run = Run(Tools(dataset, client, download, selection, number, progress), limit)
        for search in asked:
            run.search(search)
    return run.ledger.result()


def harvest_keywords(
    dataset: Dataset,
    source: Source,
    asked: Sequence[Query],
    open_client: Callable[[], Client],
    *,
    limit: int = LIMIT,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """The same for queries to one source."""
    return harvest_searches(
        dataset,
        [Search(query.text, ((source, query),)) for query in asked],
        open_client,
        limit=limit,
        threads=threads,
        progress=progress,
    )
