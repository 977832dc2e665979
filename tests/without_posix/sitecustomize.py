"""Hides POSIX from Gleanset's own modules, to simulate Windows on a POSIX system.

Python imports a module of this name at its start: with this folder in PYTHONPATH, processes that a
test starts have no POSIX either. Only imports of our packages change, not the standard library or
other packages. `protect_open_files` changes files for every module, as a file system does.

Not simulated: drives, backslashes and short names in paths; killed processes die by SIGKILL.
docs/systems.md lists what that leaves out.
"""

import array
import builtins
import ctypes
import errno
import fcntl
import importlib
import importlib.machinery
import importlib.util
import os
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
from functools import cache, wraps
from types import ModuleType, SimpleNamespace
from typing import Any

PACKAGES = frozenset(
    (
        "gleanset",
        "curation",
        "harvest",
        "facecrop",
        "labeler",
        "baseline",
        "webapp",
        "pipeline",
    )
)
MISSING = frozenset(
    ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "uvloop")
)
"""Modules that Windows does not have."""
NOT_BUILT = frozenset(os.environ.get("WITHOUT_PACKAGES", "").split())
"""Packages that have no build for the simulated system."""
CONSOLE_SIGNALS = frozenset(
    {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
)

_OS_LACKS = """fork forkpty killpg getuid geteuid getgid getegid getgroups getpgid getpgrp getsid
setsid setuid setgid setpgid sched_getaffinity sched_setaffinity sched_yield nice getpriority
setpriority PRIO_PROCESS statvfs fstatvfs O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_CLOEXEC O_ASYNC O_SYNC
O_DSYNC O_NOCTTY O_PATH O_TMPFILE mkfifo mknod chown fchown lchown fchmod wait wait3 wait4 waitid
WNOHANG posix_spawn posix_spawnp posix_fallocate posix_fadvise pread pwrite preadv pwritev sendfile
copy_file_range uname ttyname getloadavg sysconf confstr set_blocking get_blocking fdatasync sync
chroot fchdir lockf openpty tcgetpgrp eventfd memfd_create pidfd_open splice pipe2"""
_SIGNAL_LACKS = (
    "setitimer getitimer pthread_sigmask pthread_kill sigwait sigpending pause alarm"
)
_SOCKET_LACKS = (
    "AF_UNIX",
    "SO_REUSEPORT",
    "recv_fds",
    "send_fds",
    "AF_NETLINK",
    "AF_VSOCK",
)


def hide_posix() -> None:
    """Hide POSIX from our packages from now on, in this process and those it starts."""
    importlib.machinery.SourceFileLoader.exec_module = _exec_module  # type: ignore[method-assign]
    protect_open_files()


def _exec_module(
    self: importlib.machinery.SourceFileLoader, module: ModuleType
) -> None:
    """Load a module; our own import by `_import`."""
    if module.__name__.partition(".")[0] in PACKAGES:
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(self.get_code(module.__name__), module.__dict__)  # type: ignore[arg-type]


def _import(name: str, *rest: Any) -> Any:
    top = name.partition(".")[0]
    if name in _WINDOWS_MODULES:
        return _WINDOWS_MODULES[name]
    if top in MISSING or top in NOT_BUILT:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = builtins.__import__(name, *rest)
    return _PROXIES.get(module.__name__, lambda: module)()


class ModuleProxy(ModuleType):
    """A module as on Windows: some names are missing, others replaced.

    Attributes are set on the real module, and read from there unless they are replaced.
    """

    def __init__(self, true: ModuleType, lacks: Any, **replaced: Any) -> None:
        super().__init__(true.__name__)
        self.__dict__.update(_true=true, _lacks=frozenset(lacks), **replaced)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_lacks"]:
            raise AttributeError(
                f"module {self.__name__!r} has no attribute {name!r} on Windows"
            )
        return getattr(self.__dict__["_true"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_true"], name, value)


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


def _os() -> ModuleProxy:
    nothing: frozenset[Any] = frozenset()
    replaced = {
        "kill": _kill,
        "open": _open,
        "supports_dir_fd": nothing,
        "supports_fd": nothing,
    }
    return ModuleProxy(
        os, _OS_LACKS.split(), name="nt", linesep="\r\n", O_BINARY=0, **replaced
    )


def _signal() -> ModuleProxy:
    names = {name for name in dir(signal) if name.startswith("SIG") and "_" not in name}
    return ModuleProxy(signal, (names - CONSOLE_SIGNALS) | set(_SIGNAL_LACKS.split()))


def _socket() -> ModuleProxy:
    def pair(*_: Any) -> Any:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            return ours, server.accept()[0]

    return ModuleProxy(socket, _SOCKET_LACKS, socketpair=pair)


def _check_sockets(files: Any) -> None:
    for file in files:
        number = file if isinstance(file, int) else file.fileno()
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            raise OSError(
                10038, "An operation was attempted on something that is not a socket"
            )


def _select() -> ModuleProxy:
    def waiting(reading: Any, writing: Any, troubled: Any, *seconds: Any) -> Any:
        _check_sockets([*reading, *writing, *troubled])
        return select.select(reading, writing, troubled, *seconds)

    return ModuleProxy(select, ("poll", "epoll", "kqueue"), select=waiting)


def _selectors() -> ModuleProxy:
    class SocketSelector(selectors.SelectSelector):
        def register(
            self, fileobj: Any, events: int, data: Any = None
        ) -> selectors.SelectorKey:
            _check_sockets([fileobj])
            return super().register(fileobj, events, data)

    lacks = ("PollSelector", "EpollSelector", "KqueueSelector")
    return ModuleProxy(selectors, lacks, DefaultSelector=SocketSelector)


def _subprocess() -> ModuleProxy:
    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            if options.get("pass_fds"):
                raise AssertionError("pass_fds not supported on Windows.")
            if options.get("preexec_fn"):
                raise ValueError("preexec_fn is not supported on Windows platforms")
            for name in ("process_group", "start_new_session"):
                options.pop(name, None)
            super().__init__(args, *rest, **options)

    return ModuleProxy(subprocess, (), Popen=Popen)


def _import_module(name: str, package: str | None = None) -> Any:
    return _WINDOWS_MODULES.get(name) or importlib.import_module(name, package)


def _windll() -> SimpleNamespace:
    """Return the Windows API that we use; a handle is a descriptor here."""

    def peek(
        handle: ctypes.c_void_p,
        _buffer: None,
        _size: int,
        _read: None,
        total: Any,
        _: None,
    ) -> bool:
        waiting = array.array("i", [0])
        fcntl.ioctl(handle.value or 0, termios.FIONREAD, waiting)
        total._obj.value = waiting[0]
        is_readable = bool(select.select([handle.value or 0], [], [], 0)[0])
        return bool(waiting[0]) or not is_readable  # readable and empty: at its end

    return SimpleNamespace(kernel32=SimpleNamespace(PeekNamedPipe=peek))


_WINDOWS_MODULES = {"msvcrt": SimpleNamespace(get_osfhandle=int)}


def _importlib_util() -> ModuleProxy:
    def find_spec(name: str, *package: Any) -> Any:
        top = name.partition(".")[0]
        return (
            None
            if top in MISSING | NOT_BUILT
            else importlib.util.find_spec(name, *package)
        )

    return ModuleProxy(importlib.util, (), find_spec=find_spec)


_PROXIES: dict[str, Callable[[], Any]] = {
    "os": cache(_os),
    "sys": cache(lambda: ModuleProxy(sys, (), platform="win32")),
    "signal": cache(_signal),
    "socket": cache(_socket),
    "ctypes": cache(lambda: ModuleProxy(ctypes, (), windll=_windll())),
    "select": cache(_select),
    "selectors": cache(_selectors),
    "subprocess": cache(_subprocess),
    "importlib": cache(
        lambda: ModuleProxy(importlib, (), import_module=_import_module)
    ),
    "importlib.util": cache(_importlib_util),
}


def protect_open_files() -> None:
    """Refuse to remove, rename or replace open or mapped files, and to remove read-only ones."""
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    for name in ("unlink", "remove", "rmdir"):
        setattr(os, name, _refusing_open_files(getattr(os, name), 1))
    for name in ("rename", "replace"):
        setattr(os, name, _refusing_open_files(getattr(os, name), 2))


def _refusing_open_files(plain: Any, paths: int) -> Any:
    @wraps(plain)
    def guarded(*words: Any, **options: Any) -> Any:
        for path in words[:paths]:
            _check_not_open(os.path.abspath(os.fsdecode(path)), removed=paths == 1)  # noqa: PTH100
        return plain(*words, **options)

    return guarded


def _check_not_open(path: str, *, removed: bool) -> None:
    try:
        status = os.lstat(path)
    except OSError:
        return
    real = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)  # noqa: PTH119, PTH120
    inside = f"{real}/" if stat.S_ISDIR(status.st_mode) else None
    if any(
        name == real or (inside and name.startswith(inside)) for name in _open_files()
    ):
        text = "The process cannot access the file because it is being used by another process"
        raise PermissionError(errno.EACCES, text, path)
    if removed and stat.S_ISREG(status.st_mode) and not status.st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, "Access is denied", path)


def _open_files() -> Iterator[str]:
    """Yield the files that this process has open or mapped."""
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            yield os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            if "/" in line:
                yield line[line.index("/") :].rstrip("\n")


hide_posix()
