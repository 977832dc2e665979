"""Schedules downloads: a queue for each host, and threads that serve all of them.

A host that may not be asked now (`Retry-After`, a crawl delay, all its slots taken) holds up only
its own queue, so downloads do not keep the order of the list. Retries, redirects and robots rules
pass through the queues as well: after one request a job is done, or returns to the queue of the
host that it needs next. No thread waits for one host while another may be asked.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Set
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from gleanset.errors import Unreadable
from gleanset.platform import defer_interrupts
from gleanset.records import Candidate
from gleanset.work.pool import IN_FLIGHT_PER_WORKER, Outcome, make_failure
from harvest.http.client import Client, Fetch, HttpResponse, Turn
from harvest.http.urls import get_host, get_url_origin, normalize_url
from harvest.redirects import NOT_ASKED, RedirectedOutcome

Result = TypeVar("Result")
# Maximum number of candidates in the queues; with that many of one slow host, others must wait.
MAX_PENDING = 1000
# Candidates taken for each simultaneous request, so that no thread waits for the next one while
# a batch is recorded.
_PENDING_PER_REQUEST = 16
# Outcomes within this time are yielded together, to be recorded in one transaction.
_BATCH_SECONDS = 0.1
# More threads than requests, by this share: they measure and write files while as many requests
# as allowed are under way.
_EXTRA_THREADS = 0.5


class JobQueue:
    """Candidates to download, up to `limit` distinct `images`; None for all candidates.

    Used only by the thread that runs the scheduler.
    """

    limit: int | None = None
    images: Set[str] = frozenset()

    def __init__(self, candidates: Iterable[Candidate]):
        self._candidates = iter(candidates)

    @property
    def is_searching(self) -> bool:
        """Whether more may come without another candidate being settled; calls `wake` then."""
        return False

    def pop_candidate(self) -> Candidate | None:
        """Return the next candidate that is needed; None without one, or without one for now."""
        return next(self._candidates, None)

    def mark_settled(self, candidate: Candidate) -> None:
        """Note that the outcome of a candidate is recorded."""


@dataclass(eq=False)
class DownloadJob:
    """A candidate to download, or `rules`: a robots.txt or tdmrep.json to read.

    `turn` is the next request of its fetch, `allowed` the address that the rules of its host allow.
    """

    fetch: Fetch
    turn: Turn
    candidate: Candidate | None = None
    rules: str = ""
    allowed: str = ""

    @property
    def is_cleared(self) -> bool:
        """Whether the rules allow its next request, or it fetches the rules."""
        return bool(self.rules) or self.allowed == self.turn.url


class Scheduler(Generic[Result]):
    """Downloads candidates with at most `requests` under way; `process` turns bytes into results.

    At most `IN_FLIGHT_PER_WORKER` times as many are under way or not yet settled: these are
    downloaded again after a kill. `process` runs in the same threads. Raises its exceptions, except
    `Unreadable`, which is the failure of one item.
    """

    def __init__(
        self,
        client: Client,
        process: Callable[[bytes], Result],
        requests: int,
    ):
        self._client = client
        self._robots = client.robots
        self._slots = client.slots
        self._process = process
        self._requests = requests
        self._queues: dict[str, deque[DownloadJob]] = {}
        # A heap of jobs by the time to continue; the number is different for each.
        self._delayed: list[tuple[float, int, DownloadJob]] = []
        self._numbers = count()
        # Origins whose rules are being fetched.
        self._fetching_rules = set[str]()
        self._active_count = 0
        # Finished downloads whose outcomes are not settled yet.
        self._unsettled_count = 0
        # Whether a thread found no job that may start.
        self._is_starving = False
        self._has_ended = False
        # Candidates that were taken from the queue and whose outcome was not yielded yet.
        self._pending_count = 0
        # An error of the queue, raised when the pending candidates are done.
        self._error: Exception | None = None
        # Outcomes, errors that end the run, and None for a wake-up.
        self._events = SimpleQueue[Outcome[Candidate, Result] | BaseException | None]()

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._events.put(None)

    def run(
        self, queue: JobQueue
    ) -> Generator[list[Outcome[Candidate, Result]], None, None]:
        """Download the candidates of a queue; yield lists of outcomes as they come.

        Outcomes are settled when the caller asks for the next ones. An error of the queue is raised
        after the candidates before it are downloaded. An early end closes the client.
        """
        self._has_ended = False
        thread_count = self._requests + math.ceil(self._requests * _EXTRA_THREADS)
        threads = [
            threading.Thread(target=self._work, name=f"gleanset-{number}")
            for number in range(thread_count)
        ]

        try:
            for thread in threads:
                thread.start()
            while self._fill_queues(queue):
                if batch := self._collect(queue):
                    yield batch
                    self._settle(batch, queue)
        except BaseException:
            self._client.close()
            raise
        finally:
            with defer_interrupts(), self._slots.changed:
                self._has_ended = True
                self._slots.changed.notify_all()
            for thread in threads:
                thread.join()
        if self._error:
            raise self._error

    # In the thread that runs the scheduler

    def _fill_queues(self, queue: JobQueue) -> bool:
        """Take candidates while threads need them; return whether there is anything to wait for."""
        limit = _PENDING_PER_REQUEST * self._requests
        # The hosts of all pending candidates must wait: take more candidates, for other hosts.
        if self._is_starving:
            limit = self._pending_count + self._requests
        while self._pending_count < min(limit, MAX_PENDING):
            candidate = self._take_candidate(queue)
            if not candidate:
                break
            self._is_starving = False
            self._pending_count += 1
            with defer_interrupts():
                self._add_candidate(candidate)
        is_searching = not self._error and queue.is_searching
        return bool(self._pending_count or is_searching or not self._events.empty())

    def _take_candidate(self, queue: JobQueue) -> Candidate | None:
        if self._error:
            return None
        try:
            return queue.pop_candidate()
        except Exception as error:
            # Raised again when all pending candidates are downloaded.
            self._error = error
            return None

    def _settle(self, batch: list[Outcome[Candidate, Result]], queue: JobQueue) -> None:
        for outcome in batch:
            queue.mark_settled(outcome.item)
        with defer_interrupts(), self._slots.changed:
            self._unsettled_count -= len(batch)
            self._slots.changed.notify()

    def _add_candidate(self, candidate: Candidate) -> None:
        fetch = self._client.fetch_image(candidate.url, candidate.referer)
        try:
            # A fetch begins with its first turn; it raises for an address that is not valid.
            job = DownloadJob(fetch, next(fetch), candidate)
        except Unreadable as error:
            with self._slots.changed:
                self._unsettled_count += 1
            self._events.put(make_failure(candidate, error))
        else:
            self._requeue(job, first=False)

    def _collect(self, queue: JobQueue) -> list[Outcome[Candidate, Result]]:
        """Wait for an outcome or a wake-up, then a short time for more."""
        batch: list[Outcome[Candidate, Result]] = []
        event = self._events.get()
        until = time.monotonic() + _BATCH_SECONDS
        while True:
            if isinstance(event, BaseException):
                raise event
            if event:
                self._pending_count -= 1
                batch.append(event)
            # After a wake-up without an outcome, `run` looks at the queue again.
            if not batch or not self._fill_queues(queue):
                return batch
            if len(batch) >= self._requests:
                return batch
            try:
                event = self._events.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                return batch

    # In the threads that download

    def _work(self) -> None:
        try:
            while job := self._wait_for_job():
                self._advance(job)
        except BaseException as error:
            self._events.put(error)

    def _wait_for_job(self) -> DownloadJob | None:
        """Return the next job; None at the end."""
        with self._slots.changed:
            while not (self._has_ended or self._slots.is_closed):
                job, seconds = self._find_startable_job()
                if job:
                    self._active_count += 1
                    if self._active_count < self._requests:
                        # Another thread finds the next job, or how long to wait for it.
                        self._slots.changed.notify()
                    return job
                self._slots.changed.wait(None if seconds == math.inf else seconds)
        return None

    def _find_startable_job(self) -> tuple[DownloadJob | None, float]:
        """Return a job with a slot of its host; or None, and the seconds until there may be one."""
        # Outcomes that are not settled are lost by a kill: with many of them, wait for the caller.
        max_unsettled = IN_FLIGHT_PER_WORKER * self._requests
        limit = min(self._requests, max_unsettled - self._unsettled_count)
        if self._active_count >= limit:
            return None, math.inf

        min_seconds = self._requeue_delayed()
        for host, queue in list(self._queues.items()):
            if self._is_front_allowed(queue):
                seconds = self._slots.acquire(host)
                if seconds == 0:  # the slot is taken
                    return self._pop_job(host), 0.0
                min_seconds = min(min_seconds, seconds)
            elif not queue:
                del self._queues[host]

        if not self._is_starving:
            self._is_starving = True
            self.wake()
        return None, min_seconds

    def _requeue_delayed(self) -> float:
        """Requeue the jobs whose time has come; return the seconds until that of the next one."""
        now = time.monotonic()
        while self._delayed:
            time_to_continue, _, job = self._delayed[0]
            if time_to_continue > now:
                return time_to_continue - now
            heappop(self._delayed)
            self._queues.setdefault(job.turn.host, deque()).appendleft(job)
        return math.inf

    def _is_front_allowed(self, queue: deque[DownloadJob]) -> bool:
        """Return whether the first job of a queue, or the file with its rules, may be requested.

        Jobs that the rules forbid, and those whose host refuses, fail here.
        """
        while queue:
            job = queue[0]
            url = job.turn.url
            if job.candidate and self._slots.is_refusing(job.turn.host):
                queue.popleft()
                self._unsettled_count += 1
                detail = f"{url}: its host answered 429 or 503 repeatedly"
                self._fail(job, Unreadable(NOT_ASKED, detail))
                continue
            if job.is_cleared:
                return True
            try:
                if not self._robots.check_url(url):
                    # The file with the rules has to be read first, if no other job is at it.
                    return get_url_origin(url) not in self._fetching_rules
                job.allowed = url
            except Exception as error:
                queue.popleft()
                self._unsettled_count += 1
                self._fail(job, error)
        return False

    def _pop_job(self, host: str) -> DownloadJob:
        """Take the first job of a host, or a job for the rules that must be read before it."""
        queue = self._queues.pop(host)
        front = queue[0]
        file = None
        if not front.is_cleared:
            file = self._robots.missing_rules_file(front.turn.url)
        if not file:
            job = queue.popleft()
        else:
            self._fetching_rules.add(get_url_origin(file))
            fetch = self._client.fetch(file, self._robots.policy)
            job = DownloadJob(fetch, next(fetch), rules=file)

        if queue:
            # At the end, so that hosts take turns.
            self._queues[host] = queue
        return job

    def _advance(self, job: DownloadJob) -> None:
        """Make the next request of a job."""
        host = job.turn.host
        is_candidate = job.candidate is not None
        response = None
        try:
            # Makes the request; then the fetch yields its next turn, or returns the response.
            job.turn = next(job.fetch)
        except StopIteration as end:
            response = end.value
        except Exception as error:
            self._release(host, is_done=is_candidate)
            self._fail(job, error)
            return

        self._release(host, is_done=is_candidate and response is not None)
        if not response:
            self._requeue(job)
        elif not job.candidate:
            self._record_rules(job, response)
        else:
            self._events.put(self._process_response(job.candidate, response))

    def _process_response(
        self, candidate: Candidate, response: HttpResponse
    ) -> Outcome[Candidate, Result]:
        try:
            data = self._client.extract_image(response)
            outcome = Outcome(candidate, self._process(data))
        except Exception as error:
            outcome = make_failure(candidate, error)
        if response.url == normalize_url(candidate.url):
            return outcome

        # The importer finds out whether the image at the other address is a notice.
        fields = outcome.item, outcome.result, outcome.reason, outcome.detail
        return RedirectedOutcome(*fields, final_url=response.url)

    def _release(self, host: str, *, is_done: bool) -> None:
        with self._slots.changed:
            self._active_count -= 1
            if is_done:
                self._unsettled_count += 1
            self._slots.release(host)

    def _requeue(self, job: DownloadJob, *, first: bool = True) -> None:
        with self._slots.changed:
            if job.turn.seconds > 0:
                until = time.monotonic() + job.turn.seconds
                heappush(
                    self._delayed,
                    (until, next(self._numbers), job),
                )
            else:
                queue = self._queues.setdefault(
                    job.turn.host,
                    deque(),
                )
                # First: what was begun is finished before its host gets another job.
                queue.insert(0 if first else len(queue), job)
            self._slots.changed.notify()

    def _fail(self, job: DownloadJob, error: Exception) -> None:
        if job.candidate:
            self._events.put(make_failure(job.candidate, error))
        else:
            self._record_rules(job, error)

    def _record_rules(
        self, job: DownloadJob, response: HttpResponse | Exception
    ) -> None:
        self._client.record_host_rules(job.rules, response)
        with self._slots.changed:
            self._fetching_rules.discard(get_url_origin(job.rules))
            host = get_host(job.rules)
            # Check the first job now, before its rules may be dropped from the cache; it notes the
            # result itself. Put the host first, because it may need its second file of rules.
            queue = self._queues.pop(host, deque())
            self._is_front_allowed(queue)
            if queue:
                self._queues = {host: queue, **self._queues}
            self._slots.changed.notify_all()
