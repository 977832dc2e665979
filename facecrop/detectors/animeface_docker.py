"""The animeface-2009 detector, isolated in a container.

The library is C code of 2009 that processes untrusted images. Here it receives raw pixels in a
container without network, privileges or a writable disk, and with the old Pillow that it was
built for. Only the search of one tile happens in the container; tiling and conversion of the
results are those of the detector `animeface`.

The container runs docker/animeface-2009/server.py, with one line of JSON per request. Each process
has one container per engine and image, started and tested when the first detector is built, and
stopped with the process. Responses are validated as untrusted input. If a container dies or
sends an invalid response, it is restarted and the image is tried once more; after a second
failure, the image is rejected.
"""

import base64
import functools
import os
import threading
from typing import Annotated

import msgspec

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.animeface_library import (
    KNOWN_VERSION,
    LOWEST_LIKELIHOOD,
    MIN_SIDE,
    SELFTEST_FACE,
    SELFTEST_IMAGE,
    LibraryResult,
    LibrarySearch,
    self_test,
)
from facecrop.run_docker import (
    ContainerDied,
    ContainerEngine,
    RunningContainer,
    choose_engine,
)
from gleanset.arrays import Pixels
from gleanset.errors import MissingComponent, Unreadable, UsageError

PROTOCOL = 1
"""Version of the line protocol; must match server.py."""

START_SECONDS = 60.0

SEARCH_SECONDS = 90.0
"""More than the server's own timeout (LONGEST_SEARCH, 60), so that the server can report it."""

_REBUILD = "rebuild it: facecrop docker build"


class ContainerGreeting(msgspec.Struct, frozen=True):
    """First line that the server sends."""

    protocol: int
    animeface: str
    pillow: str


class _Answer(msgspec.Struct):
    id: int
    faces: Annotated[list[LibraryResult], msgspec.Meta(max_length=1000)]


class AnimeFaceContainer:
    """Container with animeface, restarted when it dies; thread-safe."""

    def __init__(self, engine: str, image: str):
        """Start and test the container. Raises `MissingComponent`."""
        self._engine_name = engine
        self._image = image
        self._lock = threading.Lock()
        self._requests = 0
        self._start()

    def search(self, pixels: Pixels) -> list[LibraryResult]:
        """Return the faces in an image (height, width, 3).

        Raises `Unreadable` if the container dies twice on it, and `MissingComponent` if the
        container cannot be restarted.
        """
        if min(pixels.shape[:2]) < MIN_SIDE:
            return []
        with self._lock:
            try:
                return self._search(pixels)
            except ContainerDied:
                # Once may be an accident, such as a lack of memory: try again in a new container.
                self._start()

            try:
                return self._search(pixels)
            except ContainerDied as error:
                # The image is to blame; the next one gets a new container.
                self._start()
                raise Unreadable(
                    "crashed", f"twice in its container: {error}"
                ) from error

    def stop(self) -> None:
        """Stop the container now rather than with the process."""
        self._running.stop()

    def _start(self) -> None:
        """Replace the container with a new one that has been tested."""
        # A container may be killed, for instance if memory is short: try twice.
        for is_last_try in (False, True):
            engine = choose_engine(self._image, self._engine_name)
            try:
                self._start_in(engine)
            except ContainerDied as error:
                # The engine itself may have stopped since it was chosen.
                trouble = engine.find_trouble(self._image)
                if trouble or is_last_try:
                    raise trouble or MissingComponent(
                        f"the image {self._image} in {engine.name} does not work: {error}",
                        f"{_REBUILD}; or see what `{engine.name} info` says",
                    ) from error
            else:
                return

    def _start_in(self, engine: ContainerEngine) -> None:
        """Start and test the container. Raises `ContainerDied` and `MissingComponent`."""
        self.engine = engine.name
        self._running = RunningContainer(engine, self._image)
        description = f"the image {self._image} in {engine.name}"
        try:
            line = self._running.ask(b"", START_SECONDS)
            self.greeting = _parse_greeting(line, description)
            self_test(
                self._search,
                SELFTEST_IMAGE,
                SELFTEST_FACE,
                description,
                _REBUILD,
            )
        except MissingComponent:
            self.stop()
            raise

    def _search(self, pixels: Pixels) -> list[LibraryResult]:
        self._requests += 1
        height, width = pixels.shape[:2]
        rgb = base64.b64encode(pixels.tobytes())

        values = (self._requests, width, height, rgb)
        request = b'{"id":%d,"width":%d,"height":%d,"rgb":"%s"}\n' % values
        answer = self._running.ask(request, SEARCH_SECONDS)

        try:
            return _parse_answer(answer, self._requests, width, height)
        except ValueError as error:
            self._running.stop()
            raise ContainerDied(f"its answer makes no sense: {error}") from error


