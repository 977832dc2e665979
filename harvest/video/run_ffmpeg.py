"""ffmpeg as a program: found, started safely on a hostile path, read, ended with us."""

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

# Text, image and playlist demuxers are not video, and could read other files for us.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,m4v,"
    "h264,hevc,av1,ivf,obu,mxf,nut,dv,vob,wtv,gif,apng"
)
# ffmpeg-python cannot take paths that are not UTF-8: they are put in afterwards.
_INPUT = "file:INPUT"
# The log, beside the outputs that are asked for.
LOG = "log"
_CHUNK = 1 << 20
# A read of fewer bytes than these came too early; the pipes hold what comes in so many seconds,
# unless it is large: what is in `LARGE` is not kept waiting.
_LITTLE, _NAP = 1 << 16, 0.03
LARGE = "pictures"
# What Linux lets everyone ask for; more at a time is fewer changes between the two.
_PIPE_BYTES = 1 << 20
# Whether what is started can be given more pipes than its three.
_INHERITED = os.name == "posix"
_RUNNING: set[subprocess.Popen[Any]] = set()


def find_ffmpeg() -> str:
    """Return the path of the system's ffmpeg, or of the one in the extra `video`."""
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
    """Return an input of ffmpeg-python that leads to no other file; `command_words` names it."""
    return ffmpeg.input(_INPUT, format_whitelist=CONTAINERS, protocol_whitelist="file", **options)


def command_words(graph: Any, video: Path, log_level: str) -> list[str]:
    """Return the words of the command that runs a graph of ffmpeg-python over a video."""
    silent = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level)
    words: list[str] = ffmpeg.compile(graph.global_args(*silent), cmd=find_ffmpeg())
    return [f"file:{video}" if word == _INPUT else word for word in words]


def ending_with_us(command: Sequence[str]) -> list[str]:
    """Return the command, to end when this process does, even when that is killed (with
    util-linux).
    """
    guard = shutil.which("setpriv")
    return [*([guard, "--pdeathsig", "KILL"] if guard else []), *command]


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """ffmpeg at work, ended with the block; `options` are those of `Popen`.

    Raises `MissingComponent` where the program cannot be started.
    """
    try:
        # A group of its own, so that what a wrapper has started can be ended with it.
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
    """End every ffmpeg of this process: an interrupt of the terminal does not reach them."""
    for process in tuple(_RUNNING):
        _end(process)


def ffmpeg_log(command: Sequence[str], seconds: float) -> str:
    """Return what ffmpeg says on the way.

    Raises `Unreadable` where it takes longer than `seconds`.
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
    """ffmpeg at work. Its outputs come through pipes that are all read by one thread.

    Where a process inherits no pipes (Windows), they come through sockets of this machine alone.
    The words `OUT:name` of the command become the outputs. Ends with this process as
    `ending_with_us` has it, and with the `with` block in any case. Raises `MissingComponent` as
    `started` does.
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
        """Open a pipe for an output and return its end to write to, which goes with `ends`."""
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
        """(output, bytes) as they come, until all outputs are closed.

        What the log says of a frame comes before the frame.
        """
        while self._log or self._selector.get_map():
            ended = self._process.poll() is not None
            chunks = [
                (key, data) for key in self._ready() if (data := self._taken(key)) is not None
            ]
            # Only now: what it says of these, it has said before it gave them.
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
                # Waking up for every line would cost more than reading them.
                self._nap()

    def _ready(self) -> list[selectors.SelectorKey]:
        if not self._selector.get_map():
            return []
        seconds = None if _INHERITED else _NAP
        return [key for key, _ in self._selector.select(seconds) if key.data != LOG]

    def _taken(self, key: selectors.SelectorKey) -> bytes | None:
        """Return what an output has, nothing at its end; None where it only just begins."""
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
        """Return how it ended; waits."""
        return self._process.wait()


def raise_for_environment(lines: Sequence[str], place: Path) -> None:
    """Raise what is not the video's fault but has to be mended here."""
    if any("No space left on device" in line for line in lines):
        raise DiskFull(f"no space left for {place}", "free some space and run the command again")
    words = ("Unrecognized option", "Option not found", "No such filter")
    if any(word in line for line in lines for word in words):
        raise MissingComponent(
            f"{find_ffmpeg()} is too old", "install ffmpeg 5.1 or newer, and put it first in PATH"
        )


def ffmpeg_reason(lines: Sequence[str]) -> str:
    """Return the one line of ffmpeg's that says what is wrong."""
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
