"""The animeface-2009 detector in a container: the same library behind a wall.

The library is C code of 2009 that reads strangers' pictures. Here it gets bare pixels in a
container without net, rights or a writable disk, and beside the old Pillow that it was made
for. How a picture is searched, and what is made of the results, is that of `animeface`; only
the searching of one tile happens elsewhere.

The other end is docker/animeface-2009/server.py, which speaks lines of JSON. Each process has one
container for an engine and image, started and tested when the first detector is built, and ended
with the process. What comes back is checked like anything from outside: it is not believed to be
the library's answer because it came from the container. A container that dies, or answers
nonsense, is started anew and gets the picture once more; then the picture is given up.
"""

from __future__ import annotations

import base64
import functools
import os
import threading
from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.animeface_library import (
    KNOWN_VERSION,
    LOWEST_LIKELIHOOD,
    SELFTEST_FACE,
    SELFTEST_PICTURE,
    SHORTEST_SIDE,
    LibraryResult,
    LibrarySearch,
    self_test,
)
from facecrop.detectors.base import Pixels
from facecrop.run_docker import ContainerDied, ContainerEngine, RunningContainer, choose_engine
from gleanset.errors import MissingComponent, Unreadable, UsageError

PROTOCOL = 1
"""Of the lines; in server.py, too."""

STARTS = 2
"""How often a start is tried: a container may be killed, or the machine be short of memory."""

START_SECONDS = 60.0

SEARCH_SECONDS = 90.0
"""More than the server gives itself (LONGEST_SEARCH, 60), so that it can say so."""

_REBUILD = "build it anew: facecrop docker build"


class ContainerGreeting(msgspec.Struct, frozen=True):
    """What the server says first."""

    protocol: int
    animeface: str
    pillow: str


class _Answer(msgspec.Struct):
    id: int
    faces: Annotated[list[LibraryResult], msgspec.Meta(max_length=1000)]


@functools.cache
def container(engine: str, image: str) -> AnimeFaceContainer:
    """Give this process's container for that engine ("" for any) and image, tested."""
    return AnimeFaceContainer(engine, image)


class AnimeFaceContainer:
    """A container with animeface in it, started anew when it dies. For any thread."""

    def __init__(self, engine: str, image: str) -> None:
        """Start and test it. Raises `MissingComponent`."""
        self._wanted, self._image = engine, image
        self._lock = threading.Lock()
        self._asked = 0
        self._start()

    def search(self, pixels: Pixels) -> list[LibraryResult]:
        """Return what the library finds on height x width x 3 bytes.

        Raises `Unreadable` when the container dies of it twice, and `MissingComponent` when
        it cannot be started anew.
        """
        if min(pixels.shape[:2]) < SHORTEST_SIDE:
            return []
        with self._lock:
            try:
                return self._search(pixels)
            except ContainerDied:
                self._start()
            try:
                return self._search(pixels)
            except ContainerDied as again:
                self._start()
                raise Unreadable("crashed", f"twice in its container: {again}") from again

    def stop(self) -> None:
        """End it now rather than with the process."""
        self._running.stop()

    def _start(self) -> None:
        """Put a new container, greeted and tested, in the place of the old one."""
        for attempt in range(1, STARTS + 1):
            engine = choose_engine(self._image, self._wanted)
            try:
                return self._start_in(engine)
            except ContainerDied as error:
                # The engine itself may have gone since we asked it.
                if trouble := engine.trouble(self._image):
                    raise trouble from error
                if attempt == STARTS:
                    raise MissingComponent(
                        f"the image {self._image} in {engine.name} does not work: {error}",
                        f"{_REBUILD}; or see what `{engine.name} info` says",
                    ) from error
        return None

    def _start_in(self, engine: ContainerEngine) -> None:
        self.engine = engine.name
        self._running = RunningContainer(engine, self._image)
        named = f"the image {self._image} in {engine.name}"
        try:
            self.greeting = _greeting(self._running.ask(b"", START_SECONDS), named)
            self_test(self._search, SELFTEST_PICTURE, SELFTEST_FACE, named, _REBUILD)
        except MissingComponent:
            self.stop()
            raise

    def _search(self, pixels: Pixels) -> list[LibraryResult]:
        self._asked += 1
        answer = self._running.ask(_question(self._asked, pixels), SEARCH_SECONDS)
        try:
            return _checked(answer, self._asked, pixels.shape[1], pixels.shape[0])
        except ValueError as error:
            self._running.stop()
            raise ContainerDied(f"its answer makes no sense: {error}") from error


