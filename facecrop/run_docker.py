"""docker and podman as programs: found, asked how they are, made to build and to run.

The one module of this room that starts processes. Both engines take the same commands, so
that an engine is a name and a program. What an engine complains about is said in our words, with
what mends it.
"""

from __future__ import annotations

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
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gleanset.errors import MissingComponent
from gleanset.terminal import replace_controls

# In lower case. Tried with docker 20 and 28 and podman 4; newer ones put it a little differently.
_NO_IMAGE = re.compile(r"no such image|image not known|no such object|unable to find image")
_NOT_PERMITTED = re.compile(r"permission denied|operation not permitted")
_NOT_RUNNING = re.compile(
    r"cannot connect|daemon is running|daemon running|failed to connect|connection refused"
)

_START = {"docker": "sudo systemctl start docker", "podman": "podman machine start"}


class ImageNotBuilt(MissingComponent):
    """The engine works, but does not have the image."""


def broken(name: str, error: OSError) -> MissingComponent:
    """The engine's program is there and cannot be started."""
    return MissingComponent(f"{name} cannot be started: {error}", f"install {name} anew")


def explained(name: str, words: str, image: str) -> MissingComponent:
    """Return the error for the `words` that the engine `name` printed when asked for `image`."""
    lowered = words.lower()
    if _NO_IMAGE.search(lowered):
        fix = "build it with: facecrop docker build"
        return ImageNotBuilt(f"{name} has no image {image}", fix)
    if _NOT_PERMITTED.search(lowered):
        return MissingComponent(
            f"you are not permitted to use {name}: {last_line(words)}",
            "sudo usermod -aG docker $USER, then log in again (this group may do what root may); "
            "or install podman, which needs no rights",
        )
    if _NOT_RUNNING.search(lowered):
        fix = f"start it with: {_START.get(name, _START['docker'])}"
        return MissingComponent(f"{name} is installed but is not running", fix)
    return MissingComponent(
        f"{name} does not work here: {last_line(words)}", f"see what `{name} info` says"
    )


def last_line(words: str) -> str:
    """Return the last line that says something, without what a terminal would act on."""
    lines = [line for raw in words.splitlines() if (line := replace_controls(raw, "").strip())]
    return lines[-1][:300] if lines else "it does not say why"


ENGINES = ("docker", "podman")
"""In the order in which they are tried."""

ENGINE_SETTING = "GLEANSET_CONTAINER_ENGINE"
"""The environment variable that names an engine, or the path of one."""

MEMORY = 512
"""Megabytes. Searching 1920 x 1920 pixels, the largest piece there is, took 183."""

LIMITS = (
    "--rm",
    "--interactive",
    "--pull=never",
    "--network=none",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=65534:65534",
    f"--memory={MEMORY}m",
    f"--memory-swap={MEMORY}m",
    "--pids-limit=16",
    "--log-driver=none",
)

ENGINE_SECONDS = 30.0
"""How long an engine may think about a question about itself."""

GOODBYE_SECONDS = 5.0
"""How long a container may take to end after its input has."""

LONGEST_LINE = 1_000_000
"""Bytes of one answer. A thousand faces have about 400 kB."""

_LAST_WORDS = 4000
_KILLED_INSIDE = 137


