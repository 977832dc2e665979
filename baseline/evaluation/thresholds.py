"""Thresholds chosen on val for a stated cost, and what they promise.

Sparing a class: of its pictures at least so many keep their name. "Unknown": of the answers given
at most so many are wrong. What is told is what all thresholds in force do together. They are chosen
on the few moments of val, so each comes with the rate that it does not exceed with 95 % confidence,
counted in moments, since frames of one scene are lost or wrong together.

A threshold that spares a class is an order statistic of its cases, and the bound of what lies
beyond is the one of a fixed threshold (Wilks' tolerance limits, 1941). The one for "unknown" is the
best of many, so its bound holds for all of them: it shares the 5 % among thresholds that answer
about all, half, a quarter (as Geifman and El-Yaniv, "Selective Classification for Deep Neural
Networks", 2017, section 3, share theirs among the steps of a bisection).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import msgspec
import numpy as np

from baseline.evaluation.answers import UNKNOWN, Answers, decide, without
from baseline.evaluation.intervals import share_at_most
from baseline.evaluation.outputs import Outputs
from baseline.evaluation.probabilities import Indices
from gleanset.binomial import needed_for
from gleanset.errors import InputUnusable, UsageError

POINTS = 40


@dataclass(frozen=True, slots=True)
class Spared:
    """A class that is spared: `threshold` for all other classes together.

    Of `count` pictures of the class on val, of `moments` moments, `lost` do not keep their name,
    `unknown` of them because the answer is "unknown"; with 95 % confidence at most `at_most` of
    such pictures will. `needed` moments of val it would take to promise `wanted`. `others_kept`
    is the share of the other classes' pictures that still get their right name, `others_before`
    without any threshold.
    """

    name: str
    wanted: float
    threshold: float
    count: int
    moments: int
    lost: int
    unknown: int
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
    val: Outputs, classes: Sequence[str], wanted: Mapping[str, float], answers: Answers
) -> Answers:
    """The lowest thresholds with which each class keeps its `wanted` share (0..1) on val.

    Where two spared classes claim a picture the likelier takes it, so a threshold may have to rise
    because of another's. Each only ever rises, up to the least thresholds that serve all. Raises
    UsageError for a class that the run does not know, InputUnusable where val has no picture of
    it, or where no thresholds serve all.
    """
    for name in wanted:
        _known(val, classes, name)
    thresholds = dict(answers.thresholds) | dict.fromkeys(wanted, 0.0)
    plain = msgspec.structs.replace(answers, unknown_below=None)
    before = None
    while thresholds != before:
        before = dict(thresholds)
        for name, share in wanted.items():
            told = msgspec.structs.replace(plain, thresholds=thresholds)
            least = _least(val, classes, name, share, told)
            thresholds = thresholds | {name: max(thresholds[name], least)}
    return msgspec.structs.replace(answers, thresholds=thresholds)


def _known(val: Outputs, classes: Sequence[str], name: str) -> None:
    if name not in classes:
        raise UsageError(f"the run knows no class {name!r}", f"name one of: {', '.join(classes)}")
    if not (val.y == classes.index(name)).any():
        raise InputUnusable(
            f"val has no picture of {name}, so no threshold can be chosen for it",
            "give val a share of it: labeler split --ratio 8:1:1",
        )


def _least(
    val: Outputs, classes: Sequence[str], name: str, wanted: float, answers: Answers
) -> float:
    """The lowest threshold that spares so much of a class, those of other classes being given."""
    number = classes.index(name)
    its = val.at(np.flatnonzero(val.y == number))
    kept = {
        end: decide(
            its.logits,
            classes,
            msgspec.structs.replace(answers, thresholds=dict(answers.thresholds) | {name: end}),
        ).classes
        == number
        for end in (0.0, 1.0)
    }
    claimed = 1 - decide(its.logits, classes, answers).probabilities[:, number]
    # What is called by its name anyway is lost at no threshold, what another takes at any.
    against = np.where(kept[0.0], 0.0, np.where(kept[1.0], claimed, np.inf))
    allowed = math.floor((1 - wanted) * len(its) + 1e-9)
    if allowed >= len(its):
        return 0.0
    least = float(np.sort(against)[::-1][allowed])
    if math.isinf(least):
        others = ", ".join(other for other in answers.thresholds if other != name)
        raise InputUnusable(
            f"{name} cannot be spared {100 * wanted:.4g} % beside {others}: on val "
            f"{int(np.isinf(against).sum())} of its {len(its)} pictures look more like these",
            "spare less of one of them, or one alone (--forget drops what was chosen before)",
        )
    return least


def spared(
    val: Outputs,
    classes: Sequence[str],
    name: str,
    wanted: float,
    answers: Answers,
    moments: Indices,
) -> Spared:
    """What all thresholds in force do to a class on val, whose `moments` are numbered (N)."""
    number = classes.index(name)
    its = val.y == number
    plain = decide(val.logits, classes, without(answers)).classes
    kept = decide(val.logits, classes, answers).classes
    lost = kept[its] != number
    return Spared(
        name=name,
        wanted=wanted,
        threshold=answers.thresholds[name],
        count=int(its.sum()),
        moments=len(np.unique(moments[its])),
        lost=int(lost.sum()),
        unknown=int((kept[its] == UNKNOWN).sum()),
        at_most=share_at_most(lost, moments[its]),
        needed=needed_for(1 - wanted),
        others_kept=float((kept == val.y)[~its].mean()) if not its.all() else None,
        others_before=float((plain == val.y)[~its].mean()) if not its.all() else None,
    )


@dataclass(frozen=True, slots=True)
class Knowing:
    """When to say "unknown": `coverage` of val is answered, `errors` of these answers are wrong.

    The `answered` pictures are of `moments` moments. `at_most` is the error rate that is not
    exceeded with 95 % confidence; `wanted` the one that was asked for, None where the threshold
    itself was given.
    """

    below: float
    wanted: float | None
    coverage: float
    answered: int
    moments: int
    errors: int
    at_most: float

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


def unknown_for(
    val: Outputs, classes: Sequence[str], wanted: float, answers: Answers, moments: Indices
) -> Knowing:
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
    return unknown_below(val, classes, below, answers, moments, wanted)


def unknown_below(
    val: Outputs,
    classes: Sequence[str],
    below: float,
    answers: Answers,
    moments: Indices,
    wanted: float | None = None,
) -> Knowing:
    """What a threshold does on val; one that was chosen for an error rate `wanted` promises less.

    `moments` are the numbers of val's moments (N).
    """
    _some(val)
    sure, right = _confidence(val, classes, answers)
    given = sure >= below
    wrong, of = ~right[given], moments[given]
    coverage = float(given.mean())
    doubt = 0.05 if wanted is None else _doubt(coverage)
    return Knowing(
        below,
        wanted,
        coverage,
        len(of),
        len(np.unique(of)),
        int(wrong.sum()),
        share_at_most(wrong, of, 1 - doubt),
    )


def _doubt(coverage: float) -> float:
    """The part of 5 % for a threshold with this coverage: of about 1/2**k it is 1/(k+1)(k+2)."""
    halvings = math.floor(-math.log2(coverage)) if coverage else 0
    return 0.05 / ((halvings + 1) * (halvings + 2))


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
    told = msgspec.structs.replace(answers, unknown_below=None)
    chosen, probabilities = decide(outputs.logits, classes, told)
    return probabilities[np.arange(len(chosen)), chosen], chosen == outputs.y


def _some(val: Outputs) -> None:
    if not len(val):
        raise InputUnusable(
            "val is empty, so no threshold can be chosen",
            "give it a share: labeler split --ratio 8:1:1, then train again",
        )
