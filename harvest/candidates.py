"""Candidates that still need a download, from a list, one source, or several sources in turn.

Each source is asked in its own thread, so that a slow site does not delay the others.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from queue import Empty, SimpleQueue
from threading import Thread

import msgspec

from gleanset.errors import GleansetError
from gleanset.plugins import attribute_errors
from gleanset.records import Candidate
from harvest.http import Client
from harvest.http.scheduler import MAX_PENDING, JobQueue
from harvest.importer import Importer
from harvest.result_filter import ResultFilter
from harvest.sources import Query, Source

# Ending a search also ends its browser.
_CLOSE_TIMEOUT_SECONDS = 10.0


class CandidateQueue(JobQueue):
    """The candidates that still need a download, up to `limit` distinct images.

    Known candidates count before anything behind them is started, so that a resumed run ends with
    the same images as an uninterrupted one. For the same reason candidates that failed before are
    tried only when the others do not suffice. `images` are the distinct images so far.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        visits: Importer,
        images: set[str],
        limit: int | None,
    ):
        super().__init__(candidates)
        self.visits = visits
        self.images = images
        self.limit = limit
        self._failed: list[Candidate] = []
        self._ready = deque[Candidate]()
        # For each item that is ready or under way, further candidates of the same item: they are
        # counted as repeats when it is settled.
        self._repeats: dict[tuple[str, str], list[Candidate]] = {}
        self._repeat_count = 0
        self._is_exhausted = False
        self._pending_count = 0

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left, whatever the limit, and nothing is under way."""
        return self._is_exhausted and not self._ready and not self._pending_count

    def pop_candidate(self) -> Candidate | None:
        """Return the next candidate that is needed if all those under way succeed.

        A search ends early when more images than the limit were not requested because their
        hosts refuse.
        """
        if self.limit is not None and self.visits.tally["not_asked"] > self.limit:
            self._is_exhausted = True
        while self._count_missing() > 0 and not self._ready and not self._is_full():
            candidate = self._next()
            if candidate:
                self._classify(candidate)
            elif self._is_exhausted:
                self._make_failed_ready()
            else:
                return None  # a source is still searching

        if self._count_missing() <= 0 or not self._ready:
            return None
        self._pending_count += 1
        return self._ready.popleft()

    def mark_settled(self, candidate: Candidate) -> None:
        """Note that the outcome of a candidate is recorded."""
        self._pending_count -= 1
        repeats = self._repeats.pop(_item_key(candidate))
        self._repeat_count -= len(repeats)
        for repeat in repeats:
            self.visits.count_repeat(repeat.origin)

    def _next(self) -> Candidate | None:
        """Return the next candidate, or None; at the end of all, `_is_exhausted` is set."""
        candidate = next(self._candidates, None)
        self._is_exhausted = candidate is None
        return candidate

    def _is_full(self) -> bool:
        """Return whether to take no more results: none are left, or too many wait as repeats."""
        return self._is_exhausted or self._repeat_count >= MAX_PENDING

    def _count_missing(self) -> float:
        if self.limit is None:
            return math.inf
        # Candidates under way count as images, as if all will succeed. If that reaches the limit,
        # no candidate behind them is taken before one of them fails, not even a known one.
        return self.limit - len(self.images) - self._pending_count

    def _classify(self, candidate: Candidate) -> None:
        # `look_up` also adds a known image to `images`, which brings the limit nearer.
        visit_state = self.visits.look_up(candidate.origin)
        if visit_state == "failed" and self.limit is not None:
            # Without a limit all are tried, in their order.
            self._failed.append(candidate)
        elif visit_state != "known":
            # The known candidates so far were not enough, so those that failed before are tried,
            # in the order of the list.
            self._make_failed_ready()
            self._make_ready(candidate)

    def _make_failed_ready(self) -> None:
        for candidate in self._failed:
            self._make_ready(candidate)
        self._failed.clear()

    def _make_ready(self, candidate: Candidate) -> None:
        key = _item_key(candidate)
        if key in self._repeats:
            self._repeats[key].append(candidate)
            self._repeat_count += 1
        else:
            self._repeats[key] = []
            self._ready.append(candidate)


def _item_key(candidate: Candidate) -> tuple[str, str]:
    return candidate.origin.source, candidate.origin.key


def search_source(
    source: Source,
    query: Query,
    client: Client,
    skipped: Counter[str],
    condition: ResultFilter | None = None,
) -> Generator[Candidate, None, None]:
    """Yield the validated candidates of a source that meet a condition.

    `skipped` counts the other results that the site lists. Raises what the source raises.
    """
    with attribute_errors("sources", source.name):
        for result in source.candidates(query, client, skipped):
            # A plugin may return fields of the wrong type.
            candidate = msgspec.convert(msgspec.to_builtins(result), Candidate)
            if candidate.origin.source != source.name:
                raise ValueError(f"it returns images of {candidate.origin.source!r}")
            if not condition or condition(candidate):
                yield candidate
            else:
                skipped["filtered"] += 1


class SourceQueue(CandidateQueue):
    """The results of one source for a query, searched in a thread, never more than are missing.

    `wake` is called in the thread whenever there is something new. `error` ended the search before
    the end of the results.
    """

    def __init__(
        self,
        search: tuple[Source, Query],
        client: Client,
        condition: ResultFilter | None,
        visits: Importer,
        images: set[str],
        wake: Callable[[], None],
    ):
        self.error: GleansetError | None = None
        self._skipped = Counter[str]()
        self._search = search_source(
            *search,
            client,
            self._skipped,
            condition,
        )
        # Nothing is searched before `SharedQueue` sets the limit.
        super().__init__(self._search, visits, images, limit=0)
        self._wake = wake
        # True asks the thread for one more result, False ends it.
        self._demands = SimpleQueue[bool]()
        # A result for each demand: None at the end of the search, or the error that ended it.
        self._results = SimpleQueue[Candidate | Exception | None]()
        self._is_asked = False
        self._thread = Thread(target=self._run, name="gleanset-source", daemon=True)
        self._thread.start()

    @property
    def is_searching(self) -> bool:
        """Whether the site is being asked for more; `wake` will be called."""
        return self._is_asked and self._count_missing() > 0 and not self._is_exhausted

    def close(self) -> None:
        """End the search and count what it skipped. To interrupt it, close its client first."""
        self._demands.put(False)
        self._thread.join(_CLOSE_TIMEOUT_SECONDS)
        self.visits.tally.update(self._skipped)

    def _next(self) -> Candidate | None:
        """Return the next candidate, or None: not found yet, or the search has ended."""
        if not self._is_asked:
            self._is_asked = True
            self._demands.put(True)

        try:
            result = self._results.get_nowait()
        except Empty:
            return None

        self._is_asked = False
        if isinstance(result, Candidate):
            return result

        self._is_exhausted = True
        if isinstance(result, GleansetError):
            self.error = result
        elif result:
            raise result
        return None

    def _run(self) -> None:
        try:
            # A source may hold a browser open, which must be closed in this thread.
            with closing(self._search):
                while self._demands.get():
                    self._results.put(next(self._candidates, None))
                    self._wake()
        except BaseException as error:
            # A plugin may call `sys.exit`, which would end only this thread: the run would wait
            # for a result forever.
            if not isinstance(error, Exception):
                error = RuntimeError(f"exit: {error}")
            self._results.put(error)
            self._wake()


class SharedQueue(JobQueue):
    """The queues of several sources, by name, which bring `limit` images together.

    The limit of each queue is an equal share of what finished sources leave, and of duplicates
    between sources. It only grows, and depends on the images found, not on time. So every source
    goes equally far however fast its site is, and a resumed run ends at the same place.
    """

    def __init__(
        self, limit: int, queues: Mapping[str, CandidateQueue], images: set[str]
    ):
        self.limit: int = limit
        self._queues = queues
        self.images = images
        self._turns = deque(queues.values())

    @property
    def is_searching(self) -> bool:
        """Whether a site is being asked for more."""
        return any(queue.is_searching for queue in self._turns)

    def pop_candidate(self) -> Candidate | None:
        """Return the next candidate that a source needs; the sources take turns."""
        # Popping may count known images or end a queue, whose share then goes to the others: so
        # a queue that had no candidate may have candidates when all take their turns again.
        progress = None
        while progress != self._measure_progress():
            progress = self._measure_progress()
            for _ in self._queues:
                self._set_limits()
                self._turns.rotate(-1)
                candidate = self._turns[-1].pop_candidate()
                if candidate:
                    return candidate
        return None

    def mark_settled(self, candidate: Candidate) -> None:
        """Note that the outcome of a candidate is recorded."""
        self._queues[candidate.origin.source].mark_settled(candidate)

    def describe_progress(self) -> str:
        """Return the number of images of each source."""
        return ", ".join(
            f"{name} {len(queue.images)}" for name, queue in self._queues.items()
        )

    def _measure_progress(self) -> tuple[int, int]:
        """Return the numbers of images and of unfinished queues."""
        images = sum(len(queue.images) for queue in self._queues.values())
        return images, len(self._list_active())

    def _list_active(self) -> list[CandidateQueue]:
        return [queue for queue in self._queues.values() if not queue.is_finished]

    def _set_limits(self) -> None:
        """Give each active queue an equal share of what is missing."""
        active = self._list_active()
        # `self.images` are the images of all queues, finished ones too. The limit of a queue
        # includes the images that it has already.
        own_images = sum(len(queue.images) for queue in active)
        total = self.limit - len(self.images) + own_images
        # Where the shares cannot be equal, the first ones are one larger.
        share, rest = divmod(total, max(len(active), 1))
        for index, queue in enumerate(active):
            queue.limit = share + 1 if index < rest else share
