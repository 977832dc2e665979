"""Functions that depend on the operating system; no other module checks which one it is.

Every function works everywhere: if a system lacks a feature, the docstring names the fallback.
Modules that only some systems have (`resource`, `pwd`) are imported only here, when used.
"""

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

# AT_FDCWD and RENAME_EXCHANGE of Linux (man 2 rename).
_FROM_HERE = -100
_EXCHANGE = 2
# M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc (man 3 mallopt), in bytes; 32 MB is the maximum.
_MALLOC_OPTIONS = {-1: 256 << 20, -3: 32 << 20}
# For how long the rename of an open file is retried, and the time between two attempts.
_RENAME_TIMEOUT_SECONDS = 3.0
_RENAME_PAUSE_SECONDS = 0.01


def count_cores() -> int:
    """Return the number of CPUs for this process, or else the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_current_folder() -> bool:
    """Return whether the current folder exists; it may be deleted while a shell is in it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def has_display() -> bool:
    """Return whether a window can be shown."""
    if sys.platform in ("win32", "darwin"):
        return True
    variables = ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    return any(os.environ.get(name) for name in variables)


def lower_process_priority(process: int, steps: int = 10) -> None:
    """Lower a process, by id, to `steps` below the usual priority; not on Windows."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process, steps)


def lower_thread_priority() -> None:
    """Lower the priority of this thread; does nothing except on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def end_when_closed(pipe: int) -> None:
    """End this process when a pipe's other end closes; only on Linux."""
    if sys.platform == "linux":
        with suppress(ImportError):
            import fcntl

            # The kernel then sends SIGIO, which by default ends the process.
            fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)


def get_user_name() -> str:
    """Return the login name of the current user, or 'someone'."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # ImportError: no environment and no `pwd`
        return "someone"


def sync_folder(folder: Path) -> None:
    """Sync a folder so that renames survive power cuts; not on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(source: Path, target: Path) -> None:
    """Rename a file over another; on Windows, retry while one is open."""
    deadline = time.monotonic() + _RENAME_TIMEOUT_SECONDS
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(_RENAME_PAUSE_SECONDS)
        else:
            return


def read_available(pipe: int, max_bytes: int) -> bytes | None:
    """Read a pipe without waiting: b'' at its end, None if empty."""
    if os.name == "nt":
        return _read_windows_pipe(pipe, max_bytes)
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, max_bytes)
    except BlockingIOError:
        return None


def _read_windows_pipe(pipe: int, max_bytes: int) -> bytes | None:
    windows: Any = ctypes  # whose names on other systems lack `windll`
    handle = import_module("msvcrt").get_osfhandle(pipe)
    available = ctypes.c_ulong()
    is_open = windows.windll.kernel32.PeekNamedPipe(
        ctypes.c_void_p(handle), None, 0, None, ctypes.byref(available), None
    )
    if not is_open:
        return b""
    return os.read(pipe, min(available.value, max_bytes)) if available.value else None


def forbid_writing(path: Path) -> None:
    """Make an own file and its hard links read-only; not on Windows."""
    if os.name == "posix":
        with suppress(PermissionError):
            path.chmod(path.stat().st_mode & ~0o222)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next image, instead of requesting it again and again."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        for option, size in _MALLOC_OPTIONS.items():
            ctypes.CDLL(None).mallopt(option, size)


def exchange_paths(path: Path, other: Path) -> bool:
    """Exchange two paths atomically with `renameat2`; return False if that fails."""
    with suppress(AttributeError, OSError, TypeError):
        names = os.fsencode(path), os.fsencode(other)
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        code = rename(
            _FROM_HERE,
            names[0],
            _FROM_HERE,
            names[1],
            _EXCHANGE,
        )
        return bool(code == 0)
    return False


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Raise the `KeyboardInterrupt` of a Ctrl-C at the end of the block.

    Python's queues, conditions and futures stay locked, or miss a wake-up, if it is raised in one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts are raised in the main thread only
        return

    interrupts = []
    before = signal.signal(
        signal.SIGINT,
        lambda number, _: interrupts.append(number),
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def block_interrupts() -> Iterator[None]:
    """Block Ctrl-C for processes started in the block; no effect on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return

    from multiprocessing import resource_tracker

    # Otherwise the first process of `multiprocessing` starts it, which unblocks the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
