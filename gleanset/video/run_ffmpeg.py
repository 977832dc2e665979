"""ffmpeg as a subprocess: find it, start it safely, read its outputs, end it with this process."""

from __future__ import annotations

import errno
import os
import re
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
from functools import cache
from pathlib import Path
from typing import IO, Any

import ffmpeg

from gleanset.errors import MissingComponent, Unreadable
from gleanset.platform import read_available

# Excludes text, image and playlist demuxers: a playlist could make ffmpeg read other files.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,rm,m4v,"
    "h264,hevc,av1,ivf,obu,vc1,yuv4mpegpipe,mxf,nut,dv,vob,wtv,gif,apng"
)
# Placeholder: ffmpeg-python does not accept paths that are not UTF-8, so they are inserted later.
_INPUT = "file:INPUT"
# Name of the log among the outputs.
LOG = "log"
_CHUNK_BYTES = 1 << 20
# After reads of fewer than `_SMALL_READ_BYTES`, wait `_WAIT_SECONDS`, so that more has arrived; but
# the output of full frames fills its pipe sooner, so data in it ends the wait.
_SMALL_READ_BYTES = 1 << 16
_WAIT_SECONDS = 0.03
FULL_FRAMES = "frames"
# Linux's default maximum for unprivileged users; larger pipes mean fewer context switches.
_PIPE_BYTES = 1 << 20
# Whether a child process can inherit pipes beyond its three standard streams.
_CAN_INHERIT_PIPES = os.name == "posix"
_RUNNING: set[subprocess.Popen[Any]] = set()
# libavfilter of ffmpeg 5.1, which has all options that we use.
_LIBRARY_VERSION = re.compile(r"libavfilter +(\d+)\. *(\d+)")
_MIN_LIBRARY_VERSION = (8, 44)
# Phrases in log lines that explain a failure, the most specific first.
_FAILURE_PHRASES = (
    *("Invalid data", "does not contain any stream", "not found", "matches no streams"),
    *("moov atom", "Error", "error"),
)


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
    """Return an ffmpeg-python input that opens only the file set by `build_command`."""
    return ffmpeg.input(
        _INPUT, format_whitelist=CONTAINERS, protocol_whitelist="file", **options
    )


def build_command(graph: Any, video: Path, log_level: str) -> list[str]:
    """Return the command line that runs an ffmpeg-python graph on a video."""
    silent = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level)
    words: list[str] = ffmpeg.compile(
        graph.global_args(*silent),
        cmd=find_ffmpeg(),
    )
    return [f"file:{video}" if word == _INPUT else word for word in words]


