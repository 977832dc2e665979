"""A process that computes one task at a time, asked through a socket by the event loop.

pebble's pool would do the same in fewer lines, and was measured beside this: its threads compete
with the event loop for the interpreter (docs/experiments.md has the figures).
"""

from __future__ import annotations

import asyncio
import os
import socket
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pkgutil import resolve_name
from typing import Any

from gleanset.platform import lower_priority
from gleanset.work.processes import WorkerContext, begin_worker
from webapp.computations import JOB, WORK, Task
from webapp.problems import RefusedRequest

LENGTH_BYTES = 8
"""Bytes before each task and each result, which say how long it is."""
BUFFER_BYTES = 1 << 16
PRIORITY_STEPS = 2
"""By which the process that talks HTTP goes first: else cores idle until it deals out more."""


class ProcessEnded(Exception):
    """The process has ended, most often because of what it worked on."""


class ComputeProcess:
    """A process with a loaded model. Used from one event loop.

    `settings` are `ServeSettings` as text.
    """

    def __init__(self, settings: str) -> None:
        self._settings, self._context = settings, WorkerContext(JOB)
        self._starting: asyncio.Task[None] | None = None
        self._process: BaseProcess | None = None
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def alive(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self._pipe is not None and not self._pipe[0].at_eof()

    async def start(self, seconds: float) -> None:
        """Start it, and wait until it has loaded the model. Raises what `compute` raises."""
        self._close()
        # The caller may be cancelled: it is started all the same, and ended by `stop`.
        self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)
        await self._answer(seconds)

    async def compute(self, task: Task, seconds: float) -> Any:
        """Return what the process makes of a task, or raise what that raises.

        Raises `TimeoutError` for one that took too long, and `ProcessEnded`.
        """
        if self._pipe is None:
            raise ProcessEnded("there is no process that computes")
        data = ForkingPickler.dumps(task)
        self._pipe[1].writelines((len(data).to_bytes(LENGTH_BYTES), data))
        return await self._answer(seconds)

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> None:
        """End it, and wait for that."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        self.end()
        self._close()
        if self._process is not None:
            await asyncio.to_thread(self._process.join)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = (theirs, self._settings, os.environ.copy())
            # mypy knows no context that makes processes of another class.
            process = self._context.Process(target=_work_on_tasks, args=arguments, daemon=True)
            try:
                await asyncio.to_thread(process.start)
            except BaseException:
                ours.close()
                raise
        self._process, self._pipe = process, await asyncio.open_connection(sock=ours)

    async def _answer(self, seconds: float) -> Any:
        assert self._pipe is not None
        reader, _ = self._pipe
        try:
            async with asyncio.timeout(seconds):
                length = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
                answer = ForkingPickler.loads(await reader.readexactly(length))
        except (OSError, EOFError) as error:  # the first is a `TimeoutError`, too
            # What was not read yet belongs to no other task.
            self.end()
            self._close()
            if isinstance(error, TimeoutError):
                raise
            raise ProcessEnded("the process that computes has ended") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe[1].close()
        self._pipe = None


def _work_on_tasks(through: socket.socket, settings: str, environment: dict[str, str]) -> None:
    begin_worker(environment)
    lower_priority(PRIORITY_STEPS)
    with through, through.makefile("rwb", BUFFER_BYTES) as pipe:
        work: Any = None
        answer: Any = None
        try:
            work = resolve_name(WORK)(settings)
        except Exception as error:
            answer = RuntimeError(repr(error))
        while True:
            data = ForkingPickler.dumps(answer)
            pipe.writelines((len(data).to_bytes(LENGTH_BYTES), data))
            pipe.flush()
            if work is None or not (length := pipe.read(LENGTH_BYTES)):
                return
            task = ForkingPickler.loads(pipe.read(int.from_bytes(length)))
            try:
                answer = work(task)
            except RefusedRequest as refused:
                answer = refused
            except Exception as error:  # whatever a hostile picture makes of a library
                answer = RuntimeError(repr(error))
