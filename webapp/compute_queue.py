"""Requests that wait for a process that computes, and what becomes of them.

Hostile pictures are decoded, searched and judged in processes of their own, one for each core. One
that dies, or works for too long, costs the request that it worked on and no other. A process that
is free takes the next request of the visitor who has used least; small ones that wait are judged
together. One is kept for those whose requests do not take long. Where all are taken and another
visitor waits, what has run for longest ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from webapp.computations import JOB, TELL, TOGETHER, Task, computed
from webapp.compute_process import ComputeProcess, ProcessEnded
from webapp.problems import RefusedRequest, busy
from webapp.rate_limit import RateLimit
from webapp.served import ModelInForce
from webapp.settings import ServeSettings

TURN_SECONDS = 1.0
"""For so long nobody else's request ends one that a process works on."""
SLOW_SECONDS = 60.0
"""For so long who took more than a turn gets all processes but one, where there are several."""
FAIR_SECONDS = 4.0
"""Of computing, by which one visitor may be ahead of another who waits."""
LOOK_SECONDS = 0.1
LOAD_SECONDS, LOAD_AGAIN_SECONDS = 60.0, 1.0
AT_ONCE = 4
"""Requests that are judged together."""
AHEAD = 2
"""Batches of small requests that a process has at a time: it does not wait for the next one."""
SMALL_BYTES = 100_000
FORGOTTEN = 0.05
"""Seconds of computing at which a visitor is forgotten; half a minute halves them."""
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    """A request: what is computed of which pictures, and who waits for it."""

    visitor: str
    computation: str
    request: Any
    small: bool
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class _Batch:
    """Requests that a process works on together, since `begun`."""

    process: ComputeProcess
    jobs: list[_Job]
    begun: float = field(default_factory=time.monotonic)
    computed: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def small(self) -> bool:
        """Whether nothing in it takes long."""
        return self.jobs[0].small

    def end(self) -> None:
        """End the process that works on it."""
        self.process.end(busy("others wait, and this took long"))


