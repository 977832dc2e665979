"""How a model's pictures are cut before it sees them: as those that it learnt from were.

A run keeps in `crops.json` how its training pictures were cut, and an exported file carries it in
its card. A model of before says that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from baseline.data.runs import read_part, write_part
from baseline.use.engines.base import ModelFacts
from baseline.use.picture_parts import ReadParts
from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import RecordedDetector, dataset_detector, spec_of, with_pins
from gleanset.db.faces import WHOLE, CropMethod
from gleanset.errors import UsageError
from gleanset.images.cut import CutSettings
from gleanset.settings import CropSettings, Settings, read_settings

FILE = "crops.json"
UNKNOWN = (
    "pictures are judged whole: how those that this model learnt from were cut is not recorded "
    "(where it learnt faces, name a detector: --detector NAME)"
)


def save_crops(folder: Path, methods: Iterable[CropMethod], *, scratch: Path | None = None) -> None:
    """Keep with a run how its training pictures were cut. Raises what the disk raises."""
    write_part(folder, FILE, list(methods), scratch=scratch)


def load_crops(folder: Path) -> tuple[CropMethod, ...] | None:
    """Return the ways in which a run's training pictures were cut; None for a run of before.

    Raises `InputUnusable`.
    """
    return read_part(folder, FILE, tuple[CropMethod, ...], "train again")


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
        return f"; it learnt from {', '.join(one.words for one in self.learnt)}"

    def _is(self, method: CropMethod) -> bool:
        """Return whether pictures are cut in just that way."""
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
    if detector == WHOLE or not (asked or _mostly_faces(learnt)):
        read = ReadParts(facts.size, cutting=_whole_cut(learnt), fit=facts.fit)
        return CropPlan(read, why, "", learnt)
    faces = next((method for method in learnt or () if method.of_faces), None)
    if faces is None and not asked:
        raise UsageError(
            f"this model learnt from boxes that were given by hand, which no detector finds "
            f"({', '.join(method.words for method in learnt or ())})",
            "say what to do: --detector NAME, or --detector whole",
        )
    known = read_settings(dataset) if dataset else Settings()
    own = known.crop
    spec = with_pins(_detector(faces, own, detector), known.pin_of)
    parts = [
        method
        for method in (faces, *(learnt or ()))
        if method and method.detector != WHOLE and method.cut
    ]
    cutting = CutSettings.parse(parts[0].cut) if parts else CutSettings.of(own)
    or_whole = not asked and any(method.detector == WHOLE for method in learnt or ())
    # Built, so that what it lacks is said now and not of each picture.
    settings = spec.recorded
    read = ReadParts(facts.size, spec, cutting, or_whole, facts.fit)
    return CropPlan(read, why, settings, learnt)


def _mostly_faces(learnt: tuple[CropMethod, ...] | None) -> bool:
    """Return whether more of the samples are parts of pictures than whole ones."""
    whole = sum(one.samples for one in learnt or () if one.detector == WHOLE)
    return 2 * whole < sum(one.samples for one in learnt or ())


def _whole_cut(learnt: tuple[CropMethod, ...] | None) -> CutSettings:
    cut = next((one.cut for one in learnt or () if one.detector == WHOLE), "")
    return CutSettings.parse(cut) if cut else CutSettings()


def _detector(faces: CropMethod | None, own: CropSettings, asked: str | None) -> DetectorSpec:
    """Return that which was asked for, else the model's, else the dataset's."""
    written = asked or (faces.detector if faces else own.detector)
    spec = spec_of(written)
    if faces is not None and spec.name == faces.detector:
        return RecordedDetector.of(spec.name, faces.settings).spec(dict(spec.settings))
    return dataset_detector(own, written)
