"""Queue of requests for the compute processes.

Untrusted images are decoded and processed in one process per core. A process that dies or exceeds
its time costs only the request it worked on. Clients take turns (round robin); small requests are
batched. One process is reserved for clients with quick requests, and if all processes are busy with
long requests, the longest is aborted when such a client waits.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gleanset.web.problems import RefusedRequest, busy_error
from gleanset.web.rate_limit import RateLimit
from webapp.computations import BATCH_COMPUTATIONS, ServedFacts, Task
from webapp.compute_process import ComputeProcess, ProcessEnded
from webapp.settings import ServeSettings

SLOW_REQUEST_SECONDS = 1.0
"""A longer request makes its client slow for `SLOW_CLIENT_SECONDS`: slow clients share all
processes but one, if there are several.
"""
SLOW_CLIENT_SECONDS = 60.0
MIN_TURN_SECONDS = 4.0
"""A request that has run for less is not aborted for other clients."""
WATCH_INTERVAL_SECONDS = 0.1
LOAD_TIMEOUT_SECONDS = 60.0
LOAD_RETRY_SECONDS = 1.0
MAX_BATCH_JOBS = 8
MAX_SMALL_BYTES = 100_000
"""Bytes of the images of a request that may share a batch with others."""
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    client: str
    computation: str
    request: Any
    is_small: bool
    result: asyncio.Future[Any]


@dataclass(eq=False)
class _Batch:
    process: ComputeProcess
    jobs: list[_Job]
    start: float = field(default_factory=time.monotonic)
    failure: str = "the compute process failed"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def abort(self) -> None:
        """Kill the process that works on it."""
        self.failure = "aborted for other clients after a long time"
        self.process.kill()


class ComputeQueue:
    """Distributes requests over processes. Used from one event loop."""

    def __init__(self, settings: ServeSettings, facts: ServedFacts, rate: RateLimit):
        self._facts = facts
        self._limits = settings.limits
        self._rate = rate
        self._processes = [ComputeProcess(settings) for _ in range(settings.processes)]
        # By client, in the order of their turns.
        self._queues: dict[str, deque[_Job]] = {}
        self._running: list[_Batch] = []
        self._slow_until: dict[str, float] = {}
        self._loading = set[ComputeProcess]()
        self._tasks = set[asyncio.Task[None]]()

    async def start(self) -> None:
        """Start the processes, which then load the model."""
        self._restart_dead_processes()
        self.run_in_background(self._watch())

    async def stop(self) -> None:
        """Stop the processes and background tasks."""
        # Tasks come first, because they restart processes that end.
        self._queues.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes))

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until `stop`."""
        task = asyncio.get_running_loop().create_task(work)
        # The event loop itself holds tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refuse_if_busy(self, client: str) -> None:
        """Raise `RefusedRequest` if too many requests wait, of this client or in all."""
        own = len(self._queues.get(client, ()))
        total = sum(map(len, self._queues.values()))
        if total >= self._limits.waiting or own >= self._limits.client_waiting:
            raise busy_error("too many requests in the queue")

    @property
    def is_ready(self) -> bool:
        """Whether a process has loaded the model."""
        return any(
            process.alive and process not in self._loading
            for process in self._processes
        )

    async def compute(
        self, client: str, computation: str, request: Any, size: int
    ) -> Any:
        """Return the result of a computation for a request with `size` bytes of images.

        Cancelling aborts the computation. Raises `RefusedRequest`.
        """
        self.refuse_if_busy(client)
        is_small = computation in BATCH_COMPUTATIONS and size <= MAX_SMALL_BYTES
        if is_small and self._facts.of_faces:
            # Face detection takes too long for a batch.
            is_small = all(upload.boxes is not None for upload in request)

        result = asyncio.get_running_loop().create_future()
        job = _Job(client, computation, request, is_small, result)
        self._queues.setdefault(client, deque()).append(job)
        self._dispatch()
        try:
            return await result
        finally:
            self._drop(job)

    def _drop(self, job: _Job) -> None:
        """Remove a job that was cancelled; a finished one is no longer queued or running."""
        jobs = self._queues.get(job.client, deque())
        if job in jobs:
            jobs.remove(job)
            if not jobs:
                del self._queues[job.client]
        for batch in self._running:
            # A small job ends sooner than a new process is ready.
            if batch.jobs == [job] and not job.is_small:
                batch.abort()

    def _restart_dead_processes(self) -> None:
        for process in self._processes:
            is_running = any(batch.process is process for batch in self._running)
            if not process.alive and not is_running and process not in self._loading:
                self._loading.add(process)
                self.run_in_background(self._load(process))

    async def _load(self, process: ComputeProcess) -> None:
        try:
            await process.start(LOAD_TIMEOUT_SECONDS)
        except Exception as error:  # usually out of memory
            log.warning("cannot start a compute process: %r", error)
            if not any(other.alive for other in self._processes):
                pending = self._queues
                self._queues = {}
                for jobs in pending.values():
                    self._refuse(jobs, busy_error("no compute process is available"))
            await asyncio.sleep(LOAD_RETRY_SECONDS)
        finally:
            self._loading.discard(process)
            self._dispatch()

    def _find_free_process(self) -> ComputeProcess | None:
        busy_processes = {batch.process for batch in self._running} | self._loading
        for process in self._processes:
            if process.alive and process not in busy_processes:
                return process
        return None

    def _dispatch(self) -> None:
        while (process := self._find_free_process()) is not None:
            jobs = self._take_next_jobs()
            if not jobs:
                return
            batch = _Batch(process, jobs)
            self._running.append(batch)
            self.run_in_background(self._run(batch))

    def _take_next_jobs(self) -> list[_Job]:
        """Take the next client's job; a small one with others of its kind."""
        slow_batches = [
            batch for batch in self._running if self._is_slow(batch.jobs[0].client)
        ]
        # Slow clients may use all processes but one, which is for quick clients; a single process
        # is for both.
        is_slow_lane_full = len(slow_batches) >= max(1, len(self._processes) - 1)
        first = self._take(
            lambda job: not (is_slow_lane_full and self._is_slow(job.client))
        )
        if first is None:
            return []

        jobs = [first]
        while first.is_small and len(jobs) < MAX_BATCH_JOBS:
            other = self._take(
                lambda job: job.is_small and job.computation == first.computation
            )
            if other is None:
                break
            jobs.append(other)
        return jobs

    def _take(self, is_suitable: Callable[[_Job], bool]) -> _Job | None:
        """Take the first suitable job; its client moves to the end of the queue."""
        for client, jobs in self._queues.items():
            if is_suitable(jobs[0]):
                job = jobs.popleft()
                del self._queues[client]
                if jobs:
                    self._queues[client] = jobs
                return job
        return None

    def _is_slow(self, client: str) -> bool:
        return self._slow_until.get(client, 0.0) > time.monotonic()

    async def _run(self, batch: _Batch) -> None:
        jobs = batch.jobs
        seconds = 0.0
        try:
            results, seconds = await batch.process.compute(
                Task(jobs[0].computation, [job.request for job in jobs]),
                self._limits.seconds_computed,
            )
        except RefusedRequest as error:
            self._fail(jobs, error)
        except TimeoutError:
            self._fail(
                jobs,
                RefusedRequest(
                    413,
                    "too much work",
                    "computing took too long",
                    "send less",
                ),
            )
        except (ProcessEnded, OSError, RuntimeError) as error:
            # RuntimeError: any failure of a library on the image.
            log.warning("a compute process failed: %s", error)
            self._fail(jobs, busy_error(batch.failure))
        else:
            for job, result in zip(jobs, results, strict=True):
                if not job.result.done():
                    job.result.set_result(result)
        finally:
            self._running.remove(batch)
            # A killed process reports no seconds: use the time that passed.
            self._charge(jobs, seconds or batch.seconds)
            self._dispatch()

    def _refuse(self, jobs: Iterable[_Job], error: RefusedRequest) -> None:
        for job in jobs:
            # The result of a job whose client has disconnected is cancelled.
            if not job.result.done():
                job.result.set_exception(error)

    def _fail(self, jobs: Sequence[_Job], error: RefusedRequest) -> None:
        """Refuse a single job; repeat those of a batch alone, to find the faulty one."""
        if len(jobs) == 1:
            self._refuse(jobs, error)
            return
        for job in jobs:
            job.is_small = False
            if not job.result.done():
                self._queues.setdefault(job.client, deque()).appendleft(job)

    def _charge(self, jobs: Sequence[_Job], seconds: float) -> None:
        """Note slow clients, and count long jobs as several requests; `seconds` are of all jobs."""
        each = seconds / len(jobs)
        for job in jobs:
            if each > SLOW_REQUEST_SECONDS:
                self._slow_until[job.client] = time.monotonic() + SLOW_CLIENT_SECONDS
            self._rate.charge(
                job.client,
                int(each / self._limits.seconds_each),
            )

    async def _watch(self) -> None:
        """Restart dead processes, and abort long requests that quick clients wait for."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_SECONDS)
            self._restart_dead_processes()
            self._slow_until = {
                client: end
                for client, end in self._slow_until.items()
                if self._is_slow(client)
            }

            long_batches = [
                batch for batch in self._running if batch.seconds > MIN_TURN_SECONDS
            ]
            # Clients without a waiting job are not in `_queues`. `all` of no clients is True.
            is_quick_client_waiting = not all(map(self._is_slow, self._queues))
            if is_quick_client_waiting and len(long_batches) == len(self._processes):
                max(long_batches, key=lambda batch: batch.seconds).abort()
