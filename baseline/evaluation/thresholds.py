"""Thresholds that protect a class, or reject what is unfamiliar: chosen on val, with their cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.decision_rule import (
    UNKNOWN,
    ChosenThresholds,
    DecisionRule,
    FamiliarityThreshold,
    RecallThreshold,
    decide,
)
from baseline.evaluation.intervals import Groups, effective_moments, group_numbers, share_at_most
from baseline.evaluation.metrics import empty_split_error
from baseline.evaluation.outputs import Floats, Indices, Outputs
from gleanset.binomial import needed_for
from gleanset.errors import InputUnusable, UsageError

SLACK = 1e-4
"""A threshold is so far below the image of val that it keeps: an exported file rounds."""
_ALMOST = 1e-12


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """How a run shall answer.

    `protected` is the share (0..1) of a class's images that keep their name, `unknown_rate` that of
    known images which may be called unknown by their familiarity. `forget` drops what was chosen
    before.
    """

    protected: Mapping[str, float]
    unknown_rate: float | None = None
    forget: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.protected) or self.forget or self.unknown_rate is not None


@dataclass(frozen=True, slots=True)
class SplitAnswers:
    """What a run says of a split, val as a rule: scores, its classes, and for each picture the
    number of its moment (N) and its familiarity (N), which is None where that plays no part.
    """

    outputs: Outputs
    classes: tuple[str, ...]
    moments: Indices
    familiarity: Floats | None = None

    def answers(self, rule: DecisionRule) -> Indices:
        """Return what is answered by a rule (N), `UNKNOWN` being one of it."""
        return decide(self.outputs.logits, self.classes, rule, self.familiarity).classes

    def of_class(self, name: str) -> npt.NDArray[np.bool_]:
        """Return which pictures are of a class. Raises `UsageError`, `InputUnusable`."""
        if name not in self.classes:
            known = ", ".join(self.classes)
            raise UsageError(f"the run knows no class {name!r}", f"name one of: {known}")
        its: npt.NDArray[np.bool_] = self.outputs.y == self.classes.index(name)
        if not its.any():
            raise InputUnusable(
                f"val has no picture of {name}, so no threshold can be chosen for it",
                "give val a share of it: labeler split --ratio 8:1:1",
            )
        return its


def choose_rule(val: SplitAnswers, request: RuleRequest, before: DecisionRule) -> DecisionRule:
    """Choose the thresholds that fulfil the request; those of before stay unless asked for again.

    Those of protected classes are solved together, for each changes what the others do. Raises
    `UsageError` for a class that the run does not know, `InputUnusable` where val cannot fulfil it.
    """
    if request.forget:
        return before.without_thresholds()
    if not len(val.outputs):
        raise _empty_val()
    there = {val.classes[number] for number in val.outputs.y}
    protected = {old.name: old.wanted for old in before.chosen.spared if old.name in there}
    protected |= request.protected
    rule = fit_recall_thresholds(val, protected, before)
    unfamiliar = before.chosen.unfamiliar
    if request.unknown_rate is not None:
        if val.familiarity is None:
            raise InputUnusable(
                "the run does not keep what its features are like, so nothing can be unfamiliar "
                "to it",
                "train again: baseline train",
            )
        unfamiliar = choose_familiarity(val.familiarity, val.moments, request.unknown_rate)
        rule = rule.but(unfamiliar_below=unfamiliar.below)
    kept = tuple(
        measure_recall_threshold(val, name, share, rule) for name, share in protected.items()
    )
    return rule.but(chosen=ChosenThresholds(kept, unfamiliar))


def fit_recall_thresholds(
    val: SplitAnswers, wanted: Mapping[str, float], rule: DecisionRule
) -> DecisionRule:
    """Fit the lowest thresholds with which each class keeps its `wanted` share (0..1) on val.

    Where two protected classes claim an image the likelier takes it, so a threshold may have to
    rise because of another's. Each only ever rises, up to the least thresholds that serve all.
    Raises UsageError for a class that the run does not know, InputUnusable where val has no picture
    of it, or where no thresholds serve all.
    """
    rows = {name: np.flatnonzero(val.of_class(name)) for name in wanted}
    thresholds = dict(rule.thresholds) | dict.fromkeys(wanted, 0.0)
    plain = rule.but(unknown_below=None)
    before = None
    while thresholds != before:
        before = dict(thresholds)
        for name, share in wanted.items():
            its = val.outputs.at(rows[name])
            least = _least(its, val.classes, name, share, plain.but(thresholds=thresholds))
            thresholds = thresholds | {name: max(thresholds[name], least)}
    return rule.but(thresholds=thresholds)


def _least(
    its: Outputs, classes: tuple[str, ...], name: str, wanted: float, rule: DecisionRule
) -> float:
    """Return the lowest threshold that keeps so much of a class, whose pictures are `its`."""
    number = classes.index(name)
    never, always = (
        decide(its.logits, classes, rule.but(thresholds=rule.thresholds | {name: end})).classes
        == number
        for end in (0.0, 1.0)
    )
    claimed = 1 - decide(its.logits, classes, rule).probabilities[:, number]
    # What is called by its name anyway is lost at no threshold, what another takes at any.
    against = np.where(never, 0.0, np.where(always, claimed, np.inf))
    allowed = math.floor((1 - wanted) * len(its) + 1e-9)
    if allowed >= len(its):
        return 0.0
    least = float(np.sort(against)[::-1][allowed])
    if math.isinf(least):
        others = ", ".join(other for other in rule.thresholds if other != name)
        raise InputUnusable(
            f"{name} cannot be protected to {100 * wanted:.4g} % beside {others}: on val "
            f"{int(np.isinf(against).sum())} of its {len(its)} pictures look more like these",
            "protect less of one of them, or one alone (--forget drops what was chosen before)",
        )
    return least


def measure_recall_threshold(
    val: SplitAnswers, name: str, wanted: float, rule: DecisionRule
) -> RecallThreshold:
    """Return what all thresholds in force do to a class on val."""
    number, its, y = val.classes.index(name), val.of_class(name), val.outputs.y
    before, now = val.answers(rule.without_thresholds()), val.answers(rule)
    lost = now[its] != number
    at_most = share_at_most(lost, val.moments[its])
    return RecallThreshold(
        name=name,
        wanted=wanted,
        threshold=rule.thresholds[name],
        count=int(its.sum()),
        moments=len(np.unique(val.moments[its])),
        lost=int(lost.sum()),
        unknown=int((now[its] == UNKNOWN).sum()),
        at_most=at_most,
        needed=needed_for(1 - wanted),
        promised=at_most <= 1 - wanted + _ALMOST,
        others_kept=None if its.all() else float((now == y)[~its].mean()),
        others_before=None if its.all() else float((before == y)[~its].mean()),
    )


def choose_familiarity(familiarity: Floats, moments: Groups, wanted: float) -> FamiliarityThreshold:
    """Choose the highest threshold for which at most `wanted` (0..1) of known pictures are unknown.

    `familiarity` (N) is that of val, `moments` (N) are its moments. A moment counts as one case
    whatever its size, and one more is taken to be all unknown: then a picture of a new moment is
    called unknown with a probability of at most `wanted`, whatever the network and however alike
    the pictures of a moment are (Lee, Barber and Willett, "Distribution-free inference with
    hierarchical data", 2023). Raises InputUnusable where val is empty.
    """
    if not len(familiarity):
        raise _empty_val()
    groups = group_numbers(moments)
    cases = int(groups.max()) + 1
    order = np.argsort(familiarity, kind="stable")
    ranked, weight = familiarity[order], (1 / np.bincount(groups))[groups][order]
    # What lies strictly below each value, and the moment that was not seen.
    shares = (np.append(0.0, weight.cumsum()[:-1]) + 1) / (cases + 1)
    first = np.append(True, ranked[1:] != ranked[:-1])
    fits = np.flatnonzero(first & (shares <= wanted + _ALMOST))
    at = int(fits[-1]) if len(fits) else 0
    below = float(ranked[at]) - SLACK
    unknown = familiarity < below
    return FamiliarityThreshold(
        below=below,
        wanted=wanted,
        count=len(familiarity),
        moments=cases,
        unknown=int(unknown.sum()),
        on_average=float(shares[at]),
        at_most=_others_at_most(unknown, groups),
        needed=math.ceil(1 / wanted - 1 - 1e-9) if wanted else 0,
        promised=float(shares[at]) <= wanted + _ALMOST,
    )


def _others_at_most(unknown: npt.NDArray[np.bool_], groups: Indices) -> float:
    """Return the share that as many other pictures do not exceed with 95 % confidence.

    The share of all pictures below a value that was chosen by its rank has a beta distribution, so
    that of as many as these a beta-binomial one (Wilks, "Statistical prediction with special
    reference to the problem of tolerance limits", 1942): choosing costs nothing. Pictures count by
    how many moments of equal size would tell as much, as though those of a moment were all alike.
    """
    from scipy.stats import betabinom

    per_moment = float((np.bincount(groups, unknown) / np.bincount(groups)).mean())
    cases = math.floor(effective_moments(groups))
    hits = max(per_moment, float(unknown.mean())) * cases
    if hits >= cases:
        return 1.0
    return float(betabinom.ppf(0.95, cases, hits + 1, cases - hits)) / cases


def _empty_val() -> InputUnusable:
    return empty_split_error("val is empty, so no threshold can be chosen", ", then train again")
