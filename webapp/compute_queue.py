"""Requests that wait for a process that computes, and what becomes of them.

Hostile pictures are decoded, searched and judged in processes of their own, one for each core. One
that dies, or works for too long, costs the request that it worked on and no other. Visitors take
turns; small requests that wait are judged together. One process is kept for visitors whose requests
do not take long, and where all are taken, what has run for long ends when such a visitor waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from webapp.computations import TOGETHER, ServedFacts, Task
from webapp.compute_process import ComputeProcess, ProcessEnded
from webapp.problems import RefusedRequest, busy
from webapp.rate_limit import RateLimit
from webapp.settings import ServeSettings

SLOW_REQUEST_SECONDS = 1.0
"""Who had a request that took longer is slow for `SLOW_SECONDS`: all those share all processes but
one, where there are several.
"""
SLOW_SECONDS = 60.0
TURN_SECONDS = 4.0
"""For so long nobody else's request ends one that a process works on."""
LOOK_SECONDS = 0.1
LOAD_SECONDS, LOAD_AGAIN_SECONDS = 60.0, 1.0
MAX_BATCH_JOBS = 8
"""Requests that are judged together."""
SMALL_BYTES = 100_000
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    visitor: str
    computation: str
    request: Any
    small: bool
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class _Batch:
    process: ComputeProcess
    jobs: list[_Job]
    begun: float = field(default_factory=time.monotonic)
    failure: str = "the process that worked on it has failed"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def end(self) -> None:
        """End the process that works on it."""
        self.failure = "others wait, and this took long"
        self.process.end()


