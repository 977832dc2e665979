"""Thresholds that protect a class or reject unknown images, chosen on val with their cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.decision_rule import (
    SCALE_FILE,
    UNKNOWN,
    DecisionRule,
    RecallThreshold,
    ThresholdEffects,
    UnknownThreshold,
    decide,
)
from baseline.evaluation.intervals import Groups, bound_share, group_numbers, required_sample_size
from baseline.evaluation.metrics import empty_split_error
from baseline.evaluation.outputs import Floats, Indices, Outputs
from gleanset.errors import InputUnusable, UsageError

THRESHOLD_MARGIN = 1e-4
"""Distance of a threshold below the image of val that it keeps: an exported file rounds."""
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class RuleRequest:
    """Thresholds to choose for a run.

    `protected` is the requested recall (0..1) by class, `max_rejection_rate` the largest share of
    known images that may be predicted "unknown". `forget` drops earlier thresholds.
    """

    protected: Mapping[str, float]
    max_rejection_rate: float | None = None
    forget: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is requested."""
        return bool(self.protected) or self.forget or self.max_rejection_rate is not None


@dataclass(frozen=True, slots=True)
class SplitAnswers:
    """Scores of a split (usually val), group numbers (N), and similarities to training data (N)."""

    outputs: Outputs
    classes: tuple[str, ...]
    groups: Indices
    similarity: Floats | None = None

    def answers(self, rule: DecisionRule) -> Indices:
        """Return the predictions under a rule (N), which may be `UNKNOWN`."""
        return decide(self.outputs.logits, self.classes, rule, self.similarity).classes

    def of_class(self, name: str) -> npt.NDArray[np.bool_]:
        """Return a mask of the images of a class. Raises `UsageError`, `InputUnusable`."""
        if name not in self.classes:
            choices = ", ".join(self.classes)
            raise UsageError(f"the run does not know class {name!r}", f"choose one of: {choices}")
        mask: npt.NDArray[np.bool_] = self.outputs.y == self.classes.index(name)
        if not mask.any():
            raise InputUnusable(
                f"val has no images of {name} to choose a threshold by",
                "give val a share of it: labeler split --ratio 8:1:1",
            )
        return mask


def choose_rule(val: SplitAnswers, request: RuleRequest, before: DecisionRule) -> DecisionRule:
    """Choose the requested thresholds; earlier ones stay unless requested again.

    Those of protected classes are solved together, because each affects the others. Raises
    `UsageError` for a class that the run does not know, `InputUnusable` if val cannot fulfil it.
    """
    if request.forget:
        return before.without_thresholds()
    if not len(val.outputs):
        raise _empty_val_error()
    in_val = {val.classes[number] for number in val.outputs.y}
    protected = {old.name: old.target for old in before.effects.protected if old.name in in_val}
    protected |= request.protected
    rule = fit_recall_thresholds(val, protected, before)
    unfamiliar = before.effects.unfamiliar
    if request.max_rejection_rate is not None:
        if val.similarity is None:
            raise InputUnusable(
                f"the run has no statistics of its training data ({SCALE_FILE})",
                "train again: baseline train",
            )
        unfamiliar = choose_unknown_threshold(
            val.similarity, val.groups, request.max_rejection_rate
        )
        rule = rule.but(unfamiliar_below=unfamiliar.below)
    measured = tuple(
        measure_recall_threshold(val, name, share, rule) for name, share in protected.items()
    )
    return rule.but(effects=ThresholdEffects(measured, unfamiliar))


def fit_recall_thresholds(
    val: SplitAnswers, recalls: Mapping[str, float], rule: DecisionRule
) -> DecisionRule:
    """Fit the lowest thresholds with which classes reach the `recalls` (0..1) on val.

    If two protected classes claim an image, the likelier one gets it, so a threshold may have to
    rise because of another. Thresholds only rise, up to the lowest that satisfy all. Raises
    UsageError for a class that the run does not know, InputUnusable if val has no images of it or
    no thresholds satisfy all.
    """
    rows = {name: np.flatnonzero(val.of_class(name)) for name in recalls}
    thresholds = dict(rule.thresholds) | dict.fromkeys(recalls, 0.0)
    plain = rule.but(unknown_below=None)
    before = None
    while thresholds != before:
        before = dict(thresholds)
        for name, share in recalls.items():
            part = val.outputs.at(rows[name])
            lowest = _lowest_threshold(
                part, val.classes, name, share, plain.but(thresholds=thresholds)
            )
            thresholds = thresholds | {name: max(thresholds[name], lowest)}
    return rule.but(thresholds=thresholds)


