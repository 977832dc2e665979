"""Which download is asked for next: a queue for each host, and threads that serve all of them.

A host that may not be asked for now (it said so in `Retry-After`, its robots.txt wants a delay, as
many requests as it may see are under way) holds up only its own queue; so the order is not that of
the list. Attempts, rests, redirects and robots rules all pass through the queues: after one
request a job is finished, or goes back to the queue of the host that it needs next. No thread ever
waits for one host while another may be asked.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from gleanset.errors import Unreadable
from gleanset.records import Candidate
from gleanset.work.pool import IN_FLIGHT_PER_WORKER, Outcome, failed_outcome
from harvest.host_answers import NOT_ASKED, RedirectedOutcome
from harvest.http.client import Client, Fetch, HttpResponse, RetryLater
from harvest.http.urls import get_host, get_url_origin

Result = TypeVar("Result")
# Candidates in the queues at most: what stands behind so many of one slow host must wait.
MAX_PENDING = 1000
# Candidates taken for each request that may be under way, so that no thread waits for the
# next while a batch is recorded.
_AHEAD = 16
# What comes within this time is given out together, to be recorded in one transaction.
_BATCH_SECONDS = 0.1
# More threads than requests, by this share: they measure, write and sync what has come while as
# many requests as are allowed are under way.
_SPARE_THREADS = 0.5


class JobQueue(Protocol):
    """Where candidates come from. Asked by the thread that runs the scheduler only."""

    def take(self) -> Candidate | None:
        """Return the next one that is needed; None where there is none, or none for now."""

    def settled(self, candidate: Candidate) -> None:
        """Note that what became of this one is recorded."""

    @property
    def asking(self) -> bool:
        """Whether one may come without another one being settled; `wake` is called then."""


class IterableQueue:
    """A queue out of an iterable, all of which is needed."""

    asking = False

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._candidates = iter(candidates)

    def take(self) -> Candidate | None:
        """Return the next candidate."""
        return next(self._candidates, None)

    def settled(self, _: Candidate) -> None:
        """Nothing: none depends on another."""


@dataclass(eq=False, slots=True)
class DownloadJob:
    """A candidate on its way. Without one it fetches `rules`, a file that says what a host allows.

    `allowed` is the address that such rules were found not to be against.
    """

    fetch: Fetch
    candidate: Candidate | None = None
    rules: str = ""
    allowed: str = ""

    @property
    def is_cleared(self) -> bool:
        """Whether robots rules have nothing against its next request, or are what it fetches."""
        return bool(self.rules) or self.allowed == self.fetch.url


class Scheduler(Generic[Result]):
    """Downloads candidates with at most `requests` under way; `process` turns bytes into results.

    Under way, or fetched and not yet settled, are at most `IN_FLIGHT_PER_WORKER` times as many: so
    many are asked for again after a kill. `process` runs in the same threads. Raises what it
    raises, but for `Unreadable`, which is the failure of one item.
    """

    def __init__(
        self,
        client: Client,
        process: Callable[[bytes], Result],
        requests: int,
    ) -> None:
        self._client = client
        self._robots = client.robots
        self._slots = client.slots
        self._process = process
        self._requests = requests
        self._queues: dict[str, deque[DownloadJob]] = {}
        self._resting: list[tuple[float, int, DownloadJob]] = []  # a heap by the time of its end
        self._number = count()
        self._reading: set[str] = set()  # sites whose rules are being fetched
        self._under_way = 0
        self._unsettled = 0  # candidates that need no request any more, and are not yet settled
        self._starving = False
        self._ended = False
        self._pending = 0  # of the candidates taken, those whose outcome was not given out
        self._trouble: Exception | None = None
        self._events: SimpleQueue[Outcome[Candidate, Result] | BaseException | None] = SimpleQueue()

    def wake(self) -> None:
        """Let `run` look at its queue again; for threads that add to it."""
        self._events.put(None)

    def run(self, queue: JobQueue) -> Generator[list[Outcome[Candidate, Result]], None, None]:
        """Download what the queue gives; yield outcomes as they come, several at a time.

        They are settled when the caller asks for the next ones. What the queue raises is raised
        when all that was taken is downloaded. Whatever ends this early closes the client.
        """
        self._ended = False
        threads = [
            threading.Thread(target=self._work, name=f"gleanset-{number}")
            for number in range(self._requests + math.ceil(self._requests * _SPARE_THREADS))
        ]
        try:
            for thread in threads:
                thread.start()
            while self._fill(queue):
                if batch := self._collect(queue):
                    yield batch
                    self._settle(batch, queue)
        except BaseException:
            self._client.close()
            raise
        finally:
            with self._slots.changed:
                self._ended = True
                self._slots.changed.notify_all()
            for thread in threads:
                thread.join()
        if self._trouble is not None:
            raise self._trouble

    # In the thread that runs the scheduler

    def _fill(self, queue: JobQueue) -> bool:
        """Take candidates while threads need them; return whether there is anything to wait for."""
        starving = self._starving
        most = self._pending + self._requests if starving else _AHEAD * self._requests
        while self._pending < min(most, MAX_PENDING) and (taken := self._taken(queue)):
            self._starving = False
            self._pending += 1
            self._add(taken)
        asking = self._trouble is None and queue.asking
        return bool(self._pending or asking or not self._events.empty())

    def _taken(self, queue: JobQueue) -> Candidate | None:
        try:
            return None if self._trouble else queue.take()
        except Exception as error:  # raised again when all that was taken is downloaded
            self._trouble = error
            return None

    def _settle(self, batch: list[Outcome[Candidate, Result]], queue: JobQueue) -> None:
        for outcome in batch:
            queue.settled(outcome.item)
        with self._slots.changed:
            self._unsettled -= len(batch)
            self._slots.changed.notify()

    def _add(self, candidate: Candidate) -> None:
        try:
            fetch = self._client.prepare(
                candidate.url, candidate.referer, candidate.origin.page_url
            )
        except Unreadable as error:
            with self._slots.changed:
                self._unsettled += 1
            self._events.put(failed_outcome(candidate, error))
        else:
            self._put_back(DownloadJob(fetch, candidate), RetryLater(fetch.host, 0.0), first=False)

    def _collect(self, queue: JobQueue) -> list[Outcome[Candidate, Result]]:
        """Wait for an outcome or a reason to look at the queue, then a moment for more."""
        batch: list[Outcome[Candidate, Result]] = []
        event, until = self._events.get(), time.monotonic() + _BATCH_SECONDS
        while True:
            if isinstance(event, BaseException):
                raise event
            if event is not None:
                self._pending -= 1
                batch.append(event)
            if not batch or not self._fill(queue) or len(batch) >= self._requests:
                return batch
            try:
                event = self._events.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                return batch

    # In the threads that download

    def _work(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                self._advance(job)
        except BaseException as error:
            self._events.put(error)

    def _next_job(self) -> DownloadJob | None:
        with self._slots.changed:
            while not (self._ended or self._slots.closed):
                job, seconds = self._startable()
                if job is not None:
                    self._under_way += 1
                    if self._under_way < self._requests:
                        # Another one finds the next job, or how long to wait for it.
                        self._slots.changed.notify()
                    return job
                self._slots.changed.wait(None if seconds == math.inf else seconds)
        return None

    def _startable(self) -> tuple[DownloadJob | None, float]:
        """Return a job with a slot of its host; or None, and the seconds until there may be one."""
        most = min(self._requests, IN_FLIGHT_PER_WORKER * self._requests - self._unsettled)
        if self._under_way >= most:
            return None, math.inf
        soonest = self._return_rested()
        for host in list(self._queues):
            if not self._is_front_allowed(self._queues[host]):
                if not self._queues[host]:
                    del self._queues[host]
                continue
            if not (seconds := self._slots.acquire(host)):
                return self._pop(host), 0.0
            soonest = min(soonest, seconds)
        if not self._starving:
            self._starving = True
            self.wake()
        return None, soonest

    def _return_rested(self) -> float:
        now = time.monotonic()
        while self._resting and self._resting[0][0] <= now:
            job = heappop(self._resting)[2]
            self._queues.setdefault(job.fetch.host, deque()).appendleft(job)
        return self._resting[0][0] - now if self._resting else math.inf

    def _is_front_allowed(self, queue: deque[DownloadJob]) -> bool:
        """Return whether the first of a queue may be asked for, or the file that decides on it.

        Those that robots rules are against are done with, and those whose host refuses.
        """
        while queue:
            job = queue[0]
            url = job.fetch.url
            if job.candidate is not None and self._slots.refuses(job.fetch.host):
                queue.popleft()
                self._unsettled += 1
                why = f"{url}: its host answered 429 or 503 again and again"
                self._fail(job, Unreadable(NOT_ASKED, why))
                continue
            if job.is_cleared:
                return True
            try:
                if not self._robots.check(url):
                    return get_url_origin(url) not in self._reading
                job.allowed = url
            except Exception as error:
                queue.popleft()
                self._unsettled += 1
                self._fail(job, error)
        return False

    def _pop(self, host: str) -> DownloadJob:
        """Take the first job of a host, or one that fetches what must be read before it."""
        queue = self._queues.pop(host)
        file = None if queue[0].is_cleared else self._robots.missing_rules_file(queue[0].fetch.url)
        if file is None:
            job = queue.popleft()
        else:
            self._reading.add(get_url_origin(file))
            job = DownloadJob(self._client.prepare_rules_fetch(file), rules=file)
        if queue:
            # At the end of the row, so that hosts take turns.
            self._queues[host] = queue
        return job

    def _advance(self, job: DownloadJob) -> None:
        host = job.fetch.host
        try:
            answer = self._client.fetch_step(job.fetch)
        except Exception as error:
            self._give_back(host, done=job.candidate is not None)
            self._fail(job, error)
            return
        done = job.candidate is not None and not isinstance(answer, RetryLater)
        self._give_back(host, done=done)
        if isinstance(answer, RetryLater):
            self._put_back(job, answer)
        elif job.candidate is None:
            self._learn(job, answer)
        else:
            try:
                outcome = Outcome(job.candidate, self._process(self._client.accept(answer)))
            except Exception as error:
                outcome = failed_outcome(job.candidate, error)
            if job.fetch.redirects:
                told = outcome.item, outcome.result, outcome.reason, outcome.detail
                outcome = RedirectedOutcome(*told, answer.url)
            self._events.put(outcome)

    def _give_back(self, host: str, *, done: bool) -> None:
        with self._slots.changed:
            self._under_way -= 1
            self._unsettled += done
            self._slots.release(host)

    def _put_back(self, job: DownloadJob, later: RetryLater, *, first: bool = True) -> None:
        with self._slots.changed:
            if later.seconds > 0:
                until = time.monotonic() + later.seconds
                heappush(self._resting, (until, next(self._number), job))
            else:
                queue = self._queues.setdefault(later.host, deque())
                queue.appendleft(job) if first else queue.append(job)
            self._slots.changed.notify()

    def _fail(self, job: DownloadJob, error: Exception) -> None:
        if job.candidate is not None:
            self._events.put(failed_outcome(job.candidate, error))
        else:
            self._learn(job, error)

    def _learn(self, job: DownloadJob, answer: HttpResponse | Exception) -> None:
        self._client.record_host_rules(job.rules, answer)
        with self._slots.changed:
            self._reading.discard(get_url_origin(job.rules))
            host = get_host(job.rules)
            # At once, as rules may be forgotten for those of others before its turn comes; and
            # first in the row, as there may be another file to be read.
            queue = self._queues.pop(host, deque())
            self._is_front_allowed(queue)
            if queue:
                self._queues = {host: queue, **self._queues}
            self._slots.changed.notify_all()
