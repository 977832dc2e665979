"""ffmpeg as a subprocess: find it, start it safely, read its outputs, end it with this process."""

from __future__ import annotations

import errno
import os
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import ffmpeg

from gleanset.errors import DiskFull, MissingComponent, Unreadable
from gleanset.platform import read_available

# Excludes text, image and playlist demuxers: a playlist could make ffmpeg read other files.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,m4v,"
    "h264,hevc,av1,ivf,obu,mxf,nut,dv,vob,wtv,gif,apng"
)
# Placeholder: ffmpeg-python does not accept paths that are not UTF-8, so they are inserted later.
_INPUT = "file:INPUT"
# Name of the log among the outputs.
LOG = "log"
_CHUNK = 1 << 20
# After a read of fewer than `_LITTLE` bytes, wait `_NAP` seconds, so that more has arrived; but
# the output `LARGE` fills its pipe sooner, so data in it ends the wait.
_LITTLE, _NAP = 1 << 16, 0.03
LARGE = "pictures"
# Linux's default maximum for unprivileged users; larger pipes mean fewer context switches.
_PIPE_BYTES = 1 << 20
# Whether a child process can inherit pipes beyond its three standard streams.
_INHERITED = os.name == "posix"
_RUNNING: set[subprocess.Popen[Any]] = set()


def find_ffmpeg() -> str:
    """Return the path of ffmpeg. Raises `MissingComponent` if there is none."""
    if path := shutil.which("ffmpeg"):
        return path
    with suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        # IMAGEIO_FFMPEG_EXE is returned unchecked.
        if path := shutil.which(str(imageio_ffmpeg.get_ffmpeg_exe())):
            return path
    raise MissingComponent(
        "there is no ffmpeg on this machine",
        "install it: sudo apt-get install ffmpeg, brew install ffmpeg or winget install ffmpeg",
    )


def video_input(**options: Any) -> Any:
    """Return an ffmpeg-python input that opens only the file set by `command_words`."""
    return ffmpeg.input(_INPUT, format_whitelist=CONTAINERS, protocol_whitelist="file", **options)


def command_words(graph: Any, video: Path, log_level: str) -> list[str]:
    """Return the command line that runs an ffmpeg-python graph on a video."""
    silent = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level)
    words: list[str] = ffmpeg.compile(graph.global_args(*silent), cmd=find_ffmpeg())
    return [f"file:{video}" if word == _INPUT else word for word in words]


