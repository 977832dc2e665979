"""Jobs for the workers of `test_pool.py`, importable in a new process."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from gleanset.errors import DiskFull, RateLimited, Unreadable
from gleanset.work import processes


def double(number: int) -> int:
    return 2 * number


def fail_sometimes(number: int) -> int:
    if number == 1:
        raise Unreadable("truncated", "at byte 9")
    if number == 2:
        raise ZeroDivisionError("oh")
    return number


def out_of_space(number: int) -> int:
    if number == 3:
        raise DiskFull("no space left for x", "free some")
    return number


def rate_limited(number: int) -> int:
    raise RateLimited("site said no", "wait")


def slow(number: int) -> int:
    time.sleep(60 if number == 1 else 0)
    return number


def sleep_briefly(number: int) -> int:
    time.sleep(0.05)
    return number


def matrix_threads(_: object) -> set[int]:
    """Return the number of threads of NumPy's matrix multiplication."""
    import numpy as np  # noqa: F401 - loads the library whose threads are counted
    from threadpoolctl import threadpool_info

    return {
        blas["num_threads"] for blas in threadpool_info() if blas["user_api"] == "blas"
    }


def opencv_threads(_: object) -> int:
    """Return the number of threads that OpenCV uses."""
    import cv2

    return int(cv2.getNumThreads())


class DiesOnce:
    """A job that kills its process at the first sight of `victims`."""

    def __init__(self, folder: Path, victims: tuple[int, ...], times: int = 1) -> None:
        self.folder = folder
        self.victims = victims
        self.times = times

    def __call__(self, number: int) -> int:
        if number in self.victims:
            for turn in range(self.times):
                mark = self.folder / f"{number}-{turn}"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return number


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def big(number: int) -> bytes:
    return bytes(5_000_000)


def noisy(number: int) -> int:
    os.write(2, b"libtiff: bla bla\n")
    return number


def unpicklable(number: int) -> object:
    return (lambda: number) if number else number


def runaway(number: int) -> int:
    sys.setrecursionlimit(500)

    def deeper(n: int) -> int:
        return deeper(n + 1) + 1

    return deeper(0)


def write_pid_and_sleep(folder: str) -> int:
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)
    return 0


def variable(name: str) -> str:
    return os.environ.get(name, "")


def die_at_start(environment: dict[str, str]) -> None:
    """Fail to start as a worker."""
    os._exit(1)


class DiesOnceAtStart:
    """An initializer that removes the marker and dies, once."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self, environment: dict[str, str]) -> None:
        with suppress(FileNotFoundError):
            self.marker.unlink()
            os._exit(1)
        # Not patched in the worker process.
        processes.begin_worker(environment)
