"""A process that computes one task at a time, connected to the event loop by a socket.

pebble's pool needs fewer lines, but its threads compete with the event loop for the interpreter
(figures in docs/experiments.md).
"""

import asyncio
import os
import socket
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pkgutil import resolve_name
from typing import Any

from gleanset.errors import Unreadable
from gleanset.platform import lower_process_priority
from gleanset.web.problems import RefusedRequest, unreadable_error
from gleanset.work.processes import WorkerContext, begin_worker
from webapp.computations import JOB, LOAD, Task
from webapp.settings import ServeSettings

LENGTH_BYTES = 8
"""Size of the length that precedes each task and each result."""
BUFFER_BYTES = 1 << 16
NICE_STEPS = 2
"""Lower priority than the HTTP process, which would otherwise be late to dispatch work."""


class ProcessEnded(Exception):
    """The process ended, usually because of its task."""


class ComputeProcess:
    """A process with a loaded model, used from one event loop."""

    def __init__(self, settings: ServeSettings):
        self._settings = settings
        self._context = WorkerContext(JOB)
        self._starting: asyncio.Task[None] | None = None
        self._process: BaseProcess | None = None
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._pipe is not None and not self._pipe[0].at_eof()

    async def start(self, seconds: float) -> None:
        """Start the process and wait for the model to load. Raises what `compute` raises."""
        self._close()
        # Shielded: if the caller is cancelled, `stop` still ends the process.
        self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)
        # The first result is None, once the model is loaded; an error is raised.
        await self._read_result(seconds)

    async def compute(self, task: Task, seconds: float) -> Any:
        """Return the result of a task. Raises its error, `TimeoutError` or `ProcessEnded`."""
        if self._pipe is None:
            raise ProcessEnded("the compute process is not running")
        _, writer = self._pipe
        data = ForkingPickler.dumps(task)
        writer.writelines((len(data).to_bytes(LENGTH_BYTES), data))
        return await self._read_result(seconds)

    def kill(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> None:
        """Kill the process and wait for its end."""
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        self.kill()
        self._close()
        if self._process is not None:
            await asyncio.to_thread(self._process.join)

    async def _start(self) -> None:
        own_end, child_end = socket.socketpair()
        with child_end:
            process = self._context.Process(
                target=_work_on_tasks,
                args=(child_end, self._settings, os.environ.copy()),
                daemon=True,
            )
            try:
                await asyncio.to_thread(process.start)
            except BaseException:
                own_end.close()
                raise

        self._process = process
        self._pipe = await asyncio.open_connection(sock=own_end)

    async def _read_result(self, seconds: float) -> Any:
        assert self._pipe is not None
        reader, _ = self._pipe
        try:
            async with asyncio.timeout(seconds):
                length = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
                answer = ForkingPickler.loads(await reader.readexactly(length))
        except (OSError, EOFError) as error:  # OSError includes TimeoutError
            # A partly read result must not be taken for that of the next task.
            self.kill()
            self._close()
            if isinstance(error, TimeoutError):
                raise
            raise ProcessEnded("the compute process ended") from error

        if isinstance(answer, Exception):
            raise answer
        return answer

    def _close(self) -> None:
        if self._pipe is not None:
            self._pipe[1].close()
        self._pipe = None


def _work_on_tasks(
    through: socket.socket, settings: ServeSettings, environment: dict[str, str]
) -> None:
    begin_worker(environment)
    lower_process_priority(os.getpid(), NICE_STEPS)
    with through, through.makefile("rwb", BUFFER_BYTES) as pipe:
        work: Any = None
        # The first answer, before any task: None once the model is loaded, or an error.
        answer: Any = None
        try:
            work = resolve_name(LOAD)(settings)
        except Exception as error:
            answer = RuntimeError(repr(error))
        while True:
            data = ForkingPickler.dumps(answer)
            pipe.writelines((len(data).to_bytes(LENGTH_BYTES), data))
            pipe.flush()
            # Ends if the model could not be loaded, or if the server closed its end of the socket.
            length = b"" if work is None else pipe.read(LENGTH_BYTES)
            if not length:
                return

            task = ForkingPickler.loads(pipe.read(int.from_bytes(length)))
            try:
                answer = work(task)
            except RefusedRequest as refused:
                answer = refused
            except Unreadable as image:
                answer = unreadable_error(image)
            except Exception as error:  # any failure of a library on untrusted bytes
                answer = RuntimeError(repr(error))
