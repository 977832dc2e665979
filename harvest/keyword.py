"""Search keywords: what sites find for them, downloaded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import GleansetError, MissingComponent, NeedsLogin, RateLimited, UsageError
from gleanset.records import Candidate
from gleanset.work.progress import Progress
from harvest.accounts import Ledger
from harvest.http import Client
from harvest.intake import Intake, KeepBytes
from harvest.selection import ALL, Selection
from harvest.sharing import share_out
from harvest.sources import Query, Source
from harvest.urls import Download, Wanted, checked_list, fetch_wanted, read_lines

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
    keywords: Sequence[Keyword], sources: Sequence[Source],
    options: Mapping[str, Mapping[str, str]],
) -> list[Search]:  # fmt: skip
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


class Found:
    """What a source finds for one query, and the error with which it refused."""

    def __init__(self, source: Source, query: Query, client: Client) -> None:
        self._source = source
        self._query = query
        self._client = client
        self.error: GleansetError | None = None

    def results(self) -> Generator[Candidate, None, None]:
        """The candidates, in the source's order, until it ends or refuses."""
        # What a download raises is no refusal: a full disk ends the run.
        try:
            yield from self._source.candidates(self._query, self._client)
        except GleansetError as error:
            self.error = error


@dataclass(frozen=True, slots=True)
class Tools:
    """What all downloads of a run have in common."""

    dataset: Dataset
    client: Client
    download: Download
    selection: Selection
    threads: int
    progress: Progress | None


class Lane:
    """One source at work for one keyword; `images` are those of the keyword so far."""

    def __init__(self, tools: Tools, source: Source, query: Query, images: set[str]) -> None:
        self.source = source
        self._tools = tools
        self._images = images
        self._keyword = query.text
        self.found = Found(source, query, tools.client)
        self.intake = Intake(tools.dataset, STAGE, images)
        self._results = self.found.results()
        chosen = tools.selection.among(self._results, self._left_out)
        self._wanted = Wanted(chosen, self.intake, images, 0)

    @property
    def ended(self) -> bool:
        """Whether the source has nothing more for this keyword."""
        return self._wanted.ended

    def advance(self, share: int) -> None:
        """Download until `share` more distinct images of the keyword are there."""
        self._wanted.limit = len(self._images) + share
        fetch_wanted(
            self._wanted, self.intake, self._tools.download, threads=self._tools.threads,
            progress=self._tools.progress, what=f"{self.source.name}: {self._keyword}",
            total=share,
        )  # fmt: skip

    def close(self) -> None:
        """End the search: a source may hold a browser open."""
        self._results.close()

    def _left_out(self) -> None:
        self.intake.tally["filtered"] += 1


class Run:
    """Searches one keyword after another, and keeps account of each."""

    def __init__(self, tools: Tools, limit: int) -> None:
        self._tools = tools
        self._limit = limit
        self._given_up: dict[str, GleansetError] = {}
        self.ledger = Ledger()

    def search(self, search: Search) -> None:
        """Search and download. A refusal is kept; what was fetched before it stays."""
        images: set[str] = set()
        with ExitStack() as open_lanes:
            lanes = [
                open_lanes.enter_context(closing(Lane(self._tools, source, query, images)))
                for source, query in search.asked
            ]
            asked = [lane for lane in lanes if lane.source.name not in self._given_up]
            share_out(self._limit, asked, lambda: len(images))
        for lane in lanes:
            self._enter(search.keyword, lane)

    def _enter(self, keyword: str, lane: Lane) -> None:
        name = lane.source.name
        error = lane.found.error or self._given_up.get(name)
        if isinstance(error, _FINAL):
            self._given_up[name] = error
        self.ledger.enter(keyword, name, lane.intake, error)


def harvest_searches(
    dataset: Dataset, asked: Sequence[Search], open_client: Callable[[], Client], *,
    limit: int = LIMIT, selection: Selection = ALL, threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Download up to `limit` distinct images for each keyword, over all its sources; the counts.

    Each source brings its equal share; one that a source cannot fill passes to the others.
    The account of each source says whether it refused; when all did and nothing at all was
    had, the first refusal is raised: it is never an empty result.
    """
    with dataset.stage(STAGE) as scratch, open_client() as client:
        download = Download(client, KeepBytes(dataset.originals(scratch)))
        number = threads or dataset.settings.net.threads
        run = Run(Tools(dataset, client, download, selection, number, progress), limit)
        for search in asked:
            run.search(search)
    return run.ledger.result()


def harvest_keywords(
    dataset: Dataset, source: Source, asked: Sequence[Query],
    open_client: Callable[[], Client], *, limit: int = LIMIT, threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """The same for queries to one source."""
    return harvest_searches(
        dataset, [Search(query.text, ((source, query),)) for query in asked], open_client,
        limit=limit, threads=threads, progress=progress,
    )  # fmt: skip
