"""Candidates that still need a download: of a list, of one source, of several sources in turn.

A source is asked in a thread of its own, so that a slow site delays no other one.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from threading import Condition, Thread
from typing import Generic, Protocol, TypeVar

import msgspec

from gleanset.errors import GleansetError
from gleanset.plugins import answerable
from gleanset.records import Candidate, Origin
from harvest.http import Client
from harvest.http.scheduler import MAX_PENDING
from harvest.importer import VisitState
from harvest.selection import Selection
from harvest.sources import Query, Source

# Ending a search also ends its browser.
_CLOSE_SECONDS = 10.0
# Results fetched ahead of the downloads.
_MAX_READY = 500


class VisitLog(Protocol):
    """Knows and counts the places of candidates: an `Importer`, or the preview's stand-in."""

    tally: Counter[str]

    def seen(self, origin: Origin) -> VisitState:
        """Return what is known of a place; count it where it needs no download."""

    def count_repeat(self, origin: Origin) -> None:
        """Count a place that this run has just visited."""


Places = TypeVar("Places", bound=VisitLog)


class CandidateQueue(Generic[Places]):
    """The candidates that still need a download, up to `limit` distinct images.

    Known candidates count before anything behind them is begun, so that a resumed run ends with
    the same images as an uninterrupted one. For the same reason candidates that failed before are
    tried again only when the others are not enough. `images` are the distinct images met so far.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        places: Places,
        images: set[str],
        limit: int | None = None,
    ) -> None:
        self.places = places
        self.images = images
        self.limit = limit
        self._candidates = iter(candidates)
        self._failed: list[Candidate] = []
        self._ready: deque[Candidate] = deque()
        # Candidates of the same place wait for the one that is ready or under way.
        self._copies: dict[tuple[str, str], list[Candidate]] = {}
        self._waiting = 0
        self._exhausted = False
        self._pending = 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left, whatever the limit, and nothing is under way."""
        return self._exhausted and not self._ready and not self._pending

    @property
    def asking(self) -> bool:
        """Whether more may come without another candidate being settled."""
        return False

    def take(self) -> Candidate | None:
        """Return the next candidate that is needed if all those under way succeed.

        A search ends early when more images than are wanted were not requested because their
        hosts refuse.
        """
        if self.limit is not None and self.places.tally["not_asked"] > self.limit:
            self._exhausted = True
        while (missing := self._missing()) > 0 and not self._ready and not self._full:
            candidate = self._next(missing)
            if candidate is not None:
                self._sort(candidate)
            elif self._exhausted:
                self._make_ready()
            else:
                return None
        if missing <= 0 or not self._ready:
            return None
        self._pending += 1
        return self._ready.popleft()

    def settled(self, candidate: Candidate) -> None:
        """Note that the outcome of a candidate is recorded."""
        self._pending -= 1
        copies = self._copies.pop(_place(candidate))
        self._waiting -= len(copies)
        for copy in copies:
            self.places.count_repeat(copy.origin)

    def _next(self, missing: float) -> Candidate | None:
        candidate = next(self._candidates, None)
        self._exhausted = candidate is None
        return candidate

    @property
    def _full(self) -> bool:
        return self._exhausted or self._waiting >= MAX_PENDING

    def _missing(self) -> float:
        # Candidates under way count: a known one behind them waits as well.
        return math.inf if self.limit is None else self.limit - len(self.images) - self._pending

    def _sort(self, candidate: Candidate) -> None:
        seen = self.places.seen(candidate.origin)
        if seen is VisitState.AGAIN and self.limit is not None:
            self._failed.append(candidate)
        elif seen is not VisitState.KNOWN:
            self._make_ready(candidate)

    def _make_ready(self, *new: Candidate) -> None:
        for candidate in (*self._failed, *new):
            if (copies := self._copies.get(_place(candidate))) is not None:
                copies.append(candidate)
                self._waiting += 1
            else:
                self._copies[_place(candidate)] = []
                self._ready.append(candidate)
        self._failed.clear()


def _place(candidate: Candidate) -> tuple[str, str]:
    return candidate.origin.source, candidate.origin.key


class SourceImages(set[str]):
    """The images of one source; `common` are those of all sources."""

    def __init__(self, common: set[str]) -> None:
        super().__init__()
        self._common = common

    def add(self, name: str) -> None:
        """Add an image for this source and for all."""
        super().add(name)
        self._common.add(name)

    def discard(self, name: object) -> None:
        """Remove an image from both."""
        super().discard(name)
        self._common.discard(str(name))


