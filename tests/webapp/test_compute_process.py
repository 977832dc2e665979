"""Compute processes: results, errors, restarts and their end."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from server_helpers import solid_image
from tools_for_tests import eventually, is_running

from webapp.computations import PREDICT, Task, Upload
from webapp.compute_process import ComputeProcess, ProcessEnded
from webapp.settings import ServeSettings

RED = [Upload("red.png", solid_image("red"))]


def run_apart(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in another thread: a browser may occupy the event loop of this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(main())).result()


def test_process_restarts_after_end(settings: ServeSettings) -> None:
    others = multiprocessing.active_children()  # of servers that other tests share

    async def main() -> None:
        process = ComputeProcess(settings)
        assert not process.alive
        await process.start(60)
        (answer,), seconds = await process.compute(Task(PREDICT, [RED]), 60)
        assert (b'"answer":"red"' in answer, 0 <= seconds < 60) == (True, True)
        with pytest.raises(RuntimeError, match="TypeError"):
            await process.compute(Task("time:sleep", [None]), 60)
        assert process.alive, "an error of a library ends no process"
        with pytest.raises(TimeoutError):
            await process.compute(Task("test_compute_process:sleep", [None]), 0.2)
        assert not process.alive
        await process.start(60)
        computation = asyncio.create_task(
            process.compute(Task("test_compute_process:sleep", [None]), 60)
        )
        await asyncio.sleep(0.1)
        process.kill()
        with pytest.raises(ProcessEnded):
            await computation
        await process.start(60)
        with pytest.raises(ProcessEnded):
            await process.compute(Task("test_compute_process:die", [None]), 60)
        await process.start(60)
        (answer,), _ = await process.compute(
            Task("test_compute_process:large", [None]), 60
        )
        assert answer == bytes(20_000_000)
        await process.stop()
        assert set(multiprocessing.active_children()) <= set(others)

    run_apart(main)


def test_missing_model_raises_error(settings: ServeSettings) -> None:
    async def main() -> None:
        Path(settings.model).unlink()
        process = ComputeProcess(settings)
        with pytest.raises(RuntimeError, match="InputUnusable"):
            await process.start(60)
        await process.stop()

    run_apart(main)


def sleep(*_: object) -> None:
    time.sleep(60)


def die(*_: object) -> None:
    os._exit(1)


def large(*_: object) -> bytes:
    return bytes(20_000_000)


def hold_gil(*_: object) -> None:
    """Hold the GIL forever, as a library may."""
    import re

    re.match("(a+)+$", "a" * 60 + "b")


HOLD_GIL_SCRIPT = """
import asyncio, sys
from webapp.computations import Task
from webapp.compute_process import ComputeProcess
from webapp.settings import ServeSettings

async def main():
    process = ComputeProcess(ServeSettings(model=sys.argv[1]))
    await process.start(60)
    print(process._process.pid, flush=True)
    await process.compute(Task("test_compute_process:hold_gil", [None]), 600)

asyncio.run(main())
"""


@pytest.mark.posix("a signal where a pipe closes")
@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere it ends when the library returns"
)
def test_process_ends_with_parent_while_gil_is_held(settings: ServeSettings) -> None:
    line = [sys.executable, "-c", HOLD_GIL_SCRIPT, settings.model]
    search = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": search}
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.3)  # the search has begun
        parent.kill()
    assert eventually(lambda: not is_running(pid), 20)
