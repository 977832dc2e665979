"""Loading the animeface package, and making sure that it sees what we show it.

The package can fail silently: handed an image that it cannot read, it answers that there
are no faces (see `old_pillow`). Therefore nobody gets at it before it has found the face
on a drawn test picture, once in every process.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypedDict

import numpy as np
from PIL import Image

from facecrop.detectors.base import Pixels
from facecrop.detectors.old_pillow import old_image
from facecrop.detectors.search import overlap
from gleanset.errors import MissingComponent
from gleanset.records import Box

LOWEST_LIKELIHOOD = 0.5
"""The library drops what is not above this (`z > 0.5` in nvxs' nv_face_detect.c)."""

SHORTEST_SIDE = 57
"""Pixels. In smaller pictures the library looks for nothing: windows start at 42.592
pixels, and its loop over their sizes ends when the shorter side is not above
42.592 * 42.592 / 32 = 56.7 (`min_window_size` in nv_face_detect.c)."""

KNOWN_VERSION = "2.0.3"
"""The animeface version that `old_pillow` was written for."""

SELFTEST_PICTURE = Path(__file__).with_name("selftest.png")
SELFTEST_FACE = Box(55, 66, 88, 88)
"""What animeface 2.0.3 with Pillow 11.3 finds on the picture."""

SELFTEST_OVERLAP = 0.7
"""Least part of both boxes together (intersection over union) that they must share."""

_MEND = f"pip install --force-reinstall animeface=={KNOWN_VERSION}"

Rectangle: TypeAlias = tuple[int, int, int, int]
Colour: TypeAlias = tuple[int, int, int]


class Result(TypedDict):
    """What the library says about one face; x, y, width, height in pixels, colours as RGB."""

    likelihood: float
    face_box: Rectangle
    left_eye_box: Rectangle
    right_eye_box: Rectangle
    mouth_box: Rectangle
    nose_point: tuple[int, int]
    hair_color: Colour
    skin_color: Colour
    left_eye_color: Colour
    right_eye_color: Colour


Search: TypeAlias = Callable[[Pixels], list[Result]]


@functools.cache
def checked_search() -> Search:
    """The library's search, tested in this process. Raises `MissingComponent`."""
    search = _load()
    self_test(search, SELFTEST_PICTURE, SELFTEST_FACE)
    return search


def self_test(
    search: Search, picture: Path, expected: Box, tested: str = "", mend: str = _MEND
) -> None:
    """Raise `MissingComponent` unless `search` finds `expected`, and no other face.

    `tested` and `mend` are for its text, where not the package in this process is tested.
    """
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    try:
        boxes = [Box(*result["face_box"]) for result in search(pixels)]
    except (NotImplementedError, TypeError, KeyError) as error:
        raise MissingComponent(_complaint(f"failed: {error!r}", tested), mend) from error
    if len(boxes) != 1:
        raise MissingComponent(_complaint(f"found {len(boxes)} faces instead of 1", tested), mend)
    if overlap(boxes[0], expected) < SELFTEST_OVERLAP:
        said = f"found {tuple(boxes[0])} instead of {tuple(expected)}"
        raise MissingComponent(_complaint(said, tested), mend)


def _load() -> Search:
    try:
        from animeface import _nvxs

        version = importlib.metadata.version("animeface")
    except ImportError as error:
        raise MissingComponent(f"animeface cannot be loaded: {error}", _MEND) from error
    # Another version may be built for another Pillow: it gets the image of the Pillow here.
    ours = version == KNOWN_VERSION

    def search(pixels: Pixels) -> list[Result]:
        if min(pixels.shape[:2]) < SHORTEST_SIDE:
            return []
        image = old_image(pixels) if ours else Image.fromarray(pixels).im
        results: list[Result] = _nvxs.detect(image)
        return results

    return search


def _complaint(outcome: str, tested: str) -> str:
    where = tested or " beside ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("animeface", "pillow")
    )
    return f"the face detector of {where} does not work here: on its test picture it {outcome}"
