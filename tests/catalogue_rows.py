"""Rows of the catalogue: with an image file or without; and its write lock."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.images.cropping import make_sample_key
from gleanset.images.measure import measure
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
    number: int,
    x: int = 0,
    score: float = 0.5,
    detector: str = "test",
    sharpness: float = 1.0,
) -> FaceCrop:
    box = Box(x, 0, 10, 10)
    key = make_sample_key(sha(number), box)
    return FaceCrop(Face(detector, box, score), key, box, number, sharpness)


def add_sample(
    dataset: Dataset, number: int, *origins: Origin, score: float = 0.5
) -> str:
    """Add an image with one face and return its sample key."""
    add_image(dataset, number, *origins)
    result = cut(number, score=score)
    dataset.faces.replace(sha(number), "test", "", [result])
    return result.key


def store(
    dataset: Dataset,
    data: bytes,
    origin: Origin,
    face: Face | None = None,
    **options: Any,
) -> str:
    """Store an image and return the key of its one sample; `options` are those of `sample_of`."""
    image = measure(data)
    dataset.originals(dataset.cache).put(image.sha256, image.format, data)
    dataset.images.add(image, origin)
    return sample_of(dataset, image, face, **options)


def sample_of(
    dataset: Dataset,
    image: Measured,
    face: Face | None = None,
    *,
    alone: bool = False,
    settings: str = "",
) -> str:
    """Add a sample of a stored image, by default the whole image.

    With `alone` its perceptual hash differs from that of any similar image.
    """
    face = face or Face("whole", Box(0, 0, image.width, image.height), 1.0)
    key = make_sample_key(image.sha256, face.box)
    look = int(image.sha256[:16], 16) if alone else image.phash
    cut = FaceCrop(face, key, face.box, look, image.sharpness)
    dataset.faces.replace(image.sha256, face.detector, settings, [cut])
    return key


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the write lock of the catalogue."""
    other = sqlite3.connect(root / "catalog.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()
