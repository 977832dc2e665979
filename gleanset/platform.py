"""The one place that asks which operating system this is.

Every function works everywhere: where a system lacks the means, it does the next best thing, and
its docstring says which. Modules that only some systems have (`resource`, `pwd`) are imported
here alone, when they are used.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

# AT_FDCWD and RENAME_EXCHANGE of Linux.
_FROM_HERE, _EXCHANGE = -100, 2
# Seconds for which a file that somebody has open is tried again, and between two tries.
_PATIENCE, _NAP = 3.0, 0.01


def cores() -> int:
    """Return how many processors this process may use; of the machine where that is not told."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_display() -> bool:
    """Return whether a window could be shown."""
    elsewhere = sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM")
    return bool(elsewhere or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def lower_priority(steps: int = 10) -> None:
    """Let other programs go first; nothing where the system has no such order (Windows)."""
    if hasattr(os, "nice"):
        os.nice(steps)


def lower_process_priority(process: int) -> None:
    """Let other processes go before this one, by its id; nothing on Windows."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process, 10)


def lower_thread_priority() -> None:
    """Let the other threads of this process go first, where threads have an order (Linux)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def end_when_closed(pipe: int) -> None:
    """Let the kernel end this process once the other end of a pipe is closed (Linux)."""
    if sys.platform == "linux":
        with suppress(ImportError):
            import fcntl

            fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)


def user_name() -> str:
    """Return the login name of whoever runs this; 'someone' where the system has none."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # ImportError: no environment and no `pwd`
        return "someone"


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut; nothing where a folder cannot be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(source: Path, target: Path) -> None:
    """Rename a file over another one; on Windows again for a while, if one of them is open."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > until:
                raise
            time.sleep(_NAP)
        else:
            return


def read_available(pipe: int, most: int) -> bytes | None:
    """Return what lies in a pipe, nothing at its end; None where more may come. Does not wait."""
    if os.name == "nt":
        return _peeked(pipe, most)
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, most)
    except BlockingIOError:
        return None


def _peeked(pipe: int, most: int) -> bytes | None:
    windows: Any = import_module("_winapi")
    handle = import_module("msvcrt").get_osfhandle(pipe)
    try:
        waiting = windows.PeekNamedPipe(handle, 0)[0]
    except BrokenPipeError:
        return b""
    return os.read(pipe, min(waiting, most)) if waiting else None


def forbid_writing(path: Path) -> None:
    """Make a file read-only under all its names; not on Windows, nor a foreign file."""
    if os.name == "posix":
        with suppress(PermissionError):
            path.chmod(path.stat().st_mode & ~0o222)


def exchange_paths(path: Path, other: Path) -> bool:
    """Exchange two paths atomically (`renameat2`, man 2 rename); False where that cannot be."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done = rename(_FROM_HERE, os.fsencode(path), _FROM_HERE, os.fsencode(other), _EXCHANGE)
    return bool(done == 0)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Start processes in here that are deaf to Ctrl-C; as others are where signals have no mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # The first process of `multiprocessing` begins it, which unblocks the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
