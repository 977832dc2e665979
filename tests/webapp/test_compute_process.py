"""A process that computes: results in their order, and what becomes of tasks when it ends."""

import asyncio
import multiprocessing
import operator
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from webapp.compute_process import ComputeProcess, ProcessEnded


def test_a_process_that_ends_is_begun_anew_and_only_what_had_begun_is_blamed() -> None:
    async def tried() -> None:
        process = ComputeProcess(operator.call, "webapp.compute_process")

        async def did(function: partial[Any], seconds: float = 60) -> Any:
            return await process.compute(function, seconds)

        assert await asyncio.gather(did(partial(pow, 2, 3)), did(partial(int, "7"))) == [8, 7]
        with pytest.raises(ValueError, match="invalid literal"):
            await did(partial(int, "seven"))
        with pytest.raises(RuntimeError, match="of no module"):
            await did(partial(exec, "raise type('E', (Exception,), {})('of no module')"))
        with pytest.raises(TimeoutError):
            await did(partial(time.sleep, 60), seconds=0.2)
        assert not process.alive
        both = did(partial(os._exit, 1)), did(partial(pow, 2, 3))
        died, behind = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(died, ProcessEnded)
        assert isinstance(behind, ProcessEnded)
        assert (died.begun, behind.begun) == (True, False)
        own = await did(partial(os.getpid))
        os.kill(own, 9)  # with nothing in hand, and nobody has noticed
        with pytest.raises(ProcessEnded) as unread:
            await did(partial(pow, 2, 3))
        assert not unread.value.begun
        own = await did(partial(os.getpid))
        large = await did(partial(bytes, 20_000_000))
        assert large == bytes(20_000_000)
        await process.stop()
        assert own not in {one.pid for one in multiprocessing.active_children()}

    asyncio.run(tried())


HOLDS_THE_LOCK = """
import asyncio, operator, os, re
from functools import partial
from webapp.compute_process import ComputeProcess

async def main():
    process = ComputeProcess(operator.call, "webapp.compute_process")
    print(await process.compute(partial(os.getpid), 60), flush=True)
    await process.compute(partial(re.match, "(a+)+$", "a" * 60 + "b"), 600)

asyncio.run(main())
"""


@pytest.mark.posix("a signal where a pipe closes")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when the library returns")
def test_it_ends_with_its_parent_also_while_a_library_holds_pythons_lock() -> None:
    line = [sys.executable, "-c", HOLDS_THE_LOCK]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        place = Path("/proc", parent.stdout.readline().strip())
        time.sleep(0.3)  # the search has begun
        parent.kill()
    end = time.monotonic() + 20
    while (place / "exe").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not (place / "exe").exists()
