"""Takes POSIX away from Gleanset's own modules, as far as one POSIX system can play another.

Python imports a module of this name at its start: with this folder in PYTHONPATH, whatever a test
starts has no POSIX either. Only what the rooms import is changed: the standard library and other
packages go on as they are, because how they work on Windows is their own affair. `open_files`
changes what a file allows for everybody, as a file system does.

Left as it is here: paths have one root and slashes, and no short names; processes that are killed
still die by SIGKILL. docs/systems.md lists what that leaves out.
"""

from __future__ import annotations

import array
import builtins
import errno
import fcntl
import importlib
import importlib.machinery
import importlib.util
import io
import multiprocessing
import os
import pathlib
import select
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import ModuleType
from typing import Any

ROOMS = frozenset(
    ("gleanset", "curation", "harvest", "facecrop", "labeler", "baseline", "webapp", "pipeline")
)
MISSING = frozenset(
    ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "uvloop")
)
"""Modules that Windows does not have."""
NOT_BUILT = frozenset(os.environ.get("WITHOUT_PACKAGES", "").split())
"""Packages that have no build for the system that is played."""
LOCALE = "cp1252"
CONSOLE_SIGNALS = frozenset({"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"})

_OS_LACKS = """fork forkpty killpg getuid geteuid getgid getegid getgroups getpgid getpgrp getsid
setsid setuid setgid setpgid sched_getaffinity sched_setaffinity sched_yield nice getpriority
setpriority PRIO_PROCESS statvfs fstatvfs O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_CLOEXEC O_ASYNC O_SYNC
O_DSYNC O_NOCTTY O_PATH O_TMPFILE mkfifo mknod chown fchown lchown fchmod wait wait3 wait4 waitid
WNOHANG posix_spawn posix_spawnp posix_fallocate posix_fadvise pread pwrite preadv pwritev sendfile
copy_file_range uname ttyname getloadavg sysconf confstr set_blocking get_blocking fdatasync sync
chroot fchdir lockf openpty tcgetpgrp eventfd memfd_create pidfd_open splice pipe2"""
_SIGNAL_LACKS = "setitimer getitimer pthread_sigmask pthread_kill sigwait sigpending pause alarm"
_SOCKET_LACKS = ("AF_UNIX", "SO_REUSEPORT", "recv_fds", "send_fds", "AF_NETLINK", "AF_VSOCK")


def take_away() -> None:
    """Let the rooms be imported without POSIX from now on, in this process and those it starts."""
    importlib.machinery.SourceFileLoader.exec_module = _exec_module  # type: ignore[method-assign]
    _patch_paths()
    open_files()


def _exec_module(self: importlib.machinery.SourceFileLoader, module: ModuleType) -> None:
    """As every module is loaded; those of the rooms import by `_import`."""
    if module.__name__.partition(".")[0] in ROOMS:
        module.__dict__["__builtins__"] = {
            **vars(builtins),
            "__import__": _import,
            "open": _opening(builtins.open),
        }
    exec(self.get_code(module.__name__), module.__dict__)  # type: ignore[arg-type]


def _import(name: str, *rest: Any) -> Any:
    top = name.partition(".")[0]
    if name in _OF_WINDOWS:
        return _OF_WINDOWS[name]
    if top in MISSING or top in NOT_BUILT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = builtins.__import__(name, *rest)
    return _STAND_INS.get(module.__name__, lambda: module)()


class StandIn(ModuleType):
    """A module as Windows has it: some names are missing, and others are replaced.

    What is set on it is set on the true one, and read from there unless it is replaced.
    """

    def __init__(self, true: ModuleType, lacks: Any, **replaced: Any) -> None:
        super().__init__(true.__name__)
        self.__dict__.update(_true=true, _lacks=frozenset(lacks), **replaced)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_lacks"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self.__dict__["_true"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_true"], name, value)


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    kept: list[Any] = []

    def get() -> Any:
        if not kept:
            kept.append(make())
        return kept[0]

    return get


def _no_symlinks(source: Any, target: Any, *_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "A required privilege is not held by the client")


