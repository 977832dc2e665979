"""Taking one labelled picture in: its bytes, its boxes, their samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gleanset.errors import Unreadable
from gleanset.images.cut import Cutter, within
from gleanset.images.decode import decode
from gleanset.images.staging import StageFile
from gleanset.records import HAND, Box, Face, FaceCrop, Measured
from labeler.importing.reading import Labelled


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker gives back: the picture, and a sample with its label for each box."""

    measured: Measured
    cuts: tuple[tuple[FaceCrop, str], ...]


@dataclass(frozen=True, slots=True)
class Take:
    """Stores a picture and cuts its boxes; picklable."""

    keep: StageFile
    cutter: Cutter

    def __call__(self, item: Labelled) -> Taken:
        """Raises `Unreadable` for what is no picture, or has a box outside of it."""
        measured = self.keep(item.path)
        whole = Box(0, 0, measured.width, measured.height)
        data = self.keep.keep.store.read(measured.sha256, measured.format)
        pixels = np.asarray(decode(data).pixels)
        cuts = []
        for box, label in item.labels:
            face = (
                Face("whole", whole, 1.0) if box is None else Face(HAND, _inside(box, whole), 1.0)
            )
            cuts.append((self.cutter.cut(measured.sha256, pixels, face), label))
        return Taken(measured, tuple(cuts))


def _inside(box: Box, whole: Box) -> Box:
    part = within(box, whole.width, whole.height)
    if part is None:
        raise Unreadable("box outside", f"{tuple(box)} in {whole.width} x {whole.height} pixels")
    return part
