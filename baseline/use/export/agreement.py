"""Whether an exported model answers as the run it came from, and how quickly."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.data.pixels import Pixels
from baseline.use.engines.base import InferenceEngine
from baseline.use.model import Model
from gleanset.errors import InputUnusable

BATCH = 16
TIMED = 20
LARGEST_DIFFERENCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
"""The largest difference of a probability that is let through."""
LEAST_AGREEMENT = {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
"""The least share of pictures with the same likeliest class."""

ENOUGH, ALIKE = 100, 0.99
"""Two engines are alike where they answer this share of this many pictures the same."""
QUICKER = 0.9
"""The most of another's time that an engine may take to be called quicker."""


@dataclass(frozen=True, slots=True)
class AgreementCheck:
    """How two engines compare on `pictures` pictures.

    `farthest` is the largest difference of a probability, `agreement` the share of pictures with
    the same likeliest class. `accuracy` is of the exported model, `accuracy_before` of the run, on
    the labels given; None where there were none.
    """

    pictures: int
    farthest: float
    agreement: float
    accuracy_before: float | None
    accuracy: float | None

    @property
    def no_worse(self) -> bool:
        """Whether the exported model is right as often as the run, as far as that is known."""
        return (self.accuracy or 0) >= (self.accuracy_before or 0)

    def to_json(self) -> dict[str, float | int | str]:
        """Return the figures that are known."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


def compare(
    run: InferenceEngine,
    exported: InferenceEngine,
    pictures: Pixels,
    y: npt.NDArray[np.int64] | None,
) -> AgreementCheck:
    """Compare both on pictures N x size x size x 3 of the classes `y` (-1: not known)."""
    first, second = probabilities(run, pictures), probabilities(exported, pictures)
    before, after = first.argmax(1), second.argmax(1)
    known = np.zeros(len(pictures), bool) if y is None else y >= 0
    scores = [
        float((found[known] == y[known]).mean()) if y is not None and known.any() else None
        for found in (before, after)
    ]
    # Between classes that are equally likely, either is the same answer.
    rows = np.arange(len(first))
    same = (before == after) | (
        first[rows, before] - first[rows, after] < LARGEST_DIFFERENCE["fp32"]
    )
    return AgreementCheck(
        len(pictures), float(np.abs(first - second).max()), float(same.mean()), *scores
    )


def probabilities(engine: InferenceEngine, pictures: Pixels) -> npt.NDArray[np.float32]:
    """Return N x classes, a batch at a time."""
    parts = [
        engine(pictures[at : at + BATCH]).probabilities for at in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


def refuse_unequal(check: AgreementCheck, precision: str) -> None:
    """Raise `InputUnusable` where the answers are too far apart to be the same model's."""
    far = check.farthest > LARGEST_DIFFERENCE[precision]
    if far or check.agreement < LEAST_AGREEMENT[precision]:
        raise InputUnusable(
            f"nothing was written: as {precision} the model would give other answers "
            f"(the same class for {check.agreement:.1%} of {check.pictures} pictures, "
            f"probabilities off by up to {check.farthest:.2g})",
            "export with --precision fp32" if precision != "fp32" else "please report this",
        )


def alike(run: InferenceEngine, exported: InferenceEngine, pictures: Pixels) -> bool:
    """Return whether both give `ALIKE` of at least `ENOUGH` pictures the same class or none."""
    if len(pictures) < ENOUGH:
        return False
    told = [Model(one).answers_to(pictures, 1) for one in (run, exported)]
    same = [first.label == second.label for first, second in zip(*told, strict=True)]
    return bool(sum(same) >= ALIKE * len(same))


def quicker(engine: InferenceEngine, other: InferenceEngine, picture: Pixels) -> bool:
    """Return whether an engine takes less than `QUICKER` of the other's time on this machine."""
    return _shortest_seconds(engine, picture) < QUICKER * _shortest_seconds(other, picture)


def _shortest_seconds(engine: InferenceEngine, picture: Pixels) -> float:
    """Return the shortest time of several calls: others on the machine only make it longer."""
    taken = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        engine(picture)
        taken.append(time.perf_counter() - begun)
    return min(taken)