def _kill(pid: int, number: int) -> None:
    """End a process at once, whatever the signal: TerminateProcess."""
    if number != signal.SIGTERM:
        raise OSError(errno.EINVAL, "The parameter is incorrect")
    os.kill(pid, signal.SIGKILL)


def _open(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
    if options:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if os.path.isdir(path):  # noqa: PTH112 - a str, bytes or path
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return os.open(path, flags, mode)


def _rename(source: Any, target: Any) -> None:
    if os.path.exists(target):  # noqa: PTH110
        raise FileExistsError(errno.EEXIST, "The file exists", str(target))
    os.rename(source, target)  # noqa: PTH104


def _os() -> StandIn:
    nothing: frozenset[Any] = frozenset()
    replaced = {"symlink": _no_symlinks, "kill": _kill, "open": _open}
    replaced |= {"rename": _rename, "supports_dir_fd": nothing, "supports_fd": nothing}
    return StandIn(os, _OS_LACKS.split(), name="nt", linesep="\r\n", O_BINARY=0, **replaced)


def _signal() -> StandIn:
    names = {name for name in dir(signal) if name.startswith("SIG") and "_" not in name}
    return StandIn(signal, (names - CONSOLE_SIGNALS) | set(_SIGNAL_LACKS.split()))


def _socket() -> StandIn:
    def pair(*_: Any) -> Any:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            return ours, server.accept()[0]

    return StandIn(socket, _SOCKET_LACKS, socketpair=pair)


def _only_sockets(files: Any) -> None:
    for file in files:
        number = file if isinstance(file, int) else file.fileno()
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            raise OSError(10038, "An operation was attempted on something that is not a socket")


def _select() -> StandIn:
    def waiting(reading: Any, writing: Any, troubled: Any, *seconds: Any) -> Any:
        _only_sockets([*reading, *writing, *troubled])
        return select.select(reading, writing, troubled, *seconds)

    return StandIn(select, ("poll", "epoll", "kqueue"), select=waiting)


def _selectors() -> StandIn:
    class SocketSelector(selectors.SelectSelector):
        def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
            _only_sockets([fileobj])
            return super().register(fileobj, events, data)

    lacks = ("PollSelector", "EpollSelector", "KqueueSelector")
    return StandIn(selectors, lacks, DefaultSelector=SocketSelector)


def _subprocess() -> StandIn:
    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            if options.get("pass_fds"):
                raise AssertionError("pass_fds not supported on Windows.")
            if options.get("preexec_fn"):
                raise ValueError("preexec_fn is not supported on Windows platforms")
            if (options.get("text") or options.get("universal_newlines")) and "encoding" not in (
                options
            ):
                options["encoding"] = LOCALE
            for name in ("process_group", "start_new_session"):
                options.pop(name, None)
            super().__init__(args, *rest, **options)

    def run(*words: Any, **options: Any) -> Any:
        if options.get("text"):
            options.setdefault("encoding", LOCALE)
        return subprocess.run(*words, **options)

    return StandIn(subprocess, (), Popen=Popen, run=run)


def _import_module(name: str, package: str | None = None) -> Any:
    return _OF_WINDOWS.get(name) or importlib.import_module(name, package)


def _winapi() -> ModuleType:
    """What is asked of Windows itself; a handle is a descriptor here."""

    def peek(handle: int, size: int) -> tuple[int, int]:
        waiting = array.array("i", [0])
        fcntl.ioctl(handle, termios.FIONREAD, waiting)
        if not waiting[0] and select.select([handle], [], [], 0)[0]:  # readable: at its end
            raise BrokenPipeError(errno.EPIPE, "The pipe has been ended")
        return waiting[0], 0

    made = ModuleType("_winapi")
    made.PeekNamedPipe = peek  # type: ignore[attr-defined]
    return made


def _msvcrt() -> ModuleType:
    made = ModuleType("msvcrt")
    made.get_osfhandle = int  # type: ignore[attr-defined]
    return made


_OF_WINDOWS = {"_winapi": _winapi(), "msvcrt": _msvcrt()}


def _importlib_util() -> StandIn:
    def find_spec(name: str, *package: Any) -> Any:
        top = name.partition(".")[0]
        return None if top in MISSING | NOT_BUILT else importlib.util.find_spec(name, *package)

    return StandIn(importlib.util, (), find_spec=find_spec)


def _multiprocessing() -> StandIn:
    def get_context(method: str | None = None) -> Any:
        if method not in (None, "spawn"):
            raise ValueError(f"cannot find context for {method!r}")
        return multiprocessing.get_context("spawn")

    def methods() -> list[str]:
        return ["spawn"]

    return StandIn(multiprocessing, (), get_context=get_context, get_all_start_methods=methods)


_STAND_INS: dict[str, Callable[[], Any]] = {
    "os": _once(_os),
    "sys": _once(lambda: StandIn(sys, (), platform="win32")),
    "signal": _once(_signal),
    "socket": _once(_socket),
    "select": _once(_select),
    "selectors": _once(_selectors),
    "subprocess": _once(_subprocess),
    "importlib": _once(lambda: StandIn(importlib, (), import_module=_import_module)),
    "importlib.util": _once(_importlib_util),
    "multiprocessing": _once(_multiprocessing),
}


def _asked_by_a_room() -> bool:
    """Whether the nearest caller that is neither a library nor this file is a module of a room."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] in ROOMS:
            return True
        if name not in ("pathlib", "pathlib._local", "shutil", __name__, "tempfile"):
            return False
        frame = frame.f_back
    return False


def _opening(plain: Any) -> Any:
    """`open` and its like: text is in the system's code page, and lines end with CR and LF."""

    @wraps(plain)
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        **more: Any,
    ) -> Any:
        if "b" not in mode and _asked_by_a_room():
            encoding = encoding or LOCALE
            newline = "\r\n" if newline is None and not mode.startswith("r") else newline
        return plain(file, mode, buffering, encoding, errors, newline, **more)

    return opened


