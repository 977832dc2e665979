"""The decision rule of a run, from scores to a class or "unknown", and its thresholds.

It is stored next to the weights as `answers.json`: {"temperature": 1.3, "unknown_below": 0.6,
"thresholds": {"photo": 0.98}, "unfamiliar_below": 0.4}. A missing file means no thresholds. They
protect a class or reject unknown images, and are chosen on val with their cost.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import msgspec
import numpy as np
from msgspec import Meta

from baseline.data.runs import read_run_json, write_run_json
from baseline.evaluation.intervals import bound_share, required_sample_size
from baseline.evaluation.metrics import empty_split_error
from baseline.evaluation.outputs import Outputs, calibrate_scores, softmax
from baseline.evaluation.unknown_rule import (
    ROUNDING,
    UnknownThreshold,
    choose_class_thresholds,
)
from baseline.features.scaling import floor_deviations
from gleanset.arrays import (
    Array,
    BoolArray,
    Float32Array,
    Float64Array,
    FloatArray,
    IntArray,
)
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import count

FILE = "answers.json"
UNKNOWN = -1
MIN_ANSWER_CONFIDENCE = 0.5
"""Below, a predicted class is more likely wrong than right: users and programs get no answer."""

Share = Annotated[float, Meta(ge=0, le=1)]


class RecallThreshold(msgspec.Struct, frozen=True):
    """Threshold of a protected class, and its effect on val.

    Attributes
    ----------
    target : requested recall
    threshold : total probability of all other classes below which the class is predicted
    count, groups : images and groups of the class on val
    lost, unknown : images predicted otherwise, and those among them predicted "unknown"
    upper_bound : upper limit of the share lost, with 95 % confidence
    needed : groups of val needed to guarantee `target`
    guaranteed : whether `target` is guaranteed
    others_accuracy, others_accuracy_before : accuracy on other classes with and without thresholds
    """

    name: str
    target: float
    threshold: float
    count: int
    groups: int
    lost: int
    unknown: int
    upper_bound: float
    needed: int
    guaranteed: bool
    others_accuracy: float | None
    others_accuracy_before: float | None

    def describe(self) -> str:
        """Return the effect on val and the guarantee as a line."""
        right = self.count - self.lost
        unknown = f", {self.unknown} as unknown" if self.unknown else ""
        words = (
            f"{self.name}: recall on val {right / self.count:.1%} ({right}/{self.count}"
            f"{unknown}; {count(self.groups, 'group')}), at least {1 - self.upper_bound:.1%} "
            "with 95% confidence"
        )

        if self.others_accuracy is not None and self.others_accuracy_before is not None:
            words += (
                f"; accuracy on other classes {self.others_accuracy:.1%} "
                f"({self.others_accuracy_before:.1%} without thresholds)"
            )

        if self.guaranteed:
            return words
        if not self.needed:
            return f"{words}; {100 * self.target:.4g}% cannot be guaranteed"

        return (
            f"{words}; to guarantee {100 * self.target:.4g}%, val needs {self.needed:,} groups "
            "of it without an error"
        )


NO_UNKNOWN_RULE = "never predicted: too few held-out images to choose a threshold"


class ThresholdEffects(msgspec.Struct, frozen=True):
    """The thresholds with their effects on val, for the report."""

    protected: tuple[RecallThreshold, ...] = ()
    unfamiliar: UnknownThreshold | None = None

    def describe(self) -> list[str]:
        """Return a line for each threshold."""
        lines = [threshold.describe() for threshold in self.protected]
        if self.unfamiliar:
            lines.append(f"unknown: {self.unfamiliar.describe()}")
        return lines


class DecisionRule(msgspec.Struct, frozen=True):
    """How scores become predictions.

    Scores are divided by `temperature`, and `offsets` are added by class, before softmax
    (`outputs.py`). A prediction is "unknown" if its probability is below `unknown_below`, or its
    similarity to the training data (the membership, if the run has one) below the value of its
    class in `unfamiliar_by_class`, or `unfamiliar_below` for other classes. A class in `thresholds`
    is protected: another class is predicted only if all others together have more than that
    probability.
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    unknown_below: Share | None = None
    thresholds: dict[str, Share] = {}
    effects: ThresholdEffects = ThresholdEffects()
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None
    unfamiliar_by_class: dict[str, float] = {}

    def similarity_limits(self, classes: Sequence[str]) -> Float64Array:
        """Return the similarity below which each class becomes "unknown" (-inf: never)."""
        other = -math.inf if self.unfamiliar_below is None else self.unfamiliar_below
        return np.array([self.unfamiliar_by_class.get(name, other) for name in classes])

    def class_offsets(self, classes: Sequence[str]) -> list[float]:
        """Return the offset of each class."""
        return [self.offsets.get(name, 0.0) for name in classes]

    def but(self, **fields: object) -> Self:
        """Return a copy with other values of some fields."""
        return msgspec.structs.replace(self, **fields)

    def with_unknown_threshold(self, threshold: UnknownThreshold) -> Self:
        """Return a copy that predicts "unknown" by this threshold."""
        return self.but(
            unfamiliar_below=threshold.below,
            unfamiliar_by_class=threshold.limits,
        )

    def without_thresholds(self) -> Self:
        """Return a copy without thresholds."""
        return type(self)(self.temperature, offsets=self.offsets)