def search_source(
    source: Source, query: Query, client: Client, skipped: Counter[str] | None = None
) -> Generator[Candidate, None, None]:
    """Yield the candidates of a source, checked; raises what the source raises.

    `skipped` counts results that the site lists and the source does not yield.
    """
    with answerable("sources", source.name):
        for offer in source.candidates(query, client, skipped):
            # A plugin may return fields of the wrong type.
            candidate = msgspec.convert(msgspec.to_builtins(offer), Candidate)
            if candidate.origin.source != source.name:
                raise ValueError(f"it gives pictures of {candidate.origin.source!r}")
            yield candidate


class SourceQueue(CandidateQueue[Places]):
    """What one source finds for a query, asked in a thread, never for more than is missing.

    `wake` is called in the thread whenever there is something new. `error` is why the end of the
    results was not seen.
    """

    def __init__(
        self,
        search: tuple[Source, Query],
        client: Client,
        selection: Selection,
        places: Places,
        images: set[str],
        wake: Callable[[], None],
    ) -> None:
        self.error: GleansetError | None = None
        self._skipped: Counter[str] = Counter()
        self._search = search_source(*search, client, self._skipped)
        super().__init__(selection.among(self._search, self._leave_out), places, images, limit=0)
        self._wake = wake
        self._arrived: deque[Candidate] = deque()
        self._wanted = 0.0
        self._over = self._closed = False
        self._bug: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="gleanset-source", daemon=True)
        self._thread.start()

    @property
    def asking(self) -> bool:
        """Whether the site is being asked for more; `wake` will be called."""
        with self._changed:
            return not self._over and len(self._arrived) < self._wanted

    def close(self) -> None:
        """End the search and count what it skipped. To interrupt it, close its client first."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)
        self.places.tally.update(self._skipped)

    def _next(self, missing: float) -> Candidate | None:
        with self._changed:
            self._wanted = min(missing, _MAX_READY)
            self._changed.notify_all()
            if self._arrived:
                self._wanted -= 1
                return self._arrived.popleft()
            if self._bug is not None:
                bug, self._bug = self._bug, None
                raise bug
            self._exhausted = self._over
            return None

    def _run(self) -> None:
        try:
            # A source may hold a browser open, which must be closed in this thread.
            with closing(self._search):
                while self._is_wanted() and (result := next(self._candidates, None)) is not None:
                    with self._changed:
                        self._arrived.append(result)
                        self._wake()
        except GleansetError as error:
            self.error = error
        except Exception as error:
            self._bug = error
        finally:
            with self._changed:
                self._over = True
                self._wake()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._arrived) < self._wanted)
            return not self._closed

    def _leave_out(self) -> None:
        self._skipped["filtered"] += 1


class SharedQueue(Generic[Places]):
    """The queues of several sources, by name, which bring `limit` images together.

    The limit of each queue is an equal part of what the ended sources leave, and of duplicates
    between sources. It only grows, by what was found and not by when. So every source goes equally
    far however fast its site is, and a resumed run ends at the same place.
    """

    def __init__(
        self, limit: int, queues: Mapping[str, CandidateQueue[Places]], images: set[str]
    ) -> None:
        self._limit = limit
        self._queues = queues
        self._images = images
        self._turns = deque(queues.values())

    @property
    def asking(self) -> bool:
        """Whether a site is being asked for more."""
        return any(queue.asking for queue in self._turns)

    def take(self) -> Candidate | None:
        """Return the next candidate that a source needs; the sources take turns."""
        before = None
        while before != (now := self._progress()):
            before = now
            for _ in self._queues:
                self._divide()
                self._turns.rotate(-1)
                if (candidate := self._turns[-1].take()) is not None:
                    return candidate
        return None

    def settled(self, candidate: Candidate) -> None:
        """Note that the outcome of a candidate is recorded."""
        self._queues[candidate.origin.source].settled(candidate)

    def places(self, candidate: Candidate) -> Places:
        """Return what counts the places of the candidate's source."""
        return self._queues[candidate.origin.source].places

    def progress(self) -> str:
        """Return the number of images of each source."""
        return ", ".join(f"{name} {len(queue.images)}" for name, queue in self._queues.items())

    def _progress(self) -> tuple[int, int]:
        queues = self._queues.values()
        return sum(len(queue.images) for queue in queues), sum(queue.ended for queue in queues)

    def _divide(self) -> None:
        queues = self._queues.values()
        duplicates = sum(len(queue.images) for queue in queues) - len(self._images)
        active = [queue for queue in queues if not queue.ended]
        left = self._limit + duplicates - sum(len(queue.images) for queue in queues if queue.ended)
        for queue, share in zip(active, split_evenly(left, len(active)), strict=True):
            queue.limit = share


def split_evenly(total: int, number: int) -> Sequence[int]:
    """Return equal whole parts; where they cannot be equal, the first ones are one larger."""
    if not number:
        return []
    share, rest = divmod(total, number)
    return [share + (index < rest) for index in range(number)]