def _greeting(line: bytes, named: str) -> ContainerGreeting:
    try:
        greeting = msgspec.json.decode(line, type=ContainerGreeting)
    except ValueError:
        raise MissingComponent(f"{named} is not one of ours", _REBUILD) from None
    if (greeting.protocol, greeting.animeface) != (PROTOCOL, KNOWN_VERSION):
        said = f"animeface {greeting.animeface}, protocol {greeting.protocol}"
        raise MissingComponent(f"{named} is of another Gleanset ({said[:100]})", _REBUILD)
    return greeting


def _question(number: int, pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    rgb = base64.b64encode(pixels.tobytes())
    return b'{"id":%d,"width":%d,"height":%d,"rgb":"%s"}\n' % (number, width, height, rgb)


def _checked(line: bytes, number: int, width: int, height: int) -> list[LibraryResult]:
    """Return the faces in an answer. Raises `ValueError` for what the library cannot have said."""
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.id != number:
        raise ValueError(f"it is for question {answer.id}, not {number}")
    for result in answer.faces:
        _check_face(result, width, height)
    return answer.faces


def _check_face(result: LibraryResult, width: int, height: int) -> None:
    x, y, across, down = result["face_box"]
    seen = min(x + across, width) - max(x, 0), min(y + down, height) - max(y, 0)
    if min(across, down, *seen) <= 0:
        raise ValueError(f"a face at {result['face_box']} in {width} x {height} pixels")
    farthest = 2 * max(width, height)
    if any(abs(number) > farthest for number in _numbers(result)):
        raise ValueError("a part of a face far from the picture")


def _numbers(result: LibraryResult) -> Iterator[int]:
    yield from result["face_box"]
    yield from result["left_eye_box"]
    yield from result["right_eye_box"]
    yield from result["mouth_box"]
    yield from result["nose_point"]


IMAGE = "gleanset-animeface-2009"

IMAGE_SETTING = "GLEANSET_CONTAINER_IMAGE"
"""The environment variable that names another image."""


class AnimeFaceDocker(AnimeFace):
    """Finds what `animeface` finds, in a container of docker or podman.

    `engine` is docker, podman or a program's path, `image` the name of an image. What is not
    given comes from the environment (`run_docker.ENGINE_SETTING` and `IMAGE_SETTING`), and
    then is `IMAGE` in the first engine that has it.
    """

    name: ClassVar[str] = "animeface-docker"

    def __init__(
        self,
        threshold: str | float = LOWEST_LIKELIHOOD,
        engine: str | float = "",
        image: str | float = "",
    ) -> None:
        """Start this process's container and test it.

        Raises `UsageError` for a bad setting and `MissingComponent` where there is no
        engine or image, or they do not work.
        """
        self._engine, self._image = str(engine), image_name(str(image))
        super().__init__(threshold)

    def _checked_search(self) -> LibrarySearch:
        return container(self._engine, self._image).search


def image_name(wanted: str = "") -> str:
    """Return the image's name: as wanted, as the environment says, or `IMAGE`. Raises
    `UsageError`.
    """
    name = wanted or os.environ.get(IMAGE_SETTING) or IMAGE
    if not name[0].isalnum() or not name.isprintable() or " " in name:
        raise UsageError(f"{name!r} cannot be the name of an image", f"for example {IMAGE}")
    return name
