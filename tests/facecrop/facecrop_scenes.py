"""Drawn scenes with faces, stored as a harvest does."""

import numpy as np
from PIL import Image
from tools_for_tests import encode, exif_orientation

from facecrop.detectors.animeface_library import SELFTEST_FACE, SELFTEST_IMAGE
from gleanset import Box, Dataset, Origin, Sample
from gleanset.images.measure import measure

SIZE = (420, 300)


def paste(size: tuple[int, int], *faces: tuple[int, int, int]) -> Image.Image:
    """Paste the test face at each (x, y, width) of a plain canvas."""
    canvas = Image.new("RGB", size, (128, 150, 170))
    with Image.open(SELFTEST_IMAGE) as image:
        face = image.convert("RGB")
    for x, y, width in faces:
        height = round(width * face.height / face.width)
        canvas.paste(face.resize((width, height), Image.Resampling.LANCZOS), (x, y))
    return canvas


def scene(*lefts: int, size: tuple[int, int] = SIZE, side: int = 160) -> Image.Image:
    """Paste the test face at these x positions, 50 pixels from the top."""
    return paste(size, *((left, 50, side) for left in lefts))


def face_at(left: int, side: int = 160, top: int = 50) -> Box:
    """Return the box of a face pasted there."""
    with Image.open(SELFTEST_IMAGE) as image:
        zoom = side / image.width
    x, y, width, height = (round(n * zoom) for n in SELFTEST_FACE)
    return Box(left + x, top + y, width, height)


def near(first: Box, second: Box) -> bool:
    """Return whether the intersection is over 70 % of the union."""
    across = min(first.x + first.width, second.x + second.width) - max(
        first.x, second.x
    )
    down = min(first.y + first.height, second.y + second.height) - max(
        first.y, second.y
    )
    shared = max(across, 0) * max(down, 0)
    return shared > 0.7 * (
        first.width * first.height + second.width * second.height - shared
    )


def put(dataset: Dataset, image: Image.Image, *, orientation: int = 1) -> str:
    """Store an image as a harvest does and return its hash."""
    data = encode(image, "PNG", exif=exif_orientation(orientation))
    measured = measure(data)
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    dataset.images.add(measured, Origin("folder", measured.sha256))
    return measured.sha256


def samples(dataset: Dataset) -> list[Sample]:
    return sorted(dataset.samples.iter_by_key(), key=lambda sample: sample.box)


def crop(dataset: Dataset, sample: Sample) -> np.ndarray:
    with Image.open(dataset.crop_path(sample.key)) as image:
        return np.asarray(image.convert("RGB")).astype(int)