class Decisions(NamedTuple):
    """Predicted class numbers or `UNKNOWN` (int64, N), and confidences (N x C).

    These are probabilities, times the membership of the image if there is one. `limits` (N) are the
    similarities below which these predictions are unknown.
    """

    classes: IntArray
    confidences: Float64Array
    limits: Float64Array


def calibrate_with_rule(
    logits: Float32Array, classes: Sequence[str], rule: DecisionRule
) -> Float32Array:
    """Return calibrated scores (N x C): their softmax are the probabilities."""
    offsets = rule.class_offsets(classes)
    return calibrate_scores(logits, rule.temperature, offsets).astype(np.float32)


def decide(
    logits: Float32Array,
    classes: Sequence[str],
    rule: DecisionRule,
    similarity: Float64Array | None = None,
    membership: FloatArray | None = None,
) -> Decisions:
    """Predict a class or `UNKNOWN` for scores (N x C) and similarities to the training data (N).

    A confidence is the probability of the class, times the `membership` (N) if there is one.
    """
    probabilities = softmax(calibrate_with_rule(logits, classes, rule))
    ranks = probabilities.copy()
    for name, threshold in rule.thresholds.items():
        if name in classes:
            number = classes.index(name)
            is_claimed = 1 - probabilities[:, number] <= threshold
            # A claimed class ranks above all others, whose probabilities are at most 1. If several
            # classes claim an image, the likeliest gets it.
            ranks[is_claimed, number] += 2

    numbers = ranks.argmax(1).astype(np.int64)
    limits = rule.similarity_limits(classes)[numbers]
    if membership is not None:
        probabilities *= membership[:, None]
    if rule.unknown_below is not None:
        is_unsure = confidences_of(numbers, probabilities) < rule.unknown_below
        numbers = np.where(is_unsure, UNKNOWN, numbers)

    if similarity is not None:
        numbers = np.where(similarity < limits, UNKNOWN, numbers)
    return Decisions(numbers, probabilities, limits)


def confidences_of(numbers: IntArray, confidences: Float64Array) -> Float64Array:
    """Return the confidences (N) of predicted classes, of those (N x C) of all classes.

    Those of `UNKNOWN` mean nothing.
    """
    of_classes: Float64Array = confidences[np.arange(len(numbers)), numbers]
    return of_classes


def save_decision_rule(folder: Path, rule: DecisionRule) -> None:
    """Write `answers.json`. Raises NotWritable or DiskFull."""
    write_run_json(folder, FILE, rule)


def load_decision_rule(folder: Path) -> DecisionRule:
    """Return the rule of a run, or the default rule. Raises `InputUnusable`."""
    fix = "choose the thresholds again: baseline evaluate RUN"
    return read_run_json(folder, FILE, DecisionRule, fix) or DecisionRule()


SCALE_FILE = "feature_scale.json"
GALLERY_SCALE = 20.0
"""Factor from the similarity to the nearest known image of a class to its score."""
SIMILARITY_TEMPERATURE = 2.0
"""Softens the scores for the OOD score: the margin to other classes counts more than in a
probability. Chosen on two datasets, confirmed on two others (docs/experiments.md)."""