def _patch_paths() -> None:
    """Change what `pathlib` does by itself, where a room asks it."""
    path: Any = pathlib.Path
    io.open = _opening(io.open)
    plain_open = path.open

    def opened(self: Any, *words: Any, **options: Any) -> Any:
        return _opening(partial(plain_open))(self, *words, **options)

    path.open = opened
    path.write_text = _for_rooms(
        path.write_text,
        lambda self, data, **options: path.write_bytes(
            self,
            data.replace("\n", options.get("newline") or "\r\n").encode(
                options.get("encoding") or LOCALE
            ),
        ),
    )
    path.symlink_to = _for_rooms(path.symlink_to, lambda self, to, *_: _no_symlinks(to, self))
    path.rename = _for_rooms(path.rename, lambda self, to: _rename(self, to) or pathlib.Path(to))


def _for_rooms(plain: Any, other: Any) -> Any:
    """Call `other` in place of `plain` where a room asks."""

    @wraps(plain)
    def chosen(*words: Any, **options: Any) -> Any:
        return (other if _asked_by_a_room() else plain)(*words, **options)

    return chosen


def open_files() -> None:
    """Keep files that this process has open or mapped from being removed, renamed or replaced.

    Nor is a file removed that may not be written.
    """
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    for name in ("unlink", "remove", "rmdir"):
        setattr(os, name, _guarded(getattr(os, name), 1))
    for name in ("rename", "replace"):
        setattr(os, name, _guarded(getattr(os, name), 2))


def _guarded(plain: Any, paths: int) -> Any:
    @wraps(plain)
    def guarded(*words: Any, **options: Any) -> Any:
        for path in words[:paths]:
            _refuse_used(os.path.abspath(os.fsdecode(path)), removed=paths == 1)  # noqa: PTH100
        return plain(*words, **options)

    return guarded


def _refuse_used(path: str, *, removed: bool) -> None:
    try:
        status = os.lstat(path)
    except OSError:
        return
    real = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)  # noqa: PTH119, PTH120
    inside = f"{real}/" if stat.S_ISDIR(status.st_mode) else None
    if any(name == real or (inside and name.startswith(inside)) for name in _in_use()):
        text = "The process cannot access the file because it is being used by another process"
        raise PermissionError(errno.EACCES, text, path)
    if removed and stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, "Access is denied", path)


def _in_use() -> Iterator[str]:
    """The files that this process has open or mapped."""
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            yield os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            if "/" in line:
                yield line[line.index("/") :].rstrip("\n")


take_away()
