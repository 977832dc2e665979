"""Thresholds chosen on val for a stated cost, and what they promise.

Sparing a class: of its pictures at least so many keep their name. "Unknown": of the answers given
at most so many are wrong. Either is chosen on the few pictures of val, so each comes with the
rate that it does not exceed with 95 % confidence (Clopper and Pearson; for a threshold that was
chosen, Wilks' tolerance limits, which are the same formula).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from baseline.evaluation.answers import Answers, decide
from baseline.evaluation.outputs import Outputs
from baseline.evaluation.probabilities import softmax
from gleanset.errors import InputUnusable, UsageError
from gleanset.shares import at_most, needed_for

POINTS = 40


@dataclass(frozen=True, slots=True)
class Spared:
    """A class that is spared: `threshold` for all other classes together.

    Of `count` pictures of the class on val `lost` would still be called something else; with
    95 % confidence at most `at_most` of such pictures will. `needed` pictures of val it would
    take to promise `wanted`. `others_kept` is the share of the other classes' pictures that
    still get their right name, `others_before` without the threshold.
    """

    name: str
    wanted: float
    threshold: float
    count: int
    lost: int
    at_most: float
    needed: int
    others_kept: float | None
    others_before: float | None

    @property
    def promised(self) -> bool:
        """Whether val is large enough for the promise."""
        return self.at_most <= 1 - self.wanted + 1e-12

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {"promised": self.promised}


def spare(
    val: Outputs, classes: Sequence[str], name: str, wanted: float, temperature: float
) -> Spared:
    """The lowest threshold that spares `wanted` (0..1) of the pictures of class `name` on val.

    Raises UsageError for a class that the run does not know, InputUnusable where val has no
    picture of it.
    """
    if name not in classes:
        raise UsageError(f"the run knows no class {name!r}", f"name one of: {', '.join(classes)}")
    number = classes.index(name)
    its = val.y == number
    if not its.any():
        raise InputUnusable(
            f"val has no picture of {name}, so no threshold can be chosen for it",
            "give val a share of it: labeler split --ratio 8:1:1",
        )
    probabilities = softmax(val.logits, temperature)
    # What is called by its name anyway is lost at no threshold.
    against = np.where(probabilities.argmax(1) == number, 0.0, 1 - probabilities[:, number])
    allowed = math.floor((1 - wanted) * int(its.sum()) + 1e-9)
    ranked = np.sort(against[its])[::-1]
    threshold = float(ranked[allowed]) if allowed < len(ranked) else 0.0
    plain = decide(val.logits, classes, Answers(temperature)).classes
    kept = decide(val.logits, classes, Answers(temperature, None, {name: threshold})).classes
    lost = int((kept[its] != number).sum())
    return Spared(
        name, wanted, threshold, int(its.sum()), lost, at_most(lost, int(its.sum())),
        needed_for(1 - wanted),
        float((kept == val.y)[~its].mean()) if not its.all() else None,
        float((plain == val.y)[~its].mean()) if not its.all() else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Knowing:
    """When to say "unknown": `coverage` of val is answered, `errors` of these answers are wrong.

    `at_most` is the error rate that is not exceeded with 95 % confidence; `wanted` the one that
    was asked for, None where the threshold itself was given.
    """

    below: float
    wanted: float | None
    coverage: float
    answered: int
    errors: int
    at_most: float

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


def unknown_for(val: Outputs, classes: Sequence[str], wanted: float, answers: Answers) -> Knowing:
    """The lowest threshold with at most `wanted` wrong answers on val among those given.

    Raises InputUnusable where not even the surest answers are so often right, or val is empty.
    """
    _some(val)
    sure, right = _confidence(val, classes, answers)
    order = np.argsort(-sure, kind="stable")
    wrong = (~right[order]).cumsum()
    # A threshold cannot part answers of equal confidence.
    last = np.append(sure[order][1:] != sure[order][:-1], True)
    fits = np.flatnonzero(last & (wrong <= wanted * np.arange(1, len(order) + 1)))
    if not len(fits):
        raise InputUnusable(
            f"no threshold makes {wanted:.4g} wrong answers on val: its surest ones are wrong",
            "allow more errors, or train a better model",
        )
    at = int(fits[-1])
    below = float(sure[order][at]) if at + 1 < len(order) else 0.0
    return unknown_below(val, classes, below, answers, wanted)


def unknown_below(
    val: Outputs, classes: Sequence[str], below: float, answers: Answers,
    wanted: float | None = None,
) -> Knowing:  # fmt: skip
    """What a given threshold does on val."""
    _some(val)
    sure, right = _confidence(val, classes, answers)
    given = sure >= below
    answered, errors = int(given.sum()), int((given & ~right).sum())
    bound = at_most(errors, answered) if answered else 1.0
    return Knowing(below, wanted, answered / len(right), answered, errors, bound)


def risk_curve(
    outputs: Outputs, classes: Sequence[str], answers: Answers
) -> list[tuple[float, float]]:
    """(coverage, error rate among the answers given), the surest answers first."""
    sure, right = _confidence(outputs, classes, answers)
    order = np.argsort(-sure, kind="stable")
    risk = (~right[order]).cumsum() / np.arange(1, len(order) + 1)
    at = np.unique(np.linspace(1, len(order), min(POINTS, len(order))).round().astype(int)) - 1
    return [(float((i + 1) / len(order)), float(risk[i])) for i in at]


def _confidence(
    outputs: Outputs, classes: Sequence[str], answers: Answers
) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each answer, thresholds applied, and whether it is right."""
    told = Answers(answers.temperature, None, answers.thresholds)
    chosen, probabilities = decide(outputs.logits, classes, told)
    return probabilities[np.arange(len(chosen)), chosen], chosen == outputs.y


def _some(val: Outputs) -> None:
    if not len(val):
        raise InputUnusable(
            "val is empty, so no threshold can be chosen",
            "give it a share: labeler split --ratio 8:1:1, then train again",
        )
