"""Thresholds that fulfil what is asked of the answers of a run, chosen on val and told honestly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.judge.answers import (
    UNKNOWN,
    ChosenThresholds,
    DecisionRule,
    FamiliarityThreshold,
    RecallThreshold,
    RejectOption,
    decide,
)
from baseline.judge.intervals import Groups, effective_moments, group_numbers, share_at_most
from baseline.judge.metrics import empty_split
from baseline.judge.outputs import Floats, Indices, Outputs
from gleanset.binomial import needed_for
from gleanset.errors import InputUnusable, UsageError

SLACK = 1e-4
"""A threshold lies so far below the picture of val that it spares: an exported file rounds."""
_ALMOST = 1e-12
_POINTS = 40


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """How a run shall answer.

    `recall` is the share (0..1) of a class's pictures to spare, `unknown_error` that of wrong
    answers, `unknown_rate` that of known pictures which may be called unknown by their familiarity.
    `forget` drops what was chosen before.
    """

    recall: Mapping[str, float]
    unknown_error: float | None = None
    unknown_rate: float | None = None
    forget: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        shares = (self.unknown_error, self.unknown_rate)
        return bool(self.recall) or self.forget or any(share is not None for share in shares)


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
    """Choose the thresholds that fulfil the request; those of before stay unless asked for anew.

    All are solved and told together, for each changes what the others do; only that of familiarity
    depends on no other, and stays as training or a person chose it. Raises `UsageError` for a
    class that the run does not know, `InputUnusable` where val cannot fulfil it.
    """
    if request.forget:
        return before.without_thresholds()
    if not len(val.outputs):
        raise _empty_val()
    held = before.chosen
    there = {val.classes[number] for number in val.outputs.y}
    spared = {old.name: old.wanted for old in held.spared if old.name in there}
    rule = fit_recall_thresholds(val, spared | dict(request.recall), before)
    rate, error = request.unknown_rate, request.unknown_error
    if error is None and held.unknown is not None:
        error = held.unknown.wanted
    unfamiliar = held.unfamiliar if rate is None else _familiarity_threshold(val, rate)
    if unfamiliar is not None:
        rule = rule.but(unfamiliar_below=unfamiliar.below)
    unknown = None if error is None else reject_option(val, error, rule)
    if unknown is not None:
        rule = rule.but(unknown_below=unknown.below)
    wanted = spared | dict(request.recall)
    kept = tuple(recall_threshold(val, name, share, rule) for name, share in wanted.items())
    return rule.but(chosen=ChosenThresholds(kept, unknown, unfamiliar))


def fit_recall_thresholds(
    val: SplitAnswers, wanted: Mapping[str, float], rule: DecisionRule
) -> DecisionRule:
    """Fit the lowest thresholds with which each class keeps its `wanted` share (0..1) on val.

    Where two spared classes claim a picture the likelier takes it, so a threshold may have to rise
    because of another's. Each only ever rises, up to the least thresholds that serve all. Raises
    UsageError for a class that the run does not know, InputUnusable where val has no picture of
    it, or where no thresholds serve all.
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
    """Return the lowest threshold that spares so much of a class, whose pictures are `its`, those
    of other classes being set.
    """
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
            f"{name} cannot be spared {100 * wanted:.4g} % beside {others}: on val "
            f"{int(np.isinf(against).sum())} of its {len(its)} pictures look more like these",
            "spare less of one of them, or one alone (--forget drops what was chosen before)",
        )
    return least


def recall_threshold(
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


def reject_option(val: SplitAnswers, wanted: float, rule: DecisionRule) -> RejectOption:
    """Find the lowest threshold with at most `wanted` wrong answers on val among those given.

    What `rule` calls unknown by its familiarity anyway is not answered. That the threshold was
    chosen is paid for in the bound. Raises InputUnusable where not even the surest are so often
    right, or val is empty.
    """
    if not len(val.outputs):
        raise _empty_val()
    sure, right = _confidence(val, rule)
    order = np.argsort(-sure, kind="stable")
    wrong = (~right[order]).cumsum()
    # A threshold cannot part answers of equal confidence.
    last = np.append(sure[order][1:] != sure[order][:-1], True) & (sure[order] >= 0)
    fits = np.flatnonzero(last & (wrong <= wanted * np.arange(1, len(order) + 1)))
    if not len(fits):
        raise InputUnusable(
            f"no threshold makes {wanted:.4g} wrong answers on val: its surest ones are wrong",
            "allow more errors, or train a better model",
        )
    at = int(fits[-1])
    below = float(sure[order][at]) if at + 1 < len(order) else 0.0
    answered = sure >= below
    errors, moments = ~right[answered], val.moments[answered]
    coverage = float(answered.mean())
    return RejectOption(
        below=below,
        wanted=wanted,
        coverage=coverage,
        answered=len(moments),
        moments=len(np.unique(moments)),
        errors=int(errors.sum()),
        at_most=share_at_most(errors, moments, 1 - _doubt(coverage)),
    )


def _doubt(coverage: float) -> float:
    """Return the part of 5 % for a threshold with this coverage: of about 1/2**k it is
    1/(k+1)(k+2).
    """
    halvings = math.floor(-math.log2(coverage)) if coverage else 0
    return 0.05 / ((halvings + 1) * (halvings + 2))


def risk_coverage_curve(val: SplitAnswers, rule: DecisionRule) -> tuple[tuple[float, float], ...]:
    """Return (coverage, error rate among the answers given), the surest first."""
    sure, right = _confidence(val, rule)
    order = np.argsort(-sure, kind="stable")
    risk = (~right[order]).cumsum() / np.arange(1, len(order) + 1)
    count = min(_POINTS, len(order))
    at = np.unique(np.linspace(1, len(order), count).round().astype(int)) - 1
    return tuple((float((i + 1) / len(order)), float(risk[i])) for i in at)


def _confidence(val: SplitAnswers, rule: DecisionRule) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the probability of each answer, thresholds applied, and whether it is right.

    It is -1, below every threshold, where a picture is unknown by its familiarity.
    """
    sparing = rule.but(unknown_below=None, unfamiliar_below=None)
    chosen, probabilities = decide(val.outputs.logits, val.classes, sparing)
    sure = probabilities[np.arange(len(chosen)), chosen]
    familiar = val.answers(rule.but(unknown_below=None)) != UNKNOWN
    return np.where(familiar, sure, -1.0), chosen == val.outputs.y


def _familiarity_threshold(val: SplitAnswers, wanted: float) -> FamiliarityThreshold:
    if val.familiarity is None:
        raise InputUnusable(
            "the run does not keep what its features are like, so nothing can be unfamiliar to it",
            "train again: baseline train",
        )
    return choose_familiarity(val.familiarity, val.moments, wanted)


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
    return empty_split("val is empty, so no threshold can be chosen", ", then train again")