def die_with_parent(command: Sequence[str]) -> list[str]:
    """Wrap a command, if setpriv is installed, to die with this process."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return list(command)
    return [setpriv, "--pdeathsig", "KILL", *command]


@contextmanager
def start_ffmpeg(
    command: Sequence[str], **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Run ffmpeg until the block ends; `options` are passed to `Popen`.

    Raises `MissingComponent` if it cannot be started.
    """
    try:
        # A process group of its own, so that children of a wrapper script are killed as well.
        process = subprocess.Popen(  # noqa: S603
            die_with_parent(command),
            stdin=subprocess.DEVNULL,
            process_group=0,
            **options,
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
            _kill(process)


def _kill(process: subprocess.Popen[Any]) -> None:
    if process.poll() is not None:
        return
    if os.name == "nt":
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_all() -> None:
    """Kill all ffmpeg processes, as Ctrl-C does not reach their groups."""
    for process in tuple(_RUNNING):
        _kill(process)


def read_ffmpeg_log(command: Sequence[str], seconds: float = 60.0) -> str:
    """Run ffmpeg and return its log.

    Raises `Unreadable` if it takes longer than `seconds`.
    """
    with start_ffmpeg(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            return str(process.communicate(timeout=seconds)[1])
        except subprocess.TimeoutExpired as error:
            raise Unreadable(
                "too slow", f"ffmpeg took longer than {seconds:.0f} s"
            ) from error


def iter_output_lines(command: Sequence[str]) -> Iterator[str]:
    """Run ffmpeg and yield the lines that it writes to standard output."""
    with start_ffmpeg(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout or ():
            yield line.rstrip("\n")


class RunningFfmpeg:
    """Running ffmpeg process with several outputs, read by one thread; a context manager.

    Each argument `OUT:name` of the command becomes a pipe, or a loopback socket on Windows, where
    pipes cannot be inherited. ffmpeg is killed at the end of the `with` block, and with this
    process (see `die_with_parent`). Raises `MissingComponent` as `start_ffmpeg` does.
    """

    def __init__(self, command: Sequence[str], names: Sequence[str]):
        with ExitStack() as resources, ExitStack() as child_ends:
            self._selector = resources.enter_context(selectors.DefaultSelector())
            self._resources = resources
            # For connections that `_read_chunk` accepts later.
            self._sockets = resources.enter_context(ExitStack())
            targets = {}  # of each output: what ffmpeg writes to
            write_ends = []
            for name in names:
                if _CAN_INHERIT_PIPES:
                    write_end = self._open_pipe(name, child_ends)
                    write_ends.append(write_end)
                    targets[f"OUT:{name}"] = f"pipe:{write_end}"
                else:
                    targets[f"OUT:{name}"] = self._open_server(name)

            words = [targets.get(word, word) for word in command]
            options = {
                "stdout": subprocess.DEVNULL,
                "stderr": subprocess.PIPE,
                "pass_fds": write_ends,
            }
            self._process = resources.enter_context(start_ffmpeg(words, **options))
            assert self._process.stderr is not None
            self._log: IO[bytes] | None = self._process.stderr
            # Elsewhere only sockets can be waited for; the log is then read at intervals.
            if _CAN_INHERIT_PIPES:
                self._selector.register(self._log, selectors.EVENT_READ, LOG)
            # From here on `close` closes them; after an error above, the `with` does.
            self._resources = resources.pop_all()

    def _open_pipe(self, name: str, child_ends: ExitStack) -> int:
        """Open a pipe; return its write end, which `child_ends` will close."""
        read, write = os.pipe()
        self._resources.callback(os.close, read)
        child_ends.callback(os.close, write)
        if sys.platform == "linux":
            import fcntl

            with suppress(OSError):
                fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._selector.register(read, selectors.EVENT_READ, name)
        return write

    def _open_server(self, name: str) -> str:
        server = self._resources.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=1)
        )
        self._selector.register(server, selectors.EVENT_READ, name)
        return "tcp://{}:{}".format(*server.getsockname())

    def __enter__(self) -> RunningFfmpeg:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Yield (output, bytes) until all outputs are closed."""
        while self._log or self._selector.get_map():
            has_ended = self._process.poll() is not None
            chunks = [(key, self._read_chunk(key)) for key in self._select()]
            # The log comes first: its errors are about frames that are decoded next.
            log = self._read_log()
            if log:
                yield LOG, log
            for key, data in chunks:
                if data:
                    yield key.data, data
                elif data is not None:
                    self._selector.unregister(key.fileobj)

            # An output to which ffmpeg has not connected would be waited for without end.
            if has_ended and not chunks:
                self._close_servers()
            if all(len(data or b"") < _SMALL_READ_BYTES for _, data in chunks):
                # Waking up for every line would cost more than reading it.
                self._wait_for_data()

    def _select(self) -> list[selectors.SelectorKey]:
        if not self._selector.get_map():
            return []
        # None: until data arrives. Elsewhere not so long, because the log is not waited for.
        seconds = None if _CAN_INHERIT_PIPES else _WAIT_SECONDS
        return [key for key, _ in self._selector.select(seconds) if key.data != LOG]

    def _read_chunk(self, key: selectors.SelectorKey) -> bytes | None:
        """Return data: empty at the end, None for a new connection."""
        if not isinstance(key.fileobj, socket.socket):
            return os.read(key.fd, _CHUNK_BYTES)
        # A listening socket: ffmpeg connects once, and its connection takes the place.
        if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            connection = self._sockets.enter_context(key.fileobj.accept()[0])
            self._selector.unregister(key.fileobj)
            self._selector.register(connection, selectors.EVENT_READ, key.data)
            return None

        try:
            return key.fileobj.recv(_CHUNK_BYTES)
        except ConnectionError:
            return b""

    def _close_servers(self) -> None:
        for key in tuple(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                self._selector.unregister(key.fileobj)

    def _wait_for_data(self) -> None:
        keys = self._selector.get_map().values()
        outputs = [key.fileobj for key in keys if key.data == FULL_FRAMES]
        if outputs:
            select.select(outputs, [], [], _WAIT_SECONDS)
        else:
            time.sleep(_WAIT_SECONDS)

    def _read_log(self) -> bytes | None:
        if not self._log:
            return None
        data = read_available(self._log.fileno(), _CHUNK_BYTES)
        if data == b"":  # the end of the log; None: nothing has arrived
            if _CAN_INHERIT_PIPES:
                self._selector.unregister(self._log)
            self._log = None
        return data or None

    def wait(self) -> int:
        """Wait for ffmpeg to end and return its exit code."""
        return self._process.wait()


@cache
def _list_components(program: str, kind: str) -> dict[str, str]:
    """Return the names of `kind` (codecs, decoders, filters) with the flags of each."""
    # Lines such as " DEV.LS h264   H.264 / AVC …".
    components = {}
    for line in iter_output_lines([program, "-hide_banner", f"-{kind}"]):
        words = line.split()
        if len(words) > 1:
            flags, name, *_ = words
            components[name] = flags
    return components


def has_component(kind: str, name: str) -> bool:
    """Return whether ffmpeg has a component, such as ("filters", "zscale")."""
    return name in _list_components(find_ffmpeg(), kind)


def can_decode(codec: str) -> bool:
    """Return whether ffmpeg has a decoder of a codec."""
    # The first flag of a codec is D if ffmpeg decodes it.
    return _list_components(find_ffmpeg(), "codecs").get(codec, "").startswith("D")


def check_version() -> None:
    """Raise `MissingComponent` if ffmpeg is too old; one without a readable version passes."""
    program = find_ffmpeg()
    # Builds number themselves in many ways, their libraries in one.
    lines = iter_output_lines([program, "-hide_banner", "-version"])
    version = _LIBRARY_VERSION.search("\n".join(lines))
    if version and (int(version[1]), int(version[2])) < _MIN_LIBRARY_VERSION:
        raise MissingComponent(
            f"{program} is too old",
            "install ffmpeg 5.1 or newer, and put it first in PATH",
        )


def find_failure_reason(lines: Sequence[str]) -> str:
    """Return the log line that best explains a failure."""
    if any("whitelist" in line for line in lines):
        return "not a video container"
    for phrase in _FAILURE_PHRASES:
        for line in lines:
            if phrase in line:
                # Without the name of the part of ffmpeg in front, such as "[mov,mp4 @ 0x5581] ".
                return line.split("] ")[-1][:200]
    return lines[-1][:200] if lines else "ffmpeg gave no frame"