class ComputeQueue:
    """Lets processes compute. Used from one event loop, between `start` and `stop`."""

    _models: ModelInForce

    def __init__(self, settings: ServeSettings, rate: RateLimit) -> None:
        self._settings, self._limits, self._rate = settings, settings.limits, rate
        self._text = settings.to_text()
        self._processes = [ComputeProcess(computed, JOB) for _ in range(settings.processes)]
        self._waiting: list[_Job] = []
        self._running: list[_Batch] = []
        self._used: defaultdict[str, float] = defaultdict(float)
        self._slow: dict[str, float] = {}  # until when
        self._loading: set[ComputeProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, models: ModelInForce) -> None:
        """Begin the processes, which load the model meanwhile."""
        self._models = models
        self._load_where_ended()
        self.keep(self._watch())

    async def stop(self) -> None:
        """End the processes, whatever they do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes))

    def refuse_if_busy(self, visitor: str) -> None:
        """Raise `RefusedRequest` where too many requests wait, of this visitor or of all."""
        mine = sum(job.visitor == visitor for job in self._waiting)
        if len(self._waiting) >= self._limits.waiting or mine >= self._limits.visitor_waiting:
            raise busy("too many requests wait")

    async def compute(self, visitor: str, computation: str, request: Any, size: int) -> Any:
        """Return what a computation makes of a request with `size` bytes of pictures.

        Who waits no longer has its process ended. Raises `RefusedRequest`.
        """
        self.refuse_if_busy(visitor)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        small = computation in TOGETHER and size <= SMALL_BYTES
        if small and self._models.now.of_faces:  # nobody else waits while faces are looked for
            small = all(upload.boxes is not None for upload in request)
        job = _Job(visitor, computation, request, small, answer)
        self._waiting.append(job)
        self._deal_out()
        try:
            return await answer
        finally:
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        for batch in self._running:
            if batch.jobs == [job] and not batch.small:  # else it ends sooner than a new one begins
                batch.end()

    def _load_where_ended(self) -> None:
        for process in self._processes:
            if not process.alive and process not in self._loading:
                self._loading.add(process)
                self.keep(self._load(process))

    async def _load(self, process: ComputeProcess) -> None:
        """Begin a process, and have it load the model before it gets a request."""
        try:
            await process.compute(Task(TELL, self._text, self._models.now.source, []), LOAD_SECONDS)
        except Exception as error:  # most often for want of memory
            log.warning("a process that computes cannot begin: %r", error)
            if not any(other.alive for other in self._processes):
                self._fail(self._waiting, busy("no process begins"))
            await asyncio.sleep(LOAD_AGAIN_SECONDS)
        finally:
            self._loading.discard(process)
            self._deal_out()

    def _deal_out(self) -> None:
        while self._waiting and (process := self._next_process()):
            ahead = any(batch.process is process for batch in self._running)
            if not (jobs := self._next(ahead=ahead)):
                break
            self._running.append(batch := _Batch(process, jobs))
            self.keep(self._work_on(batch))

    def _next_process(self) -> ComputeProcess | None:
        """Return a process that is free; else one that has but one batch, which is small."""
        batches = {one: 0 for one in self._processes if one.alive and one not in self._loading}
        for batch in self._running:
            if batch.process in batches:
                batches[batch.process] += 1 if batch.small else AHEAD
        process = min(batches, key=batches.__getitem__, default=None)
        return None if process is None or batches[process] >= AHEAD else process

    def _next(self, *, ahead: bool) -> list[_Job]:
        """Take the next request of who has used least; a small one with others of its kind.

        None of who takes long where all processes but one have such a request already. And `ahead`,
        for a process that has something to do, none before small ones fill a batch, for what is
        judged together costs less, and none while any other waits.
        """
        waiting = self._waiting
        slow = sum(self._is_slow(batch.jobs[0]) for batch in self._running)
        if slow >= max(1, self._settings.processes - 1):
            waiting = [job for job in waiting if not self._is_slow(job)]
        fill_a_batch = len(waiting) >= AT_ONCE and all(job.small for job in waiting)
        if not waiting or (ahead and not fill_a_batch):
            return []
        first = min(waiting, key=lambda job: self._seconds_of(job.visitor))
        jobs = [first]
        if first.small:
            alike = [one for one in self._waiting if one.small and one is not first]
            same = [one for one in alike if one.computation == first.computation]
            jobs += same[: AT_ONCE - 1]
        self._waiting = [job for job in self._waiting if job not in jobs]
        return jobs

    def _is_slow(self, job: _Job) -> bool:
        return self._slow.get(job.visitor, 0.0) > time.monotonic()

    def _seconds_of(self, visitor: str) -> float:
        """Return how long processes have worked for a visitor of late, those of now included."""
        now = (b.seconds for b in self._running if any(job.visitor == visitor for job in b.jobs))
        return self._used.get(visitor, 0.0) + sum(now)

    async def _work_on(self, batch: _Batch) -> None:
        try:
            results = await self._results(batch)
        except RefusedRequest as refused:
            self._blame(batch, refused)
        except TimeoutError:
            late = RefusedRequest(413, "too much work", "computing took too long", "send less")
            self._blame(batch, late)
        except ProcessEnded as ended:
            log.warning("a process that computes has failed: %s", ended)
            if ended.begun:
                self._blame(batch, busy("the process that worked on it has ended"))
            else:
                self._again(*batch.jobs)
        except Exception as error:  # whatever a hostile picture can do to a library
            log.warning("computing has failed: %r", error)
            self._blame(batch, busy("the process that worked on it has failed"))
        else:
            self._tell(batch, results)
        finally:
            self._running.remove(batch)
            self._charge(batch)
            self._deal_out()

    async def _results(self, batch: _Batch) -> list[Any]:
        requests = [job.request for job in batch.jobs]
        function = batch.jobs[0].computation
        task = Task(function, self._text, self._models.now.source, requests)
        results: list[Any]
        results, batch.computed = await batch.process.compute(task, self._limits.seconds_computed)
        return results

    def _tell(self, batch: _Batch, results: Sequence[Any]) -> None:
        for job, result in zip(batch.jobs, results, strict=True):
            if result is None:  # too much for being judged together
                self._alone(job)
            elif not job.answer.done():
                job.answer.set_result(result)

    def _fail(self, jobs: Sequence[_Job], refused: RefusedRequest) -> None:
        for job in jobs:
            if not job.answer.done():
                job.answer.set_exception(refused)

    def _blame(self, batch: _Batch, refused: RefusedRequest) -> None:
        """Refuse a request; of several each is tried alone first, for only one is to blame."""
        if len(batch.jobs) == 1:
            self._fail(batch.jobs, refused)
        for job in batch.jobs:
            self._alone(job)

    def _alone(self, job: _Job) -> None:
        job.small = False
        self._again(job)

    def _again(self, *jobs: _Job) -> None:
        self._waiting[:0] = [job for job in jobs if not job.answer.done()]

    def _charge(self, batch: _Batch) -> None:
        """Count what was computed; a visitor's long requests count as several.

        Of a process that was ended, how long that took: it said nothing.
        """
        seconds = (batch.computed or batch.seconds) / len(batch.jobs)
        for job in batch.jobs:
            self._used[job.visitor] += seconds
            if seconds > TURN_SECONDS:
                self._slow[job.visitor] = time.monotonic() + SLOW_SECONDS
            self._rate.charge(job.visitor, int(seconds / self._limits.seconds_each))

    async def _watch(self) -> None:
        """Forget slowly what was used, and see to it that nobody waits for one visitor."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for visitor in list(self._used):
                self._used[visitor] *= 1 - LOOK_SECONDS / 45
                if self._used[visitor] < FORGOTTEN:
                    del self._used[visitor]
            for visitor in [one for one, end in self._slow.items() if end < time.monotonic()]:
                del self._slow[visitor]
            self._load_where_ended()
            self._make_room()

    def _make_room(self) -> None:
        """End a long request of who has used most, where somebody waits who has used far less."""
        long = [batch for batch in self._running if batch.seconds > TURN_SECONDS]
        if not self._waiting or self._next_process() or self._loading or not long:
            return
        most, batch = max(
            ((self._seconds_of(batch.jobs[0].visitor), batch) for batch in long),
            key=lambda pair: pair[0],
        )
        least = min(self._seconds_of(job.visitor) for job in self._waiting)
        if most - least > FAIR_SECONDS:
            batch.end()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Have work done until `stop`."""
        self._tasks.add(task := asyncio.get_running_loop().create_task(work))
        task.add_done_callback(self._tasks.discard)
