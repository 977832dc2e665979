"""Images with annotated faces, and the matching of detections to them."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset.records import Box, Face, overlap


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """Image with the boxes of all its faces; its name begins with its `kind` and `_`."""

    path: Path
    boxes: list[Box]
    kind: str


def read_annotations(file: Path, images: Path | None = None) -> list[AnnotatedImage]:
    """Read annotations in one of two forms; boxes are in pixels.

    `[{"file": "show_1.jpg", "boxes": [[1, 2, 30, 30]]}, ...]`, or that of the bundled sample,
    `{"pictures": {"show_1.jpg": [{"box": [1, 2, 30, 30]}, ...]}}`. Names are relative to `images`,
    by default the folder of the file.
    """
    data: Any = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(data, dict):
        rows = data["pictures"].items()
        data = [
            {"file": name, "boxes": [face["box"] for face in faces]}
            for name, faces in rows
        ]
    folder = images or file.parent
    return [
        AnnotatedImage(
            folder / entry["file"],
            [Box(*map(round, numbers)) for numbers in entry["boxes"]],
            kind if separator else "other",
        )
        for entry in data
        for kind, separator, _ in [Path(entry["file"]).stem.partition("_")]
    ]


@dataclass(frozen=True, slots=True)
class Criterion:
    """Criterion for when a box (first) matches a true face (second)."""

    name: str
    fits: Callable[[Box, Box], bool]


def _is_centered(box: Box, truth: Box) -> bool:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    is_within_sides = truth.x <= x <= truth.x + truth.width
    return is_within_sides and truth.y <= y <= truth.y + truth.height


# Detectors disagree on where a face ends, so no single criterion is fair to all.
CRITERIA = (
    Criterion("0.5", lambda box, truth: overlap(box, truth) >= 0.5),
    Criterion("0.3", lambda box, truth: overlap(box, truth) >= 0.3),
    Criterion("centre", _is_centered),
)


@dataclass(slots=True)
class MatchTally:
    """Results by one criterion: hits, detections that match no face, and missed faces."""

    hits: int = 0
    overlap_sum: float = 0.0
    false_positives: list[Face] = field(default_factory=list)
    missed: list[Box] = field(default_factory=list)

    @property
    def detections(self) -> int:
        """The number of detections."""
        return self.hits + len(self.false_positives)

    @property
    def faces(self) -> int:
        """The number of true faces."""
        return self.hits + len(self.missed)

    @property
    def recall(self) -> float:
        """The share of faces that were detected; 1 if there are none."""
        return self.hits / self.faces if self.faces else 1.0

    @property
    def precision(self) -> float:
        """The share of detections that are correct; 1 if there are none."""
        return self.hits / self.detections if self.detections else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 if there is nothing to find."""
        total = self.faces + self.detections
        return 2 * self.hits / total if total else 1.0

    @property
    def mean_overlap(self) -> float:
        """The mean intersection over union of the hits; 0 if there are none."""
        return self.overlap_sum / self.hits if self.hits else 0.0


def match_faces(
    faces: Iterable[Face], truth: Sequence[Box], criterion: Criterion
) -> MatchTally:
    """Match boxes to faces by descending score, each face once."""
    tally = MatchTally()
    unmatched = list(truth)
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        matches = [box for box in unmatched if criterion.fits(face.box, box)]
        if not matches:
            tally.false_positives.append(face)
            continue
        match = max(matches, key=lambda box: overlap(face.box, box))
        unmatched.remove(match)
        tally.hits += 1
        tally.overlap_sum += overlap(face.box, match)
    tally.missed = unmatched
    return tally


def sum_tallies(tallies: Iterable[MatchTally]) -> MatchTally:
    """Sum the tallies of several images."""
    result = MatchTally()
    for tally in tallies:
        result.hits += tally.hits
        result.overlap_sum += tally.overlap_sum
        result.false_positives += tally.false_positives
        result.missed += tally.missed
    return result