@functools.cache
def get_container(engine: str, image: str) -> AnimeFaceContainer:
    """Return this process's tested container for an engine ("": any) and image."""
    return AnimeFaceContainer(engine, image)


def _parse_greeting(line: bytes, description: str) -> ContainerGreeting:
    try:
        greeting = msgspec.json.decode(line, type=ContainerGreeting)
    except ValueError:
        raise MissingComponent(f"{description} is not one of ours", _REBUILD) from None

    if (greeting.protocol, greeting.animeface) != (PROTOCOL, KNOWN_VERSION):
        actual = f"animeface {greeting.animeface}, protocol {greeting.protocol}"
        raise MissingComponent(
            f"{description} is of another Gleanset ({actual[:100]})", _REBUILD
        )
    return greeting


def _parse_answer(
    line: bytes, number: int, width: int, height: int
) -> list[LibraryResult]:
    """Return the faces in a response. Raises `ValueError` if it is invalid."""
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.id != number:
        raise ValueError(f"it is for question {answer.id}, not {number}")
    for result in answer.faces:
        _check_face(result, width, height)
    return answer.faces


def _check_face(result: LibraryResult, width: int, height: int) -> None:
    """Raise `ValueError` for a face that is not in an image of this size."""
    x, y, face_width, face_height = result["face_box"]
    visible_width = min(x + face_width, width) - max(x, 0)
    visible_height = min(y + face_height, height) - max(y, 0)
    if min(face_width, face_height, visible_width, visible_height) <= 0:
        raise ValueError(f"a face at {result['face_box']} in {width} x {height} pixels")

    coordinates = (
        *result["face_box"],
        *result["left_eye_box"],
        *result["right_eye_box"],
        *result["mouth_box"],
        *result["nose_point"],
    )
    # Landmarks of a face at the border may be a little outside.
    max_coordinate = 2 * max(width, height)
    if any(abs(number) > max_coordinate for number in coordinates):
        raise ValueError("a part of a face far from the image")


IMAGE = "gleanset-animeface-2009"

IMAGE_SETTING = "GLEANSET_CONTAINER_IMAGE"
"""Environment variable that holds the name of another image."""


class AnimeFaceDocker(AnimeFace):
    """Finds what `animeface` finds, in a container of docker or podman.

    `engine` is docker, podman or the path of a program, `image` the name of an image. Defaults are
    the environment variables `run_docker.ENGINE_SETTING` and `IMAGE_SETTING`, then the image
    `IMAGE` in the first engine that has it.
    """

    name = "animeface-docker"

    def __init__(
        self,
        threshold: str | float = LOWEST_LIKELIHOOD,
        engine: str | float = "",
        image: str | float = "",
    ):
        """Start this process's container and test it.

        Raises `UsageError` for an invalid setting, and `MissingComponent` if the engine or the
        image is missing or does not work.
        """
        self._engine = str(engine)
        self._image = choose_image_name(str(image))
        super().__init__(threshold)

    def _load_search(self) -> LibrarySearch:
        return get_container(self._engine, self._image).search


def choose_image_name(image: str = "") -> str:
    """Return the image name: requested, from the environment, or `IMAGE`. Raises `UsageError`."""
    name = image or os.environ.get(IMAGE_SETTING) or IMAGE
    if not name[0].isalnum() or not name.isprintable() or " " in name:
        raise UsageError(
            f"{name!r} cannot be the name of an image", f"for example {IMAGE}"
        )
    return name