def _lowest_threshold(
    outputs: Outputs, classes: tuple[str, ...], name: str, recall: float, rule: DecisionRule
) -> float:
    """Return the lowest threshold that gives a class, with these outputs, that recall."""
    number = classes.index(name)
    never, always = (
        decide(outputs.logits, classes, rule.but(thresholds=rule.thresholds | {name: end})).classes
        == number
        for end in (0.0, 1.0)
    )
    others_probability = 1 - decide(outputs.logits, classes, rule).probabilities[:, number]
    # Images predicted correctly anyway need no threshold; those claimed by another protected
    # class are lost at any.
    needed = np.where(never, 0.0, np.where(always, others_probability, np.inf))
    allowed = math.floor((1 - recall) * len(outputs) + 1e-9)
    if allowed >= len(outputs):
        return 0.0
    lowest = float(np.sort(needed)[::-1][allowed])
    if math.isinf(lowest):
        others = ", ".join(protected for protected in rule.thresholds if protected != name)
        raise InputUnusable(
            f"{name} cannot reach a recall of {100 * recall:.4g}% together with {others}: "
            f"{int(np.isinf(needed).sum())} of its {len(outputs)} images in val are more like them",
            "protect one of them less, or only one (--forget drops earlier thresholds)",
        )
    return lowest


def measure_recall_threshold(
    val: SplitAnswers, name: str, recall: float, rule: DecisionRule
) -> RecallThreshold:
    """Measure the effect of all thresholds on a protected class on val."""
    number, mask, y = val.classes.index(name), val.of_class(name), val.outputs.y
    before, after = val.answers(rule.without_thresholds()), val.answers(rule)
    lost = after[mask] != number
    upper_bound = bound_share(lost, val.groups[mask])
    return RecallThreshold(
        name=name,
        target=recall,
        threshold=rule.thresholds[name],
        count=int(mask.sum()),
        groups=len(np.unique(val.groups[mask])),
        lost=int(lost.sum()),
        unknown=int((after[mask] == UNKNOWN).sum()),
        upper_bound=upper_bound,
        needed=required_sample_size(1 - recall),
        guaranteed=upper_bound <= 1 - recall + _EPSILON,
        others_accuracy=None if mask.all() else float((after == y)[~mask].mean()),
        others_accuracy_before=None if mask.all() else float((before == y)[~mask].mean()),
    )


def choose_unknown_threshold(
    similarity: Floats, groups: Groups, max_share: float
) -> UnknownThreshold:
    """Choose the highest threshold that rejects at most `max_share` (0..1) of known images.

    `similarity` (to the training data) and `groups` (N each) are of val. A group counts as one
    case whatever its size, and one additional group is assumed to be rejected as a whole. Then an
    image of a new group is rejected with a probability of at most `max_share`, whatever the network
    and however similar the images of a group are (Lee, Barber and Willett, "Distribution-free
    inference with hierarchical data", 2023). Raises InputUnusable if val is empty.
    """
    if not len(similarity):
        raise _empty_val_error()
    numbers = group_numbers(groups)
    cases = int(numbers.max()) + 1
    order = np.argsort(similarity, kind="stable")
    ranked, weight = similarity[order], (1 / np.bincount(numbers))[numbers][order]
    # The share strictly below each value, with the additional group.
    shares = (np.append(0.0, weight.cumsum()[:-1]) + 1) / (cases + 1)
    first = np.append(True, ranked[1:] != ranked[:-1])
    fits = np.flatnonzero(first & (shares <= max_share + _EPSILON))
    row = int(fits[-1]) if len(fits) else 0
    below = float(ranked[row]) - THRESHOLD_MARGIN
    unknown = similarity < below
    return UnknownThreshold(
        below=below,
        target=max_share,
        count=len(similarity),
        groups=cases,
        unknown=int(unknown.sum()),
        on_average=float(shares[row]),
        needed=math.ceil(1 / max_share - 1 - 1e-9) if max_share else 0,
        guaranteed=float(shares[row]) <= max_share + _EPSILON,
    )


def _empty_val_error() -> InputUnusable:
    return empty_split_error("no images in val to choose a threshold by", ", then train again")
