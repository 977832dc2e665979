"""Catalogue rows without image files, for the tests of `gleanset.db`."""

from __future__ import annotations

from gleanset import Dataset
from gleanset.images.cropping import make_sample_key
from gleanset.records import Box, Face, FaceCrop, Measured, Origin


def sha(number: int) -> str:
    return f"{number:064x}"


def measured(number: int, phash: int = 0) -> Measured:
    return Measured(sha(number), "JPEG", 1000 + number, 640, 480, 1, 1, phash, 12.5)


def add_image(dataset: Dataset, number: int, *origins: Origin) -> str:
    for origin in origins or (Origin("test", str(number)),):
        dataset.images.add(measured(number), origin)
    return sha(number)


def cut(
    number: int, x: int = 0, score: float = 0.5, detector: str = "test", sharpness: float = 1.0
) -> FaceCrop:
    box = Box(x, 0, 10, 10)
    key = make_sample_key(sha(number), box)
    return FaceCrop(Face(detector, box, score), key, box, number, sharpness)


def add_sample(dataset: Dataset, number: int, *origins: Origin, score: float = 0.5) -> str:
    """Add an image with one face and return its sample key."""
    add_image(dataset, number, *origins)
    result = cut(number, score=score)
    dataset.faces.replace(sha(number), "test", "", [result])
    return result.key
