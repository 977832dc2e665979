"""What worker processes do for the search for duplicates: read pictures, hash and compare them."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
from PIL import Image

from gleanset.db.measures import SampleHashes, SampleRegion
from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.images.cut import cut
from gleanset.images.decode import Mode, decode
from gleanset.records import Box, Region
from labeler.duplicates.hashes import GREY_SIZE, grey_of, looks_of, points_of
from labeler.duplicates.second_look import Verdict, View, compare, view_of

# Pairs come sorted, so that the pictures of one group are decoded once.
_REMEMBERED = 256


class Place(NamedTuple):
    """Where a sample's pixels are: a file of the dataset and a region of it."""

    path: Path
    width: int
    height: int
    region: Region


class Pair(NamedTuple):
    """Two samples (rows) to look at. `one_film`: both are frames of one video."""

    a: int
    b: int
    place_a: Place
    place_b: Place
    one_film: bool


def place_of(seen: SampleRegion, originals: Store) -> Place:
    """Where the pixels of a sample lie."""
    return Place(originals.path(seen.image, seen.format), seen.width, seen.height, seen.region)


def pixels_of(place: Place, at_least: int = GREY_SIZE, mode: Mode = "L") -> Image.Image:
    """The pixels of a sample, at least so many on the longer side where there are as many.

    Raises `Unreadable`.
    """
    try:
        data = place.path.read_bytes()
    except OSError as error:
        raise Unreadable("file is gone", str(error)) from error
    box, angle = place.region
    part = max(box.width, box.height) / max(place.width, place.height, 1)
    picture = decode(data, at_least=math.ceil(at_least / max(part, 0.01)), mode=mode)
    scale = picture.pixels.width / max(1, picture.width)
    smaller = Box(*(round(side * scale) for side in box))
    return cut(
        picture.pixels,
        smaller._replace(width=max(1, smaller.width), height=max(1, smaller.height)),
        angle,
    )


def describe_place(item: tuple[SampleRegion, Place]) -> SampleHashes:
    """The hashes of a sample. Raises `Unreadable`."""
    seen, place = item
    cv2.setNumThreads(1)
    pixels = pixels_of(place)
    return describe(pixels, seen.id)


def describe(pixels: Image.Image, number: int = 0) -> SampleHashes:
    """The hashes of a picture as they are stored."""
    grey = grey_of(pixels)
    looks = looks_of(grey, points_of(grey))
    shrunk = min(1.0, GREY_SIZE / max(pixels.size))
    area = max(1.0, pixels.width * shrunk) * max(1.0, pixels.height * shrunk)
    shapes = bytes(
        v for shape in zip(looks.scales, looks.angles, looks.mirrored, strict=True) for v in shape
    )
    filled = round(min(1.0, grey.size / area), 3)
    return SampleHashes(
        number, looks.plain, looks.flipped, filled, looks.points.astype("<u8").tobytes(), shapes
    )


def compare_places(pair: Pair) -> Verdict:
    """The second look at two samples. Raises `Unreadable`."""
    cv2.setNumThreads(1)
    return compare(_view(pair.place_a), _view(pair.place_b), one_film=pair.one_film)


@lru_cache(maxsize=_REMEMBERED)
def _view(place: Place) -> View:
    return view_of(pixels_of(place))._replace(colours=lambda: pixels_of(place, mode="RGB"))
