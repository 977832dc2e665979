"""Reading the pixels of one sample, in worker processes: torch is not needed for it.

A module of its own, because a worker imports what its function's module imports, and
torch takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.errors import Unreadable
from gleanset.images.cut import cut
from gleanset.images.decode import decode
from gleanset.records import Box
from gleanset.work.pool import Processes, cores

EACH = 100
"""Pictures that one process reads in about the time that another takes to start."""

Pixels = npt.NDArray[np.uint8]


def processes_for(pictures: int) -> Processes:
    """As many as so many pictures keep busy: a few are read sooner by one."""
    return Processes(max(1, min(cores(), pictures // EACH)))


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pixels of a sample are: its crop, or its original and a box."""

    key: str
    crop: str
    original: str
    box: Box
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class ReadPixels:
    """Reads one sample as `size` x `size` pixels; picklable, runs in worker processes."""

    size: int
    mode: str

    def __call__(self, source: Source) -> Pixels:
        """uint8, C x size x size. Raises `Unreadable`."""
        image = self._picture(source).convert(self.mode)
        values = np.asarray(resized(image, self.size), dtype=np.uint8)
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1).copy()

    def _picture(self, source: Source) -> Image.Image:
        try:
            return decode(_bytes(source.crop)).pixels
        except Unreadable:
            # Crops may be deleted at any time; the original is what counts.
            return cut(decode(_bytes(source.original)).pixels, source.box, source.angle)


def resized(image: Image.Image, size: int) -> Image.Image:
    """The picture as size x size pixels, its proportions given up: everything a model sees."""
    return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - paths travel to workers as text
            return file.read()
    except OSError as error:
        raise Unreadable("file is gone", str(error)) from error