class ComputeQueue:
    """Lets processes compute. Used from one event loop, between `start` and `stop`."""

    def __init__(self, settings: ServeSettings, facts: ServedFacts, rate: RateLimit) -> None:
        self._facts, self._limits, self._rate = facts, settings.limits, rate
        self._processes = [ComputeProcess(settings.to_text()) for _ in range(settings.processes)]
        # By visitor; whose turn is next comes first.
        self._waiting: dict[str, deque[_Job]] = {}
        self._running: list[_Batch] = []
        self._slow: dict[str, float] = {}  # until when
        self._loading: set[ComputeProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin the processes, which load the model meanwhile."""
        self._load_where_ended()
        self.keep(self._watch())

    async def stop(self) -> None:
        """End the processes, whatever they do."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Have work done until `stop`."""
        self._tasks.add(task := asyncio.get_running_loop().create_task(work))
        task.add_done_callback(self._tasks.discard)

    def refuse_if_busy(self, visitor: str) -> None:
        """Raise `RefusedRequest` where too many requests wait, of this visitor or of all."""
        mine, every = len(self._waiting.get(visitor, ())), sum(map(len, self._waiting.values()))
        if every >= self._limits.waiting or mine >= self._limits.visitor_waiting:
            raise busy("too many requests wait")

    async def compute(self, visitor: str, computation: str, request: Any, size: int) -> Any:
        """Return what a computation makes of a request with `size` bytes of pictures.

        Who waits no longer has its process ended. Raises `RefusedRequest`.
        """
        self.refuse_if_busy(visitor)
        small = computation in TOGETHER and size <= SMALL_BYTES
        if small and self._facts.of_faces:  # nobody else waits while faces are looked for
            small = all(upload.boxes is not None for upload in request)
        answer = asyncio.get_running_loop().create_future()
        job = _Job(visitor, computation, request, small, answer)
        self._waiting.setdefault(visitor, deque()).append(job)
        self._deal_out()
        try:
            return await answer
        finally:
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        if job in (jobs := self._waiting.get(job.visitor, deque())):
            jobs.remove(job)
            if not jobs:
                del self._waiting[job.visitor]
        for batch in self._running:
            if batch.jobs == [job] and not job.small:  # else it ends sooner than a new one begins
                batch.end()

    def _load_where_ended(self) -> None:
        for process in self._processes:
            taken = any(batch.process is process for batch in self._running)
            if not process.alive and not taken and process not in self._loading:
                self._loading.add(process)
                self.keep(self._load(process))

    async def _load(self, process: ComputeProcess) -> None:
        try:
            await process.start(LOAD_SECONDS)
        except Exception as error:  # most often for want of memory
            log.warning("a process that computes cannot begin: %r", error)
            if not any(other.alive for other in self._processes):
                waiting, self._waiting = self._waiting, {}
                for jobs in waiting.values():
                    self._refuse(jobs, busy("no process begins"))
            await asyncio.sleep(LOAD_AGAIN_SECONDS)
        finally:
            self._loading.discard(process)
            self._deal_out()

    def _free_process(self) -> ComputeProcess | None:
        taken = {batch.process for batch in self._running} | self._loading
        return next((one for one in self._processes if one.alive and one not in taken), None)

    def _deal_out(self) -> None:
        while (process := self._free_process()) and (jobs := self._next_jobs()):
            self._running.append(batch := _Batch(process, jobs))
            self.keep(self._work_on(batch))

    def _next_jobs(self) -> list[_Job]:
        """Take the job of the next visitor, a small one with others of its kind."""
        slow = sum(self._is_slow(batch.jobs[0].visitor) for batch in self._running)
        lane_is_full = slow >= max(1, len(self._processes) - 1)
        first = self._take(lambda job: not (lane_is_full and self._is_slow(job.visitor)))
        jobs = [] if first is None else [first]
        if first is not None and first.small:
            kind = first.computation
            while len(jobs) < MAX_BATCH_JOBS and (
                job := self._take(lambda other: other.small and other.computation == kind)
            ):
                jobs.append(job)
        return jobs

    def _take(self, suits: Callable[[_Job], bool]) -> _Job | None:
        """Take the first job that suits; its visitor's next turn comes after all others."""
        for visitor, jobs in self._waiting.items():
            if suits(jobs[0]):
                job = jobs.popleft()
                del self._waiting[visitor]
                if jobs:
                    self._waiting[visitor] = jobs
                return job
        return None

    def _is_slow(self, visitor: str) -> bool:
        return self._slow.get(visitor, 0.0) > time.monotonic()

    async def _work_on(self, batch: _Batch) -> None:
        jobs, seconds = batch.jobs, None
        task = Task(jobs[0].computation, [job.request for job in jobs])
        try:
            results, seconds = await batch.process.compute(task, self._limits.seconds_computed)
        except RefusedRequest as refused:
            self._blame(jobs, refused)
        except TimeoutError:
            late = RefusedRequest(413, "too much work", "computing took too long", "send less")
            self._blame(jobs, late)
        except (ProcessEnded, OSError, RuntimeError) as error:  # whatever a library made of it
            log.warning("a process that computes has failed: %s", error)
            self._blame(jobs, busy(batch.failure))
        else:
            for job, result in zip(jobs, results, strict=True):
                if not job.answer.done():
                    job.answer.set_result(result)
        finally:
            self._running.remove(batch)
            # Of a process that was ended, how long that took: it said nothing.
            self._charge(jobs, seconds or batch.seconds)
            self._deal_out()

    def _refuse(self, jobs: Iterable[_Job], refused: RefusedRequest) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(refused)

    def _blame(self, jobs: Sequence[_Job], refused: RefusedRequest) -> None:
        """Refuse a job; of several each is done alone first, for only one is to blame."""
        if len(jobs) == 1:
            self._refuse(jobs, refused)
        else:
            for job in jobs:
                job.small = False
                if not job.answer.done():
                    self._waiting.setdefault(job.visitor, deque()).appendleft(job)

    def _charge(self, jobs: Sequence[_Job], seconds: float) -> None:
        """Count what was computed; a visitor's long requests count as several."""
        each = seconds / len(jobs)
        for job in jobs:
            if each > SLOW_REQUEST_SECONDS:
                self._slow[job.visitor] = time.monotonic() + SLOW_SECONDS
            self._rate.charge(job.visitor, int(each / self._limits.seconds_each))

    async def _watch(self) -> None:
        """Begin what has ended, and see to it that nobody waits for a slow visitor."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._slow = {one: end for one, end in self._slow.items() if end > time.monotonic()}
            self._load_where_ended()
            long = [batch for batch in self._running if batch.seconds > TURN_SECONDS]
            if len(long) == len(self._processes) and not all(map(self._is_slow, self._waiting)):
                max(long, key=lambda batch: batch.seconds).end()
