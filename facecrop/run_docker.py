"""Interface to docker and podman: find an engine, build an image, run a container.

The only module of this package that starts processes. Both engines accept the same commands. Their
errors become a `MissingComponent` with a hint.
"""

import os
import re
import shutil
import subprocess
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from gleanset.errors import MissingComponent
from gleanset.terminal import replace_controls

# Lower-case messages of docker 20 and 28 and podman 4.
_NO_IMAGE = re.compile(
    r"no such image|image not known|no such object|unable to find image"
)
_NOT_PERMITTED = re.compile(r"permission denied|operation not permitted")
_NOT_RUNNING = re.compile(
    r"cannot connect|daemon is running|daemon running|failed to connect|connection refused"
)

_START_COMMANDS = {
    "docker": "sudo systemctl start docker",
    "podman": "podman machine start",
}


class ImageNotBuilt(MissingComponent):
    """Error of an engine that works but lacks the image."""


def start_error(name: str, error: OSError) -> MissingComponent:
    """Return the error for an engine that cannot be started."""
    return MissingComponent(
        f"{name} cannot be started: {error}",
        f"reinstall {name}",
    )


def explain_failure(name: str, output: str, image: str) -> MissingComponent:
    """Return the error that matches an engine's output about an image."""
    text = output.lower()
    if _NO_IMAGE.search(text):
        fix = "build it with: facecrop docker build"
        return ImageNotBuilt(f"{name} has no image {image}", fix)
    if _NOT_PERMITTED.search(text):
        return MissingComponent(
            f"you are not permitted to use {name}: {last_line(output)}",
            "sudo usermod -aG docker $USER, then log in again (this group has the rights of root); "
            "or install podman, which needs no special rights",
        )
    if _NOT_RUNNING.search(text):
        fix = f"start it with: {_START_COMMANDS.get(name, _START_COMMANDS['docker'])}"
        return MissingComponent(f"{name} is installed but is not running", fix)
    return MissingComponent(
        f"{name} does not work here: {last_line(output)}", f"run: {name} info"
    )


def last_line(output: str) -> str:
    """Return the last line that is not empty, without control characters."""
    for raw in reversed(output.splitlines()):
        line = replace_controls(raw, "").strip()
        if line:
            return line[:300]
    return "no error message"


ENGINES = ("docker", "podman")
"""Supported engines in order of preference."""

ENGINE_SETTING = "GLEANSET_CONTAINER_ENGINE"
"""Environment variable that holds the name or path of an engine."""

MEMORY_MB = 512
"""Memory limit; a search of 1920 x 1920 pixels, the maximum, uses 183 MB."""

LIMITS = (
    "--rm",
    "--interactive",
    "--pull=never",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=65534:65534",
    f"--memory={MEMORY_MB}m",
    f"--memory-swap={MEMORY_MB}m",
    "--pids-limit=16",
    "--log-driver=none",
)

ENGINE_TIMEOUT_SECONDS = 30.0

STOP_TIMEOUT_SECONDS = 5.0
"""Time for a container to exit after its input is closed."""

MAX_LINE_BYTES = 1_000_000
"""Maximum size of one response; a thousand faces take about 400 kB."""

_MAX_STDERR_BYTES = 4000
_SIGKILL_EXIT_CODE = 137


class ContainerDied(Exception):
    """Error of a container that exited or did not respond; the message says why."""


