"""Reading the pictures to predict, in worker processes: whole, or the faces in them.

A module of its own without torch, because a worker imports what its function's module imports.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from baseline.data.pixels import Pixels, fitted, read_bytes
from baseline.settings import Fit
from facecrop.detectors import Detector, DetectorSpec
from gleanset.errors import Unreadable
from gleanset.images.cut import Array, CutSettings, cut, region
from gleanset.images.decode import decode
from gleanset.records import Box, Face
from gleanset.tree import ignored_reason, walk_tree

NO_FACE = "no face found"
Look = Callable[[Detector, Array], list[Face]]
_look_alone: Look = lambda detector, pixels: detector.detect(pixels)  # noqa: E731


class PicturePart(NamedTuple):
    """What is predicted: a face in its box, who found it and how sure, or the whole picture."""

    pixels: Pixels
    box: Box | None = None
    score: float | None = None
    found_by: str | None = None


@dataclass(frozen=True, slots=True)
class ReadParts:
    """Reads one file as parts of size x size; with a `detector`, its faces. Picklable.

    With `or_whole` a picture in which it finds none is one part as a whole.
    """

    size: int
    detector: DetectorSpec | None = None
    cutting: CutSettings = field(default_factory=CutSettings)
    or_whole: bool = False
    fit: Fit = "stretch"

    def __call__(self, path: str) -> list[PicturePart]:
        """Return the parts, at least one. Raises `Unreadable`."""
        return self.parts(decode(read_bytes(Path(path))).pixels)

    def parts(self, picture: Image.Image, look: Look = _look_alone) -> list[PicturePart]:
        """Return the parts of an upright RGB picture, at least one. Raises `Unreadable`."""
        if self.detector is None:
            return [self._whole(picture)]
        pixels = np.asarray(picture)
        faces = look(self.detector.build(), pixels)
        if not faces and not self.or_whole:
            raise Unreadable(NO_FACE, f"by {self.detector.name}")
        return self.faces(pixels, faces) or [self._whole(picture)]

    def faces(self, pixels: Array, faces: Iterable[Face]) -> list[PicturePart]:
        """Return faces that are known already, cut as those that were learnt from."""
        return [self._face(pixels, face) for face in faces]

    def _face(self, pixels: Array, face: Face) -> PicturePart:
        place = region(face, self.cutting, pixels.shape[1], pixels.shape[0])
        shown = fitted(cut(pixels, place.box, place.angle), self.size, self.fit)
        return PicturePart(shown, face.box, face.score, face.detector)

    def _whole(self, picture: Image.Image) -> PicturePart:
        whole = Box(0, 0, picture.width, picture.height)
        cutting = replace(self.cutting, level=False) if self.detector is None else CutSettings()
        place = region(Face("whole", whole, 1.0), cutting, picture.width, picture.height)
        shown = picture if place.box == whole else cut(picture, place.box)
        return PicturePart(fitted(shown, self.size, self.fit))


def files_of(names: Iterable[str], ignored: Counter[str]) -> Iterator[str]:
    """Yield the files that are meant: as named, all images below a folder, or fitting a pattern.

    Other files in folders are counted in `ignored`. A name that fits nothing is given as it is, so
    that it ends up among the rejections; so does a folder that cannot be read.
    """
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from _images_below(path, ignored)
        elif path.exists() or not glob.has_magic(name):
            yield name
        else:
            yield from sorted(glob.glob(name, recursive=True)) or [name]  # noqa: PTH207 - also absolute


def _images_below(root: Path, ignored: Counter[str]) -> Iterator[str]:
    unreadable: list[OSError] = []
    for folder, _, files in walk_tree(root, ignored, unreadable.append, links=True):
        for path in (folder / name for name in files):
            if (reason := ignored_reason(path)) is None:
                yield str(path)
            else:
                ignored[reason] += 1
    yield from (str(error.filename) for error in unreadable)
