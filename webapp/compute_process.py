"""A process that computes what it is sent, one task after the other.

Tasks and results go through a socket as multiprocessing sends them: no thread stands between that
and the event loop, and the next task can lie there before a result was taken.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

from gleanset.platform import lower_priority
from gleanset.work.processes import WorkerContext, begin_worker

LENGTH = 8
"""Bytes before each task and each result, which say how long it is."""
BUFFER = 1 << 16
BEHIND = 2
"""Steps of priority by which who talks HTTP goes first: else cores idle until it deals out more."""


class ProcessEnded(Exception):
    """The process has ended; what had `begun` may be to blame."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the process that computes has ended")
        self.begun = begun


class ComputeProcess:
    """A process of its own for `work`, begun anew where it has ended.

    `job` is the module of what is done. Used from one event loop.
    """

    def __init__(self, work: Callable[[Any], Any], job: str) -> None:
        self._work, self._context = work, WorkerContext(job)
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._seconds: deque[float] = deque()
        self._beginning = asyncio.Lock()
        self._begun: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._reason: Exception | None = None

    @property
    def alive(self) -> bool:
        """Whether it has begun, and not ended since."""
        return self._reading is not None and not self._reading.done()

    async def compute(self, task: Any, seconds: float) -> Any:
        """Return what `work` makes of a task within so many seconds, or raise what that raises.

        Raises `TimeoutError` for one that took too long, `ProcessEnded`, the reason that `end` was
        given, and `OSError` where no process can be begun.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        async with self._beginning:
            if not self.alive:
                await self._begin()
        self._writer.writelines(_framed(ForkingPickler.dumps(task)))
        self._answers.append(answer)
        self._seconds.append(seconds)
        if len(self._answers) == 1:
            self._wind_up()
        return await answer

    def end(self, reason: Exception) -> None:
        """End it, whatever it does; who waits for that gets the reason."""
        self._reason = reason
        self._process.kill()

    async def stop(self) -> None:
        """End it, and begin no other one."""
        if self._begun is not None:
            await asyncio.gather(self._begun, return_exceptions=True)
        if self._reading is not None:
            self._process.kill()
            await self._reading
            await asyncio.to_thread(self._process.join)

    async def _begin(self) -> None:
        # Whoever waits for it may be stopped: it is begun all the same, and ended by `stop`.
        self._begun = asyncio.create_task(self._start())
        await asyncio.shield(self._begun)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # The process counts there what it begins: one that was killed says nothing more.
        self._begun_tasks = self._context.Semaphore(0)
        with theirs:
            arguments = (self._work, theirs, self._begun_tasks, os.environ.copy())
            # mypy knows no context that makes processes of another class.
            self._process = self._context.Process(target=_work_on_tasks, args=arguments)
            self._process.daemon = True
            try:
                await asyncio.to_thread(self._process.start)
            except BaseException:
                ours.close()
                raise
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(LENGTH))
                self._settle(ForkingPickler.loads(await reader.readexactly(length)))
                self._begun_tasks.acquire(block=False)
        except (OSError, EOFError):
            self._process.kill()  # if it only closed its end
            self._writer.close()
            begun = self._begun_tasks.acquire(block=False)
            reason = self._reason or ProcessEnded(begun=begun)
            self._reason = None
            while self._answers:
                self._settle(reason)
                reason = ProcessEnded(begun=False)

    def _settle(self, result: Any) -> None:
        answer = self._answers.popleft()
        self._seconds.popleft()
        self._wind_up()
        if answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def _wind_up(self) -> None:
        """Give the task that is next its time."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self._seconds:
            late = TimeoutError("computing took too long")
            loop = asyncio.get_running_loop()
            self._clock = loop.call_later(self._seconds[0], self.end, late)


def _framed(data: Any) -> tuple[bytes, Any]:
    return len(data).to_bytes(LENGTH), data


def _work_on_tasks(
    work: Callable[[Any], Any],
    through: socket.socket,
    begun_tasks: Any,
    environment: Mapping[str, str],
) -> None:
    """Do what comes until nothing more can come. The first thing that a process does."""
    begin_worker(environment)
    lower_priority(BEHIND)
    with through, through.makefile("rwb", BUFFER) as pipe:
        while length := pipe.read(LENGTH):
            data = pipe.read(int.from_bytes(length))
            begun_tasks.release()
            task = ForkingPickler.loads(data)
            try:
                result = ForkingPickler.dumps(work(task))
            except Exception as error:  # whatever a hostile picture makes of a library
                result = _sendable(error)
            pipe.writelines(_framed(result))
            pipe.flush()


def _sendable(error: Exception) -> Any:
    try:
        return ForkingPickler.dumps(error)
    except Exception:  # it holds what cannot travel
        return ForkingPickler.dumps(RuntimeError(repr(error)))
