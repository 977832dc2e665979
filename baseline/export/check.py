"""Whether an exported model answers as the run does, on real pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.engines import Engine
from baseline.pixels import Pixels
from gleanset.errors import InputUnusable

BATCH = 16
FARTHEST = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
"""The largest difference of a probability that is let through."""
LEAST_AGREEMENT = {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
"""The least share of pictures with the same likeliest class."""


@dataclass(frozen=True, slots=True)
class Check:
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

    def to_json(self) -> dict[str, float | int | str]:
        """The figures that are known."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


def compare(
    run: Engine, exported: Engine, pictures: Pixels, y: npt.NDArray[np.int64] | None
) -> Check:
    """Ask both for pictures N x size x size x 3 of the classes `y` (-1: not known)."""
    first, second = probabilities(run, pictures), probabilities(exported, pictures)
    before, after = first.argmax(1), second.argmax(1)
    known = np.zeros(len(pictures), bool) if y is None else y >= 0
    scores = [
        float((found[known] == y[known]).mean()) if y is not None and known.any() else None
        for found in (before, after)
    ]
    # Between classes that are equally likely, either is the same answer.
    rows = np.arange(len(first))
    same = (before == after) | (first[rows, before] - first[rows, after] < FARTHEST["fp32"])
    return Check(len(pictures), float(np.abs(first - second).max()), float(same.mean()), *scores)


def probabilities(engine: Engine, pictures: Pixels) -> npt.NDArray[np.float32]:
    """N x classes, a batch at a time."""
    parts = [
        engine(pictures[at : at + BATCH]).probabilities for at in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


def refuse_unequal(check: Check, precision: str) -> None:
    """Raises `InputUnusable` where the answers are too far apart to be the same model's."""
    far = check.farthest > FARTHEST[precision]
    if far or check.agreement < LEAST_AGREEMENT[precision]:
        raise InputUnusable(
            f"nothing was written: as {precision} the model would give other answers "
            f"(the same class for {check.agreement:.1%} of {check.pictures} pictures, "
            f"probabilities off by up to {check.farthest:.2g})",
            "export with --precision fp32" if precision != "fp32" else "please report this",
        )
