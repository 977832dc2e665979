"""The animeface-2009 detector in a container: the same library behind a wall.

The library is C code of 2009 that reads strangers' pictures. Here it gets bare pixels in a
container without net, rights or a writable disk, and beside the old Pillow that it was made
for. How a picture is searched, and what is made of the results, is that of `animeface`; only
the searching of one piece happens elsewhere.
"""

from __future__ import annotations

import os
from typing import ClassVar

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.animeface_container import container
from facecrop.detectors.animeface_library import LOWEST_LIKELIHOOD, Search
from gleanset.errors import UsageError

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

    def _checked_search(self) -> Search:
        return container(self._engine, self._image).search


def image_name(wanted: str = "") -> str:
    """The image's name: as wanted, as the environment says, or `IMAGE`. Raises `UsageError`."""
    name = wanted or os.environ.get(IMAGE_SETTING) or IMAGE
    if not name[0].isalnum() or not name.isprintable() or " " in name:
        raise UsageError(f"{name!r} cannot be the name of an image", f"for example {IMAGE}")
    return name