def ending_with_us(command: Sequence[str]) -> list[str]:
    """Wrap a command, if setpriv is installed, to die with this process."""
    guard = shutil.which("setpriv")
    return [*([guard, "--pdeathsig", "KILL"] if guard else []), *command]


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run ffmpeg until the block ends; `options` are passed to `Popen`.

    Raises `MissingComponent` if it cannot be started.
    """
    try:
        # A process group of its own, so that children of a wrapper script are killed as well.
        process = subprocess.Popen(  # noqa: S603
            ending_with_us(command), stdin=subprocess.DEVNULL, process_group=0, **options
        )
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
            raise
        raise MissingComponent(
            f"{command[0]} cannot be started: {error.strerror}",
            "install an ffmpeg that runs here, and put it first in PATH",
        ) from error
    with process:
        _RUNNING.add(process)
        try:
            yield process
        finally:
            _RUNNING.discard(process)
            _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        if os.name == "nt":
            process.kill()
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def end_all() -> None:
    """Kill all ffmpeg processes, as Ctrl-C does not reach their groups."""
    for process in tuple(_RUNNING):
        _end(process)


def ffmpeg_log(command: Sequence[str], seconds: float) -> str:
    """Run ffmpeg and return its log.

    Raises `Unreadable` if it takes longer than `seconds`.
    """
    with started(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            return str(process.communicate(timeout=seconds)[1])
        except subprocess.TimeoutExpired as error:
            raise Unreadable("too slow", f"ffmpeg took longer than {seconds:.0f} s") from error


def _enlarge_pipe(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class RunningFfmpeg:
    """Running ffmpeg process with several outputs, read by one thread; a context manager.

    Each argument `OUT:name` of the command becomes a pipe, or a loopback socket on Windows, where
    pipes cannot be inherited. ffmpeg is killed at the end of the `with` block, and with this
    process (see `ending_with_us`). Raises `MissingComponent` as `started` does.
    """

    def __init__(self, command: Sequence[str], names: Sequence[str]) -> None:
        with ExitStack() as opened, ExitStack() as ends:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._opened = opened
            self._connections = opened.enter_context(ExitStack())
            places, kept = {}, []
            for name in names:
                if _INHERITED:
                    kept.append(self._new_pipe(name, ends))
                    places[f"OUT:{name}"] = f"pipe:{kept[-1]}"
                else:
                    places[f"OUT:{name}"] = self._new_server(name)
            words = [places.get(word, word) for word in command]
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "pass_fds": kept}
            self._process = opened.enter_context(started(words, **pipes))
            assert self._process.stderr is not None
            self._log: IO[bytes] | None = self._process.stderr
            if _INHERITED:
                self._selector.register(self._log, selectors.EVENT_READ, LOG)
            self._opened = opened.pop_all()

    def _new_pipe(self, name: str, ends: ExitStack) -> int:
        """Open a pipe; return its write end, which `ends` will close."""
        read, write = os.pipe()
        self._opened.callback(os.close, read)
        ends.callback(os.close, write)
        _enlarge_pipe(read)
        self._selector.register(read, selectors.EVENT_READ, name)
        return write

    def _new_server(self, name: str) -> str:
        server = self._opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        self._selector.register(server, selectors.EVENT_READ, name)
        return "tcp://{}:{}".format(*server.getsockname())

    def __enter__(self) -> RunningFfmpeg:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Yield (output, bytes) until all outputs are closed.

        Log lines about a frame come before the frame's data.
        """
        while self._log or self._selector.get_map():
            ended = self._process.poll() is not None
            chunks = [
                (key, data) for key in self._ready() if (data := self._taken(key)) is not None
            ]
            # Read the log after the data: ffmpeg logs a frame before it writes it.
            if (said := self._said()) is not None:
                yield LOG, said
            for key, data in chunks:
                if data:
                    yield key.data, data
                else:
                    self._selector.unregister(key.fileobj)
            if ended and not chunks:
                self._give_up_servers()
            if max((len(data) for _, data in chunks), default=0) < _LITTLE:
                # Waking up for every line would cost more than reading it.
                self._nap()

    def _ready(self) -> list[selectors.SelectorKey]:
        if not self._selector.get_map():
            return []
        seconds = None if _INHERITED else _NAP
        return [key for key, _ in self._selector.select(seconds) if key.data != LOG]

    def _taken(self, key: selectors.SelectorKey) -> bytes | None:
        """Return data: empty at the end, None for a new connection."""
        if not isinstance(key.fileobj, socket.socket):
            return os.read(key.fd, _CHUNK)
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            connection = self._connections.enter_context(key.fileobj.accept()[0])
            self._selector.unregister(key.fileobj)
            self._selector.register(connection, selectors.EVENT_READ, key.data)
            return None
        try:
            return key.fileobj.recv(_CHUNK)
        except ConnectionError:
            return b""

    def _give_up_servers(self) -> None:
        for key in tuple(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                self._selector.unregister(key.fileobj)

    def _nap(self) -> None:
        keys = self._selector.get_map().values()
        large = [key.fileobj for key in keys if key.data == LARGE]
        if large:
            select.select(large, [], [], _NAP)
        else:
            time.sleep(_NAP)

    def _said(self) -> bytes | None:
        if self._log is None:
            return None
        data = read_available(self._log.fileno(), _CHUNK)
        if data == b"":
            if _INHERITED:
                self._selector.unregister(self._log)
            self._log = None
        return data or None

    def code(self) -> int:
        """Wait for ffmpeg to end and return its exit code."""
        return self._process.wait()


def raise_for_environment(lines: Sequence[str], place: Path) -> None:
    """Raise errors of this machine: `DiskFull`, or `MissingComponent` for an old ffmpeg."""
    if any("No space left on device" in line for line in lines):
        raise DiskFull(f"no space left for {place}", "free some space and run the command again")
    words = ("Unrecognized option", "Option not found", "No such filter")
    if any(word in line for line in lines for word in words):
        raise MissingComponent(
            f"{find_ffmpeg()} is too old", "install ffmpeg 5.1 or newer, and put it first in PATH"
        )


def ffmpeg_reason(lines: Sequence[str]) -> str:
    """Return the log line that best explains a failure."""
    if any("whitelist" in line for line in lines):
        return "its content is no video container"
    for word in (
        "Invalid data",
        "does not contain any stream",
        "not found",
        "matches no streams",
        "moov atom",
        "Error",
        "error",
    ):
        for line in lines:
            if word in line:
                return line.split("] ")[-1][:200]
    return lines[-1][:200] if lines else "ffmpeg gave no frame"
