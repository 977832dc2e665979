"""One source at work for one keyword: what it finds, and what is still wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Generator

from gleanset.errors import GleansetError
from gleanset.records import Candidate
from harvest.fair_share import MetBySource
from harvest.http import Client
from harvest.importer import Importer
from harvest.prefetch import Prefetch
from harvest.selection import Selection
from harvest.sources import Query, Source
from harvest.urls import Wanted


class SourceResults:
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


class _Coming(Wanted):
    """What is wanted of a search that is under way: some of it is not there yet."""

    def __init__(self, asked: Prefetch, intake: Importer, images: set[str]) -> None:
        super().__init__((), intake, images, 0)
        self._asked = asked
        self._missing = 0

    def take(self, missing: int) -> Candidate | None:
        """The next one, if one of the `missing` is there."""
        self._missing = missing
        return self._ready.popleft() if self._look() and self._missing > 0 else None

    def _look(self) -> bool:
        # In their order: a known one behind those that are under way waits as well.
        while self._missing > 0 and not (self._full() or self._ready or self._exhausted):
            candidate = self._asked.poll(self._missing)
            if candidate is not None:
                self._meet(candidate)
            elif self._asked.ended:
                self._exhausted = True
                self._make_ready()
            else:
                return False
        return bool(self._ready) and not self._full()

    def _meet(self, candidate: Candidate) -> None:
        before = len(self._images)
        self._sort(candidate)
        self._missing -= len(self._images) - before


class SourceWorker:
    """One source at work for one keyword; `common` are the images of the keyword so far."""

    def __init__(
        self,
        asked: tuple[Source, Query],
        open_intake: Callable[[MetBySource], Importer],
        client: Client,
        selection: Selection,
        common: set[str],
        ring: Callable[[], None],
    ) -> None:
        self.source, query = asked
        self.share = 0
        self.met = MetBySource(common)
        self.found = SourceResults(self.source, query, client)
        self.intake = open_intake(self.met)
        self._filtered = 0
        search = self.found.results()
        self._asked = Prefetch(search, selection.among(search, self._leave_out), ring)
        self._wanted = _Coming(self._asked, self.intake, self.met)
        self._pending = 0

    @property
    def ended(self) -> bool:
        """Whether the source has nothing more for this keyword, and nothing is under way."""
        return self._wanted.ended and not self._pending

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""
        return self._asked.busy

    def take(self) -> Candidate | None:
        """The next candidate that its share wants."""
        self._wanted.limit = self.share
        candidate = self._wanted.take(self.share - len(self.met) - self._pending)
        self._pending += candidate is not None
        return candidate

    def settled(self) -> None:
        """What became of one candidate is recorded."""
        self._pending -= 1

    def close(self) -> None:
        """End the search: a source may hold a browser open."""
        self._asked.close()
        # Counted in the source's thread, so it joins the others only now.
        if self._filtered:
            self.intake.tally["filtered"] = self._filtered

    def _leave_out(self) -> None:
        self._filtered += 1
