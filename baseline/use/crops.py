"""How a model's pictures are cut before it sees them: as those that it learnt from were.

A run keeps in `crops.json` how its training pictures were cut, and an exported file carries it in
its card. A model of before says that it does not know.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from PIL import Image

from baseline.data.pixels import Pixels, read_bytes, to_square_pixels
from baseline.data.runs import read_run_json, write_run_json
from baseline.settings import Fit
from baseline.use.engines.base import ModelFacts
from facecrop.detectors import Detector, DetectorSpec
from facecrop.detectors.options import RecordedDetector, dataset_detector, parse_detector, pin_model
from gleanset.db.faces import WHOLE, CropMethod
from gleanset.errors import Unreadable, UsageError
from gleanset.images.cut import Array, CutSettings, cut, region
from gleanset.images.decode import decode
from gleanset.records import Box, Face
from gleanset.settings import CropSettings, Settings, read_settings
from gleanset.tree import ignored_reason, walk_tree

FILE = "crops.json"
UNKNOWN = (
    "pictures are judged whole: how those that this model learnt from were cut is not recorded "
    "(where it learnt faces, name a detector: --detector NAME)"
)


def save_crops(folder: Path, methods: Iterable[CropMethod], *, scratch: Path | None = None) -> None:
    """Keep with a run how its training pictures were cut. Raises what the disk raises."""
    write_run_json(folder, FILE, list(methods), scratch=scratch)


def load_crops(folder: Path) -> tuple[CropMethod, ...] | None:
    """Return the ways in which a run's training pictures were cut; None for a run of before.

    Raises `InputUnusable`.
    """
    return read_run_json(folder, FILE, tuple[CropMethod, ...], "train again")


@dataclass(frozen=True, slots=True)
class CropPlan:
    """How pictures are read: `read` does it, `words` and `to_json` tell of it."""

    read: ReadParts
    why: str
    settings: str
    learnt: tuple[CropMethod, ...] | None

    @property
    def words(self) -> str:
        """A sentence for a person."""
        if self.why == "not recorded":
            return UNKNOWN
        start = f"pictures are cut {'as was asked' if self.why == 'asked' else 'as in training'}"
        return f"{start}: {self._does()}{self._mixed()}"

    def _does(self) -> str:
        cut = self.read.cutting
        if self.read.detector is None:
            return "whole" + (f" ({cut})" if cut.square else "")
        settings = f" ({self.settings})" if self.settings else ""
        found = f"faces found by {self.read.detector.name}{settings}, cut with {cut}"
        return found + (", or whole where none is found" if self.read.or_whole else "")

    def _mixed(self) -> str:
        same = [one for one in self.learnt or () if self._is(one)]
        if self.learnt is None or (len(same) == 1 == len(self.learnt)):
            return ""
        return f"; it learnt from {', '.join(one.description for one in self.learnt)}"

    def _is(self, method: CropMethod) -> bool:
        if self.read.detector is None:
            return method.detector == WHOLE and bool(method.cut) == self.read.cutting.square
        told = (method.detector, method.settings, method.cut)
        return told == (self.read.detector.name, self.settings, str(self.read.cutting))

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        detector = self.read.detector
        return {
            "because": self.why,
            "detector": detector.name if detector else WHOLE,
            "settings": self.settings,
            "cut": str(self.read.cutting),
            "else_whole": self.read.or_whole,
            "learnt": None if self.learnt is None else msgspec.to_builtins(self.learnt),
        }


def crop_plan_for(facts: ModelFacts, dataset: Path | None, detector: str | None = None) -> CropPlan:
    """Return how a model's pictures are to be cut: by a `detector` with its settings, which may be
    `whole`, else as it learnt them.

    What neither says is as the settings of `dataset` have it. Raises `UsageError` where a model
    learnt from boxes that no detector can find again, or a detector lacks its file, and what
    building a detector raises.
    """
    learnt, asked = facts.crops, detector is not None
    why = "asked" if asked else "recorded" if learnt is not None else "not recorded"
    whole = [method for method in learnt or () if method.detector == WHOLE]
    mostly_faces = 2 * sum(one.samples for one in whole) < sum(one.samples for one in learnt or ())
    if detector == WHOLE or not (asked or mostly_faces):
        cutting = CutSettings.parse(whole[0].cut) if whole and whole[0].cut else CutSettings()
        read = ReadParts(facts.size, cutting=cutting, fit=facts.fit)
        return CropPlan(read, why, "", learnt)
    faces = next((method for method in learnt or () if method.is_detected), None)
    if faces is None and not asked:
        raise UsageError(
            f"this model learnt from boxes that were given by hand, which no detector finds "
            f"({', '.join(method.description for method in learnt or ())})",
            "say what to do: --detector NAME, or --detector whole",
        )
    known = read_settings(dataset) if dataset else Settings()
    own = known.crop
    spec = pin_model(_detector(faces, own, detector), known.pin_of)
    parts = [
        method
        for method in (faces, *(learnt or ()))
        if method and method.detector != WHOLE and method.cut
    ]
    cutting = CutSettings.parse(parts[0].cut) if parts else CutSettings.of(own)
    or_whole = not asked and bool(whole)
    # Built, so that what it lacks is said now and not of each picture.
    settings = spec.recorded
    read = ReadParts(facts.size, spec, cutting, or_whole, facts.fit)
    return CropPlan(read, why, settings, learnt)


def _detector(faces: CropMethod | None, own: CropSettings, asked: str | None) -> DetectorSpec:
    written = asked or (faces.detector if faces else own.detector)
    spec = parse_detector(written)
    if faces is not None and spec.name == faces.detector:
        return RecordedDetector.of(spec.name, faces.settings).spec(dict(spec.settings))
    return dataset_detector(own, written)


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
        shown = to_square_pixels(cut(pixels, place.box, place.angle), self.size, self.fit)
        return PicturePart(shown, face.box, face.score, face.detector)

    def _whole(self, picture: Image.Image) -> PicturePart:
        whole = Box(0, 0, picture.width, picture.height)
        cutting = replace(self.cutting, level=False) if self.detector is None else CutSettings()
        place = region(Face("whole", whole, 1.0), cutting, picture.width, picture.height)
        shown = picture if place.box == whole else cut(picture, place.box)
        return PicturePart(to_square_pixels(shown, self.size, self.fit))


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