class ContainerDied(Exception):
    """A container ended, or fell silent, in the middle of a conversation; says why."""


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """A container engine: how it is called, and its program."""

    name: str
    program: str

    def trouble(self, image: str) -> MissingComponent | None:
        """Say why `image` cannot be run here, or None where it can."""
        command = [self.program, "image", "inspect", "--format", "{{.Id}}", "--", image]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command, no shell
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ENGINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return MissingComponent(
                f"{self.name} has not answered in {ENGINE_SECONDS:g} seconds",
                f"see what `{self.name} info` says; starting its service anew often helps",
            )
        except OSError as error:
            return broken(self.name, error)
        words = done.stderr.decode(errors="replace")
        return explained(self.name, words, image) if done.returncode else None

    def build(
        self, context: Path, image: str, base: str | None, say: Callable[[str], None]
    ) -> None:
        """Build `image` from the folder `context`, telling `say` each line that it prints.

        Raises `MissingComponent` with the last lines where it fails.
        """
        on = [] if base is None else [f"--build-arg=BASE={base}"]
        last: deque[str] = deque(maxlen=5)
        with subprocess.Popen(  # noqa: S603 - as above
            [self.program, "build", f"--tag={image}", *on, "--", str(context)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                last.append(replace_controls(line, ""))
                say(last[-1])
        if process.returncode:
            said = "\n     ".join(filter(None, last))
            raise MissingComponent(
                f"{self.name} could not build the image {image}; it ended with:\n     {said}",
                "the build gets its base and two Python packages from the net; another base with "
                "Python 3.11 to 3.13 and venv is taken with --base IMAGE",
            )


def find_engines(wanted: str = "") -> list[ContainerEngine]:
    """Return the engines on this machine; only the wanted one, or the one of the setting.

    Raises `MissingComponent` when there is none.
    """
    chosen = wanted or os.environ.get(ENGINE_SETTING, "")
    names = (chosen,) if chosen else ENGINES
    engines = [
        ContainerEngine(Path(name).name, program)
        for name in names
        if (program := shutil.which(name))
    ]
    if not engines:
        raise MissingComponent(
            f"there is no {' and no '.join(names)} on this machine",
            "install one: sudo apt-get install podman (or docker.io); "
            "the detector animeface finds the same faces without a container",
        )
    return engines


def choose_engine(image: str, wanted: str = "", *, to_build: bool = False) -> ContainerEngine:
    """Return the first engine that has the image; with `to_build`, the first that works.

    Raises `ImageNotBuilt` where an engine works but lacks the image, and otherwise the
    `MissingComponent` of the first engine.
    """
    troubles: list[MissingComponent] = []
    for engine in find_engines(wanted):
        trouble = engine.trouble(image)
        if trouble is None or (to_build and isinstance(trouble, ImageNotBuilt)):
            return engine
        troubles.append(trouble)
    raise next((found for found in troubles if isinstance(found, ImageNotBuilt)), troubles[0])


class RunningContainer:
    """A program in a container, talked to in lines, by one thread at a time.

    It ends when its input does: with `stop`, and also when this process is killed.
    """

    def __init__(self, engine: ContainerEngine, image: str) -> None:
        """Start it. Raises `MissingComponent` when the engine's program does not start."""
        # So that a person sees whose it is.
        name = f"gleanset-{os.getpid()}-{uuid.uuid4().hex}"
        command = [engine.program, "run", *LIMITS, f"--name={name}", "--", image]
        try:
            # In a session of its own, where Ctrl-C does not reach it before us.
            self._process = subprocess.Popen(  # noqa: S603 - as above
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise broken(engine.name, error) from error
        self._words = bytearray()
        self._ears = threading.Thread(
            target=_listen, args=(self._process.stderr, self._words), daemon=True
        )
        self._ears.start()
        self._late = False
        self.stop = weakref.finalize(self, _stop, self._process, engine, name)

    @property
    def words(self) -> str:
        """The end of what it, or its engine, wrote to standard error; complete once it ended."""
        self._ears.join(1)
        return self._words.decode(errors="replace")

    def ask(self, line: bytes, seconds: float) -> bytes:
        """Send a line (an empty one sends nothing) and give the line that comes back.

        Raises `ContainerDied` when none comes within so many seconds, or not a whole one.
        """
        watch = threading.Timer(seconds, self._cut_off)
        watch.start()
        try:
            answer = self._exchange(line)
        except OSError:
            answer = b""
        finally:
            watch.cancel()
        if not answer.endswith(b"\n"):
            self.stop()
            raise ContainerDied(self._cause(seconds))
        return answer

    def _exchange(self, line: bytes) -> bytes:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline(LONGEST_LINE)

    def _cut_off(self) -> None:
        self._late = True
        self._process.kill()

    def _cause(self, seconds: float) -> str:
        code = self._process.returncode
        if self._late:
            return f"it did not answer in {seconds:g} seconds"
        if code == _KILLED_INSIDE:
            return f"it was killed, perhaps for using more than {MEMORY} MB of memory"
        if code == 0:
            return "its answer was not one whole line"
        return f"it ended with code {code}: {last_line(self.words)}"


def _listen(stream: IO[bytes], words: bytearray) -> None:
    with stream:
        while chunk := os.read(stream.fileno(), _LAST_WORDS):
            words += chunk
            del words[:-_LAST_WORDS]


def _stop(process: subprocess.Popen[bytes], engine: ContainerEngine, name: str) -> None:
    """Close its input, wait for the end, and help where it does not come.

    Its output is closed as well: one that still has something to say would wait for a reader.
    """
    for pipe in filter(None, (process.stdin, process.stdout)):
        with suppress(OSError):
            pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GOODBYE_SECONDS)
    if process.returncode != 0:
        # The engine's program may be gone while the container is still there.
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603 - as above
                [engine.program, "rm", "--force", name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ENGINE_SECONDS,
                check=False,
            )
        process.kill()
        process.wait()
