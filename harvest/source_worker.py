"""Sources at work for one keyword: what each finds is downloaded until its share is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gleanset.records import Candidate
from harvest.downloads import CandidateQueue, KnownPlaces
from harvest.fair_share import FairShare, ImagesFound
from harvest.http import Client
from harvest.prefetch import Prefetch, SourceResults
from harvest.selection import Selection
from harvest.sources import Query, Source

Places = TypeVar("Places", bound=KnownPlaces)


class SourceWorker(Generic[Places]):
    """One source at work for one keyword; `wake` is called when its site has given something.

    `images` are those of all sources of the keyword. `places` makes what knows and counts the
    places of this one, from the set that takes up the images it brings.
    """

    def __init__(
        self,
        asked: tuple[Source, Query],
        client: Client,
        selection: Selection,
        images: set[str],
        places: Callable[[set[str]], Places],
        wake: Callable[[], None],
    ) -> None:
        self.source = asked[0]
        self.results = SourceResults(*asked, client)
        self.brought = ImagesFound(images)
        self.places = places(self.brought)
        self._filtered = 0
        search = self.results.search()
        self._prefetch = Prefetch(search, selection.among(search, self._leave_out), wake)
        self._queue = CandidateQueue(self._prefetch, self.places, self.brought, limit=0)

    @property
    def share(self) -> int:
        """How many images it is to bring."""
        return self._queue.limit or 0

    @share.setter
    def share(self, images: int) -> None:
        self._queue.limit = images

    @property
    def ended(self) -> bool:
        """Whether the source has nothing more for this keyword, and nothing is under way."""
        return self._queue.ended

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""
        return self._queue.asking

    def take(self) -> Candidate | None:
        """Return the next candidate that its share needs, None where there is none now."""
        return self._queue.take()

    def settled(self, candidate: Candidate) -> None:
        """Note that what became of one candidate is recorded."""
        self._queue.settled(candidate)

    def close(self) -> None:
        """End the search: a source may hold a browser open."""
        self._prefetch.close()
        # Counted in the source's thread, so it joins the others only now.
        if self._filtered:
            self.places.tally["filtered"] = self._filtered

    def _leave_out(self) -> None:
        self._filtered += 1


class SharedQueue(FairShare[Candidate], Generic[Places]):
    """The downloads of all sources of a keyword, as one queue for the scheduler.

    They bring `limit` images together, of which `images` are there.
    """

    def __init__(
        self, limit: int, workers: Sequence[SourceWorker[Places]], images: set[str]
    ) -> None:
        super().__init__(limit, workers, images)
        self._workers = {worker.source.name: worker for worker in workers}

    def settled(self, candidate: Candidate) -> None:
        """Note that what became of one candidate is recorded."""
        self._workers[candidate.origin.source].settled(candidate)

    def places(self, candidate: Candidate) -> Places:
        """Return what counts the places of the source of a candidate."""
        return self._workers[candidate.origin.source].places

    def progress(self) -> str:
        """Return how many images each source has brought."""
        return ", ".join(f"{name} {len(worker.brought)}" for name, worker in self._workers.items())