class ContainerEngine(NamedTuple):
    """Container engine: its name and the path of its program."""

    name: str
    program: str

    def find_trouble(self, image: str) -> MissingComponent | None:
        """Return why the image cannot be run; None if it can."""
        arguments = ("image", "inspect", "--format", "{{.Id}}", "--", image)
        try:
            result = _run(self.program, *arguments)
        except subprocess.TimeoutExpired:
            return MissingComponent(
                f"{self.name} did not respond in {ENGINE_TIMEOUT_SECONDS:g} seconds",
                f"restart its service, or run: {self.name} info",
            )
        except OSError as error:
            return start_error(self.name, error)
        if not result.returncode:
            return None
        return explain_failure(self.name, result.stderr.decode(errors="replace"), image)

    def build(
        self, context: Path, image: str, base: str | None, say: Callable[[str], None]
    ) -> None:
        """Build an image from `context`; call `say` for each output line.

        Raises `MissingComponent` with the last lines of a failed build.
        """
        arguments = [f"--tag={image}"]
        if base is not None:
            arguments.append(f"--build-arg=BASE={base}")
        last_lines: deque[str] = deque(maxlen=5)

        with subprocess.Popen(  # noqa: S603 - a fixed command, no shell
            [self.program, "build", *arguments, "--", str(context)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for raw in process.stdout or ():
                line = replace_controls(raw, "")
                last_lines.append(line)
                say(line)

        if process.returncode:
            # Aligned with the first line of an error message.
            output = "\n     ".join(filter(None, last_lines))
            raise MissingComponent(
                f"{self.name} could not build the image {image}; last output:\n     {output}",
                "check the network (the build downloads its base and two Python packages), or use "
                "another base with Python 3.11 to 3.13 and venv: --base IMAGE",
            )


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - a fixed command, no shell
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ENGINE_TIMEOUT_SECONDS,
        check=False,
    )


def find_engines(engine_name: str) -> list[ContainerEngine]:
    """Return the installed engines, or only the requested one.

    Without a request ("") that of `ENGINE_SETTING`. Raises `MissingComponent` if there is none.
    """
    engine_name = engine_name or os.environ.get(ENGINE_SETTING, "")
    names = (engine_name,) if engine_name else ENGINES
    engines = []
    for name in names:
        program = shutil.which(name)
        if program:
            engines.append(ContainerEngine(Path(name).name, program))

    if not engines:
        raise MissingComponent(
            f"there is no {' and no '.join(names)} on this machine",
            "install one: sudo apt-get install podman (or docker.io); "
            "the detector animeface finds the same faces without a container",
        )
    return engines


def choose_engine(
    image: str, engine_name: str, *, to_build: bool = False
) -> ContainerEngine:
    """Return the first engine with the image; with `to_build`, the first working.

    Raises `ImageNotBuilt` if an engine works but lacks the image, else the error of the first.
    """
    errors: list[MissingComponent] = []
    for engine in find_engines(engine_name):
        error = engine.find_trouble(image)
        if error is None or (to_build and isinstance(error, ImageNotBuilt)):
            return engine
        errors.append(error)

    not_built = [error for error in errors if isinstance(error, ImageNotBuilt)]
    raise (not_built or errors)[0]


class RunningContainer:
    """Container with a line protocol on stdin and stdout, for one thread at a time.

    It exits when its input is closed: by `stop`, or when this process is killed.
    """

    def __init__(self, engine: ContainerEngine, image: str):
        """Start the container. Raises `MissingComponent` if the engine does not start."""
        name = f"gleanset-{os.getpid()}-{uuid.uuid4().hex}"
        command = [
            engine.program,
            "run",
            *LIMITS,
            f"--name={name}",
            "--",
            image,
        ]
        self._is_late = False
        self._stderr = bytearray()
        try:
            # In a new session, so that Ctrl-C reaches this process first.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise start_error(engine.name, error) from error

        self._reader = threading.Thread(
            target=_read_stderr, args=(self._process.stderr, self._stderr), daemon=True
        )
        self._reader.start()
        # Also called when this object or the process ends.
        self.stop = weakref.finalize(
            self,
            _stop,
            self._process,
            engine,
            name,
        )

    @property
    def stderr(self) -> str:
        """Last part of standard error; complete once the container has exited."""
        self._reader.join(1)
        return self._stderr.decode(errors="replace")

    def ask(self, line: bytes, seconds: float) -> bytes:
        """Send a line (nothing if empty) and return the response line.

        Raises `ContainerDied` if no complete line arrives within `seconds`.
        """
        # The read of the response blocks without a limit; killing the engine's client ends it.
        timer = threading.Timer(seconds, self._kill_late)
        timer.start()
        try:
            answer = self._exchange(line)
        except OSError:
            answer = b""
        finally:
            timer.cancel()

        # A line ends early if the container died, or has more than `MAX_LINE_BYTES`.
        if not answer.endswith(b"\n"):
            self.stop()
            raise ContainerDied(self._describe_death(seconds))
        return answer

    def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline(MAX_LINE_BYTES)

    def _kill_late(self) -> None:
        self._is_late = True
        self._process.kill()

    def _describe_death(self, seconds: float) -> str:
        code = self._process.returncode
        if self._is_late:
            return f"no response in {seconds:g} seconds"
        if code == _SIGKILL_EXIT_CODE:
            return f"killed, perhaps for using more than {MEMORY_MB} MB of memory"
        if code == 0:
            return "incomplete response"
        return f"exit code {code}: {last_line(self.stderr)}"


def _read_stderr(stream: IO[bytes], buffer: bytearray) -> None:
    """Read until the end, or the container would block on a full pipe; keep the last bytes."""
    with stream:
        while chunk := os.read(stream.fileno(), _MAX_STDERR_BYTES):
            buffer += chunk
            del buffer[:-_MAX_STDERR_BYTES]


def _stop(process: subprocess.Popen[bytes], engine: ContainerEngine, name: str) -> None:
    """Close the pipes, wait for the exit, and kill after a timeout or a failure."""
    for pipe in filter(None, (process.stdin, process.stdout)):
        with suppress(OSError):
            pipe.close()

    # The server exits when its input is closed.
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_SECONDS)

    if process.returncode != 0:  # None: still running
        # The container may keep running after the engine's client has exited.
        with suppress(OSError, subprocess.TimeoutExpired):
            _run(engine.program, "rm", "--force", name)
        process.kill()
        process.wait()
