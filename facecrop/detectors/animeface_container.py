"""Talking to the animeface library in its container, in lines of JSON.

The other end is docker/animeface-2009/server.py. Each process has one container for an
engine and image, started and tested when the first detector is built, and ended with the
process. What comes back is checked like anything from outside: it is not believed to be the
library's answer because it came from the container. A container that dies, or answers
nonsense, is started anew and gets the picture once more; then the picture is given up.
"""

from __future__ import annotations

import base64
import functools
import threading
from collections.abc import Iterator
from typing import Annotated

import msgspec

from facecrop.detectors.animeface_library import (
    KNOWN_VERSION,
    SELFTEST_FACE,
    SELFTEST_PICTURE,
    SHORTEST_SIDE,
    Result,
    self_test,
)
from facecrop.detectors.base import Pixels
from facecrop.run_docker import ContainerDied, Engine, Running, choose
from gleanset.errors import MissingComponent, Unreadable

PROTOCOL = 1
"""Of the lines; in server.py, too."""

STARTS = 2
"""How often a start is tried: a container may be killed, or the machine be short of memory."""

START_SECONDS = 60.0

SEARCH_SECONDS = 90.0
"""More than the server gives itself (LONGEST_SEARCH, 60), so that it can say so."""

_REBUILD = "build it anew: facecrop docker build"


class Greeting(msgspec.Struct, frozen=True):
    """What the server says first."""

    protocol: int
    animeface: str
    pillow: str


class _Answer(msgspec.Struct):
    id: int
    faces: Annotated[list[Result], msgspec.Meta(max_length=1000)]


@functools.cache
def container(engine: str, image: str) -> Container:
    """Give this process's container for that engine ("" for any) and image, tested."""
    return Container(engine, image)


class Container:
    """A container with animeface in it, started anew when it dies. For any thread."""

    def __init__(self, engine: str, image: str) -> None:
        """Start and test it. Raises `MissingComponent`."""
        self._wanted, self._image = engine, image
        self._lock = threading.Lock()
        self._asked = 0
        self._start()

    def search(self, pixels: Pixels) -> list[Result]:
        """What the library finds on height x width x 3 bytes.

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
            engine = choose(self._image, self._wanted)
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

    def _start_in(self, engine: Engine) -> None:
        self.engine = engine.name
        self._running = Running(engine, self._image)
        named = f"the image {self._image} in {engine.name}"
        try:
            self.greeting = _greeting(self._running.ask(b"", START_SECONDS), named)
            self_test(self._search, SELFTEST_PICTURE, SELFTEST_FACE, named, _REBUILD)
        except MissingComponent:
            self.stop()
            raise

    def _search(self, pixels: Pixels) -> list[Result]:
        self._asked += 1
        answer = self._running.ask(_question(self._asked, pixels), SEARCH_SECONDS)
        try:
            return _checked(answer, self._asked, pixels.shape[1], pixels.shape[0])
        except ValueError as error:
            self._running.stop()
            raise ContainerDied(f"its answer makes no sense: {error}") from error


def _greeting(line: bytes, named: str) -> Greeting:
    try:
        greeting = msgspec.json.decode(line, type=Greeting)
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


def _checked(line: bytes, number: int, width: int, height: int) -> list[Result]:
    """The faces in an answer. Raises `ValueError` for what the library cannot have said."""
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.id != number:
        raise ValueError(f"it is for question {answer.id}, not {number}")
    for result in answer.faces:
        _check_face(result, width, height)
    return answer.faces


def _check_face(result: Result, width: int, height: int) -> None:
    x, y, across, down = result["face_box"]
    seen = min(x + across, width) - max(x, 0), min(y + down, height) - max(y, 0)
    if min(across, down, *seen) <= 0:
        raise ValueError(f"a face at {result['face_box']} in {width} x {height} pixels")
    # The library rounds up to a little more than 1.
    if not 0 <= result["likelihood"] <= 1.01:
        raise ValueError(f"a likelihood of {result['likelihood']}")
    farthest = 2 * max(width, height)
    if any(abs(number) > farthest for number in _numbers(result)):
        raise ValueError("a part of a face far from the picture")
    if any(not 0 <= part <= 255 for part in _colours(result)):
        raise ValueError("a colour that is none")


def _colours(result: Result) -> Iterator[int]:
    yield from result["hair_color"]
    yield from result["skin_color"]
    yield from result["left_eye_color"]
    yield from result["right_eye_color"]


def _numbers(result: Result) -> Iterator[int]:
    yield from result["face_box"]
    yield from result["left_eye_box"]
    yield from result["right_eye_box"]
    yield from result["mouth_box"]
    yield from result["nose_point"]
