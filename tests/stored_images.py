"""Images in a dataset with one sample each, as the real stages would leave them."""

from __future__ import annotations

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import make_sample_key
from gleanset.images.measure import measure
from gleanset.records import FaceCrop, Measured


def store(
    dataset: Dataset,
    data: bytes,
    origin: Origin,
    face: Face | None = None,
    *,
    alone: bool = False,
    settings: str = "",
) -> str:
    """Store an image and return the key of its one sample.

    With `alone` its perceptual hash differs from that of any similar image.
    """
    measured = measure(data)
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    dataset.images.add(measured, origin)
    return sample_of(dataset, measured, face, alone=alone, settings=settings)


def sample_of(
    dataset: Dataset,
    image: Measured,
    face: Face | None = None,
    *,
    alone: bool = False,
    settings: str = "",
) -> str:
    """Add a sample of a stored image, by default the whole image."""
    face = face or Face("whole", Box(0, 0, image.width, image.height), 1.0)
    key = make_sample_key(image.sha256, face.box)
    look = int(image.sha256[:16], 16) if alone else image.phash
    cut = FaceCrop(face, key, face.box, look, image.sharpness)
    dataset.faces.replace(image.sha256, face.detector, settings, [cut])
    return key
