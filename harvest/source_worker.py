"""Sources at work for one keyword: what each finds is downloaded until its share is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Sized
from typing import Generic, Protocol, TypeVar

from gleanset.records import Candidate
from harvest.downloads import CandidateQueue, KnownPlaces
from harvest.http import Client
from harvest.prefetch import Prefetch, SourceResults
from harvest.selection import Selection
from harvest.sources import Query, Source

Item = TypeVar("Item")
Given = TypeVar("Given", covariant=True)


class ImagesFound(set[str]):
    """What one source has found; `common` is what all of them have."""

    def __init__(self, common: set[str]) -> None:
        super().__init__()
        self._common = common

    def add(self, name: str) -> None:
        """Note it for this source and for all."""
        super().add(name)
        self._common.add(name)

    def discard(self, name: object) -> None:
        """Take it back."""
        super().discard(name)
        self._common.discard(str(name))


class Sharer(Protocol[Given]):
    """One source at work for one keyword, all in one thread but for the site that it asks."""

    share: int

    @property
    def brought(self) -> Sized:
        """What it has found so far, known or new."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be found."""

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""

    def take(self) -> Given | None:
        """Return the next one that its share needs; None where there is none, or none for now."""


class FairShare(Generic[Item]):
    """Sources that work at the same time and bring `limit` together; `common` is what they found.

    A share is an equal part of what the ended sources leave of the limit, and of what several
    found alike. It only grows, by what was found and not by when; a source goes through its own
    results in order until its share is there. So in the end each source has gone equally far
    whichever site was the quicker, and a run that is taken up again is at the same place.
    """

    def __init__(self, limit: int, sources: Sequence[Sharer[Item]], common: Sized) -> None:
        self._limit = limit
        self._sources = sources
        self._common = common
        self._turns = deque(sources)

    @property
    def asking(self) -> bool:
        """Whether a site is being asked for more."""
        return any(source.busy for source in self._sources)

    def take(self) -> Item | None:
        """Return the next one that any source needs; the sources take turns."""
        before = None
        while before != (now := self._progress()):
            before = now
            for _ in self._sources:
                self._divide()
                self._turns.rotate(-1)
                if (item := self._turns[-1].take()) is not None:
                    return item
        return None

    def _progress(self) -> tuple[int, int]:
        return self._found_by(self._sources), sum(source.ended for source in self._sources)

    def _found_by(self, sources: Sequence[Sharer[Item]]) -> int:
        return sum(len(source.brought) for source in sources)

    def _divide(self) -> None:
        alike = self._found_by(self._sources) - len(self._common)
        ended = [source for source in self._sources if source.ended]
        going = [source for source in self._sources if not source.ended]
        left = self._limit + alike - self._found_by(ended)
        for source, share in zip(going, equal_shares(left, len(going)), strict=True):
            source.share = share


def equal_shares(total: int, among: int) -> list[int]:
    """Return equal whole parts; where they cannot be equal, the first ones are one larger."""
    if not among:
        return []
    each, rest = divmod(total, among)
    return [each + (number < rest) for number in range(among)]


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
        # Counted in the source's thread, so they join the others only now.
        self.places.tally.update(self.results.skipped)

    def _leave_out(self) -> None:
        self.results.skipped["filtered"] += 1


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
