"""How good a detector's boxes are: recall, precision and F1 on annotated pictures.

A box finds a face by one of three criteria: their intersection over union is at least 0.5, or
at least 0.3, or the box's centre lies in the face. Detectors disagree on where a face ends
(the cascade takes the hair in), so no single criterion is fair to all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from facecrop.detectors.search import overlap
from gleanset.records import Box, Face


@dataclass(frozen=True, slots=True)
class Criterion:
    """When a box (first) counts as found for a true face (second)."""

    name: str
    fits: Callable[[Box, Box], bool]


def _centred(box: Box, truth: Box) -> bool:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    across = truth.x <= x <= truth.x + truth.width
    return across and truth.y <= y <= truth.y + truth.height


CRITERIA = (
    Criterion("0.5", lambda box, truth: overlap(box, truth) >= 0.5),
    Criterion("0.3", lambda box, truth: overlap(box, truth) >= 0.3),
    Criterion("centre", _centred),
)


@dataclass(slots=True)
class Tally:
    """What was found, by one criterion; the boxes that are wrong, and those that lack."""

    found: int = 0
    false_alarms: list[Face] = field(default_factory=list)
    missed: list[Box] = field(default_factory=list)

    @property
    def false(self) -> int:
        """How many boxes are on no face."""
        return len(self.false_alarms)

    @property
    def faces(self) -> int:
        """How many faces there are."""
        return self.found + len(self.missed)

    @property
    def recall(self) -> float:
        """The part of the faces that was found; 1 where there is none."""
        return self.found / self.faces if self.faces else 1.0

    @property
    def precision(self) -> float:
        """The part of the boxes that is right; 1 where there is none."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 1 where there was nothing to find and nothing found."""
        total = self.faces + self.found + self.false
        return 2 * self.found / total if total else 1.0


def score(faces: Iterable[Face], truth: Sequence[Box], criterion: Criterion) -> Tally:
    """Match boxes to faces, the surest first, each face once and to its best box."""
    tally, free = Tally(), list(truth)
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        fitting = [box for box in free if criterion.fits(face.box, box)]
        if not fitting:
            tally.false_alarms.append(face)
            continue
        free.remove(max(fitting, key=lambda box: overlap(face.box, box)))
        tally.found += 1
    tally.missed = free
    return tally


def total(tallies: Iterable[Tally]) -> Tally:
    """The tallies of several pictures as one."""
    result = Tally()
    for one in tallies:
        result.found += one.found
        result.false_alarms += one.false_alarms
        result.missed += one.missed
    return result
