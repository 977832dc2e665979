"""One stage at work on a dataset: refused when it runs already, clean after a kill.

The lock is the operating system's (released by itself when a process dies), so a killed
run never leaves a dataset that has to be unlocked by hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gleanset.errors import DatasetBusy
from gleanset.files.atomic import disk_errors

WAITING = "waiting"
"""The folder of the cache where earlier versions kept what a run that was stopped went on with."""


@contextmanager
def stage(cache: Path, name: str) -> Iterator[Path]:
    """Hold a stage; gives its scratch folder, empty before and after. Raises `DatasetBusy`."""
    scratch = cache / "scratch" / name
    with hold(cache, name):
        try:
            with disk_errors(scratch):
                shutil.rmtree(scratch, ignore_errors=True)
                # Workers of a command that was killed may write here a moment longer.
                scratch.mkdir(parents=True, exist_ok=True)
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def is_at_work(cache: Path, name: str) -> bool:
    """Return whether a process holds a stage."""
    # Only what a killed one left behind is tried, so that nobody is refused for the question.
    if not (cache / "scratch" / name).exists():
        return False
    try:
        with hold(cache, name):
            return False
    except DatasetBusy:
        return True


@contextmanager
def hold(cache: Path, name: str) -> Iterator[None]:
    """Hold a stage, and leave its scratch folder as it is. Raises `DatasetBusy`."""
    lock = cache / "locks" / f"{name}.lock"
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, timeout=0)
        try:
            held.acquire()
        except Timeout as error:
            raise DatasetBusy(
                f"{name!r} is already at work on this dataset",
                "wait until it has finished, or stop it, and run the command again",
            ) from error
    try:
        yield
    finally:
        held.release()
