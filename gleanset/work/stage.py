"""Locks of stages: each stage runs in at most one process per dataset.

The operating system releases the lock when a process dies, so a killed run never leaves a dataset
that must be unlocked by hand.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gleanset.errors import DatasetBusy
from gleanset.files.atomic import disk_errors


@contextmanager
def stage(cache: Path, name: str) -> Iterator[Path]:
    """Lock a stage and yield its temporary, empty scratch folder. Raises `DatasetBusy`."""
    scratch = cache / "scratch" / name
    with hold_lock(cache, name):
        try:
            with disk_errors(scratch):
                shutil.rmtree(scratch, ignore_errors=True)
                # Workers of a killed command may still write here for a moment.
                scratch.mkdir(parents=True, exist_ok=True)
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def is_running(cache: Path, name: str) -> bool:
    """Return whether a process holds the lock of a stage."""
    # Without a scratch folder no stage runs: do not take the lock, another process may want it.
    if not (cache / "scratch" / name).exists():
        return False
    try:
        with hold_lock(cache, name):
            return False
    except DatasetBusy:
        return True


@contextmanager
def hold_lock(cache: Path, name: str) -> Iterator[None]:
    """Lock a stage without touching its scratch folder. Raises `DatasetBusy`."""
    from filelock import FileLock, Timeout  # half of the commands lock nothing

    lock = cache / "locks" / f"{name}.lock"
    with disk_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file_lock = FileLock(lock, timeout=0)
        try:
            file_lock.acquire()
        except Timeout as error:
            raise DatasetBusy(
                f"{name!r} is already running on this dataset",
                "wait until it has finished, or stop it, and run the command again",
            ) from error
    try:
        yield
    finally:
        file_lock.release()