class FeatureScale(msgspec.Struct, frozen=True, dict=True):
    """Mean and standard deviation of the training embeddings, by dimension (D each)."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distances(self, embeddings: FloatArray) -> Float64Array:
        """Return the distances (N) of embeddings (N x D) from the mean.

        Those of train average 1.
        """
        mean, deviation = self._arrays
        z_scores = (embeddings.astype(np.float64) - mean) / deviation
        squares = np.einsum("nd,nd->n", z_scores, z_scores)
        return np.asarray(np.sqrt(squares / len(mean)))

    @cached_property
    def _arrays(self) -> tuple[Float64Array, Float64Array]:
        """Both as arrays (D), cached because a server needs them for each request."""
        return np.array(self.mean), np.array(self.deviation)


def fit_feature_scale(embeddings: Float32Array) -> FeatureScale:
    """Fit the scale of the training embeddings (N x D); their mean distance is 1."""
    deviation = floor_deviations(embeddings.std(0, dtype=np.float64))
    mean = embeddings.mean(0, dtype=np.float64)
    unscaled = FeatureScale(
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
    )
    # The only image is its own mean, at distance 0, which must not become a divisor.
    mean_distance = float(unscaled.distances(embeddings).mean()) or 1.0
    return FeatureScale(
        _round_values(mean),
        _round_values(deviation * mean_distance),
    )


def _round_values(values: Float64Array) -> tuple[float, ...]:
    """Round to seven digits: a float32 holds no more."""
    return tuple(float(f"{value:.7g}") for value in values.tolist())


def compute_training_similarity(
    scores: FloatArray, distances: Float64Array
) -> Float64Array:
    """Return the OOD score (N, 0..1; 1 is familiar) of calibrated scores (N x C).

    Features of out-of-distribution images are farther from the mean of train. So scores are
    divided by the distance, and the largest probability that remains is the OOD score
    (docs/experiments.md compares it with alternatives).
    """
    temperatures = SIMILARITY_TEMPERATURE * np.maximum(distances, 1e-6)
    soft_scores = scores.astype(np.float64) / temperatures[:, None]
    return np.asarray(softmax(soft_scores).max(1))


def compute_output_similarity(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule
) -> Float64Array:
    """Return the OOD scores of N images.

    They are the membership if there is one. Outputs without distances are of a gallery: theirs are
    the similarities to the nearest known image.
    """
    if outputs.membership is not None:
        return outputs.membership
    if outputs.distances is None:
        return np.asarray(outputs.logits.max(1), np.float64) / GALLERY_SCALE
    scores = calibrate_with_rule(outputs.logits, classes, rule)
    return compute_training_similarity(scores, outputs.distances)


def decide_outputs(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule
) -> Decisions:
    """Return what users get for the images of stored outputs."""
    return decide(
        outputs.logits,
        classes,
        rule,
        compute_output_similarity(outputs, classes, rule),
        outputs.membership,
    )


def load_feature_scale(folder: Path) -> FeatureScale | None:
    """Return the scale of a run; None without the file. Raises `InputUnusable`."""
    return read_run_json(
        folder, SCALE_FILE, FeatureScale, "train again: baseline train"
    )


class RuleRequest(NamedTuple):
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
        has_rate = self.max_rejection_rate is not None
        return bool(self.protected) or self.forget or has_rate


class SplitAnswers(NamedTuple):
    """Scores of a split, groups (N, names or numbers), and similarities to training data (N)."""

    outputs: Outputs
    classes: tuple[str, ...]
    groups: Array
    similarity: Float64Array | None = None

    @classmethod
    def measure(
        cls,
        outputs: Outputs,
        classes: Sequence[str],
        groups: Mapping[str, str],
        rule: DecisionRule,
    ) -> Self:
        """Return the answers with groups (by key) and with similarities as calibrated by `rule`."""
        similarity = compute_output_similarity(outputs, classes, rule)
        names = np.array([groups[key] for key in outputs.keys])
        return cls(outputs, tuple(classes), names, similarity)

    def answers(self, rule: DecisionRule) -> IntArray:
        """Return the predictions under a rule (N), which may be `UNKNOWN`."""
        return decide(self.outputs.logits, self.classes, rule, self.similarity).classes

    def of_class(self, name: str) -> BoolArray:
        """Return a mask of the images of a class. Raises `UsageError`, `InputUnusable`."""
        if name not in self.classes:
            raise UsageError(
                f"the run does not know class {name!r}",
                f"use one of: {', '.join(self.classes)}",
            )

        mask: BoolArray = self.outputs.y == self.classes.index(name)
        if not mask.any():
            raise InputUnusable(
                f"val has no images of {name} to choose a threshold by",
                "label images of it from other scenes, then split and train again: labeler split",
            )

        return mask


def choose_rule(
    val: SplitAnswers, request: RuleRequest, before: DecisionRule
) -> DecisionRule:
    """Choose the requested thresholds; earlier ones stay unless requested again.

    Those of protected classes are solved together, because each affects the others. Raises
    `UsageError` for a class that the run does not know, `InputUnusable` if val cannot fulfil it.
    """
    if request.forget:
        return before.without_thresholds()
    if not len(val.outputs):
        raise empty_split_error("no images in val to choose a threshold by")

    # Earlier requests, unless val has no images of the class any more, and the new ones.
    labels = [val.classes[number] for number in val.outputs.y]
    recalls_by_class = {
        threshold.name: threshold.target
        for threshold in before.effects.protected
        if threshold.name in labels
    }
    recalls_by_class |= request.protected
    rule = fit_recall_thresholds(val, recalls_by_class, before)

    unfamiliar = before.effects.unfamiliar
    if request.max_rejection_rate is not None:
        assert val.similarity is not None, "`measure` computes it"
        unfamiliar = choose_class_thresholds(
            val.similarity,
            val.groups,
            request.max_rejection_rate,
            labels,
            val.classes,
        )
        rule = rule.with_unknown_threshold(unfamiliar)

    # Measured last, because each threshold affects the others.
    recalls = [
        measure_recall_threshold(val, name, share, rule)
        for name, share in recalls_by_class.items()
    ]
    return rule.but(effects=ThresholdEffects(tuple(recalls), unfamiliar))


def fit_recall_thresholds(
    val: SplitAnswers, recalls: Mapping[str, float], rule: DecisionRule
) -> DecisionRule:
    """Fit the lowest thresholds with which classes reach the `recalls` (0..1) on val.

    A class with a threshold also gets the images for which all other classes together are at most
    as probable as that: with 0 it gets no further ones, with 1 it claims all.

    If two protected classes claim an image, the likelier one gets it, so a threshold may have to
    rise because of another. Thresholds only rise, up to the lowest that satisfy all. Raises
    UsageError for a class that the run does not know, InputUnusable if val has no images of it or
    no thresholds satisfy all.
    """
    outputs_of_class = {
        name: val.outputs.at(np.flatnonzero(val.of_class(name))) for name in recalls
    }
    thresholds = dict(rule.thresholds) | dict.fromkeys(recalls, 0.0)
    previous: dict[str, float] = {}
    # Until no threshold rises.
    while thresholds != previous:
        previous = dict(thresholds)
        for name, recall in recalls.items():
            # Fitted without `unknown_below`: a threshold wins images from other classes only, and
            # changes nothing about which ones are "unknown".
            current = rule.but(unknown_below=None, thresholds=dict(thresholds))
            lowest = _find_lowest_threshold(
                outputs_of_class[name],
                val.classes,
                name,
                recall,
                current,
            )
            thresholds[name] = max(thresholds[name], lowest)

    return rule.but(thresholds=thresholds)


def _find_lowest_threshold(
    outputs: Outputs,
    classes: tuple[str, ...],
    name: str,
    recall: float,
    rule: DecisionRule,
) -> float:
    """Return the lowest threshold that gives a class, with these outputs, that recall."""
    number = classes.index(name)

    def decide_with(threshold: float) -> Decisions:
        thresholds = rule.thresholds | {name: threshold}
        return decide(outputs.logits, classes, rule.but(thresholds=thresholds))

    without_threshold = decide_with(0.0)
    is_right = without_threshold.classes == number
    # With 1.0 the class claims every image. Those it does not get are claimed by another protected
    # class that is likelier, so they are lost at any threshold.
    is_reachable = decide_with(1.0).classes == number
    others_probability = 1 - without_threshold.confidences[:, number]
    # The lowest threshold at which each image gets the class (N).
    image_thresholds = np.where(is_reachable, others_probability, np.inf)
    image_thresholds[is_right] = 0.0

    # 1e-9 is for rounding errors: (1 - 0.9) * 10 is a little below 1, but one image may be lost.
    max_lost_images = math.floor((1 - recall) * len(outputs) + 1e-9)
    if max_lost_images >= len(outputs):
        return 0.0
    # Descending: the images that need the highest thresholds are those that may be lost.
    lowest = float(np.sort(image_thresholds)[::-1][max_lost_images])
    if math.isinf(lowest):
        others = [other for other in rule.thresholds if other != name]
        lost_images = np.isinf(image_thresholds).sum()
        raise InputUnusable(
            f"{name} cannot reach a recall of {100 * recall:.4g}% together with "
            f"{', '.join(others)}: {lost_images} of its {len(outputs)} images in "
            "val are more like them",
            "protect one of them less, or only one (--forget drops earlier thresholds)",
        )

    return lowest


def measure_recall_threshold(
    val: SplitAnswers, name: str, recall: float, rule: DecisionRule
) -> RecallThreshold:
    """Measure the effect of all thresholds on a protected class on val."""
    number = val.classes.index(name)
    is_own = val.of_class(name)
    own_groups = val.groups[is_own]
    after = val.answers(rule)
    own_answers = after[is_own]
    is_lost = own_answers != number
    upper_bound = bound_share(is_lost, own_groups)

    def measure_others(answers: IntArray) -> float | None:
        """Return the accuracy on images of other classes; None without any."""
        right = (answers == val.outputs.y)[~is_own]
        return float(right.mean()) if len(right) else None

    return RecallThreshold(
        name=name,
        target=recall,
        threshold=rule.thresholds[name],
        count=len(own_answers),
        groups=len(np.unique(own_groups)),
        lost=int(is_lost.sum()),
        unknown=int((own_answers == UNKNOWN).sum()),
        upper_bound=upper_bound,
        needed=required_sample_size(1 - recall),
        guaranteed=upper_bound <= 1 - recall + ROUNDING,
        others_accuracy=measure_others(after),
        others_accuracy_before=measure_others(val.answers(rule.without_thresholds())),
    )
