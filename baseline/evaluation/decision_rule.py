"""The decision rule of a run: from scores to a class or "unknown".

It is stored next to the weights as `answers.json`: {"temperature": 1.3, "unknown_below": 0.6,
"thresholds": {"photo": 0.98}, "unfamiliar_below": 0.4}. A missing file means no thresholds.
`thresholds.py` chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from baseline.data.runs import read_run_json, write_run_json
from baseline.evaluation.calibration import calibrate_scores
from baseline.evaluation.outputs import Floats, Indices, Outputs, Scores, softmax
from baseline.features.scaling import floor_deviations
from gleanset.html.words import count
from gleanset.records import Interval

FILE = "answers.json"
UNKNOWN = -1

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
        unknown = f", {self.unknown} as unknown" if self.unknown else ""
        recall = (self.count - self.lost) / self.count
        words = (
            f"{self.name}: recall on val {recall:.1%} ({self.count - self.lost}/{self.count}"
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


class UnknownThreshold(msgspec.Struct, frozen=True):
    """Images whose similarity to the training data is `below` this are predicted "unknown".

    Attributes
    ----------
    target : largest share of known images that may be rejected
    count, groups, unknown : images and groups it was chosen on, and images rejected among them
    on_average : upper bound of the expected share of known images rejected
    needed : groups needed to guarantee `target`
    guaranteed : whether `target` is guaranteed
    folds : folds of train whose images were used too
    rejected, rejected_unknown : images a person rejected, and those predicted "unknown"
    left_out, left_out_unknown : images of left-out classes, and those predicted "unknown"
    left_out_classes, left_out_interval : these classes, and the interval of the share found
    """

    below: float
    target: float
    count: int
    groups: int
    unknown: int
    on_average: float
    needed: int
    guaranteed: bool
    folds: int = 0
    rejected: int = 0
    rejected_unknown: int = 0
    left_out: int = 0
    left_out_unknown: int = 0
    left_out_classes: int = 0
    left_out_interval: Interval | None = None

    def describe(self) -> str:
        """Return the rule, its cost, what it finds and the guarantee as a line."""
        source = "held-out images" if self.folds else "val"
        words = (
            f"similarity < {self.below:.3f}; rejects {self.unknown / self.count:.1%} of known "
            f"images ({self.unknown}/{self.count} of {source}, {count(self.groups, 'group')}; "
            f"at most {self.on_average:.1%} on average)"
        )
        if self.left_out:
            share = self.left_out_unknown / self.left_out
            words += f"; finds {share:.1%} of {self.left_out} images of left-out classes"
        if self.left_out_interval:
            low, high = self.left_out_interval
            words += f" (95% CI {100 * low:.1f}-{100 * high:.1f}%, {self.left_out_classes} classes)"
        if self.rejected:
            words += f"; and {self.rejected_unknown} of {self.rejected} rejected images"
        if self.guaranteed:
            return words
        if not self.needed:
            return f"{words}; 0% cannot be guaranteed"
        return f"{words}; to guarantee {100 * self.target:.4g}%, val needs {self.needed:,} groups"


NO_UNKNOWN_RULE = "never predicted: too few held-out images to choose a threshold"


class ThresholdEffects(msgspec.Struct, frozen=True):
    """The thresholds with their effects on val, for the report."""

    protected: tuple[RecallThreshold, ...] = ()
    unfamiliar: UnknownThreshold | None = None

    def describe(self) -> list[str]:
        """Return a line for each threshold."""
        thresholds = (*self.protected, self.unfamiliar)
        return [threshold.describe() for threshold in thresholds if threshold]


class DecisionRule(msgspec.Struct, frozen=True):
    """How scores become predictions.

    Scores are divided by `temperature`, and `offsets` are added by class, before softmax
    (`calibration.py`). A prediction is "unknown" if its probability is below `unknown_below`, or
    its similarity to the training data (the membership, if the run has one) below
    `unfamiliar_below`. A class in `thresholds` is protected: another class is predicted only if
    all others together have more than that probability.
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    unknown_below: Share | None = None
    thresholds: dict[str, Share] = {}
    effects: ThresholdEffects = ThresholdEffects()
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None

    @property
    def can_answer_unknown(self) -> bool:
        """Whether a prediction can be "unknown"."""
        return self.unknown_below is not None or self.unfamiliar_below is not None

    def class_offsets(self, classes: Sequence[str]) -> list[float]:
        """Return the offset of each class."""
        return [self.offsets.get(name, 0.0) for name in classes]

    def but(self, **fields: object) -> DecisionRule:
        """Return a copy with other values of some fields."""
        return msgspec.structs.replace(self, **fields)

    def without_thresholds(self) -> DecisionRule:
        """Return a copy without thresholds."""
        return DecisionRule(self.temperature, offsets=self.offsets)


class Decisions(NamedTuple):
    """Predicted class numbers or `UNKNOWN` (int64, N), and probabilities (N x C)."""

    classes: Indices
    probabilities: Floats


def calibrate_with_rule(logits: Scores, classes: Sequence[str], rule: DecisionRule) -> Scores:
    """Return calibrated scores (N x C): their softmax are the probabilities."""
    offsets = rule.class_offsets(classes)
    return calibrate_scores(logits, rule.temperature, offsets).astype(np.float32)


def decide(
    logits: Scores,
    classes: Sequence[str],
    rule: DecisionRule,
    similarity: Floats | None = None,
    membership: npt.NDArray[np.floating] | None = None,
) -> Decisions:
    """Predict a class or `UNKNOWN` for scores (N x C) and similarities to the training data (N).

    A confidence is the probability of the class, times the `membership` (N) if there is one.
    """
    probabilities = softmax(calibrate_with_rule(logits, classes, rule))
    ranked = probabilities.copy()
    for name, threshold in rule.thresholds.items():
        if name in classes:
            number = classes.index(name)
            claimed = 1 - probabilities[:, number] <= threshold
            # Above every probability, in order of probability if several classes claim an image.
            ranked[claimed, number] += 2
    predicted = ranked.argmax(1).astype(np.int64)
    if rule.unknown_below is not None:
        confidences = probabilities[np.arange(len(predicted)), predicted]
        confidences = confidences if membership is None else confidences * membership
        predicted = np.where(confidences < rule.unknown_below, UNKNOWN, predicted)
    if rule.unfamiliar_below is not None and similarity is not None:
        predicted = np.where(similarity < rule.unfamiliar_below, UNKNOWN, predicted)
    return Decisions(predicted, probabilities)


def save_decision_rule(folder: Path, rule: DecisionRule, *, scratch: Path | None = None) -> None:
    """Write `answers.json`. Raises NotWritable or DiskFull."""
    write_run_json(folder, FILE, rule, scratch=scratch)


def load_decision_rule(folder: Path) -> DecisionRule:
    """Return the rule of a run, or the default rule. Raises `InputUnusable`."""
    fix = "choose the thresholds again: baseline evaluate RUN"
    return read_run_json(folder, FILE, DecisionRule, fix) or DecisionRule()


SCALE_FILE = "feature_scale.json"
FORMER_SCALE_FILE = "familiarity.json"
GALLERY_SCALE = 20.0
"""Factor from the similarity to the nearest known image of a class to its score."""
SIMILARITY_TEMPERATURE = 2.0
"""Softens the scores for the OOD score: the margin to other classes counts more than in a
probability. Chosen on two datasets, confirmed on two others (docs/experiments.md)."""


class FeatureScale(msgspec.Struct, frozen=True, dict=True):
    """Mean and standard deviation of the training embeddings, by dimension (D each)."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distances(self, embeddings: npt.NDArray[np.floating]) -> Floats:
        """Return the distances of embeddings (N x D) from the mean; those of train average 1."""
        mean, deviation = self._arrays
        scaled = (embeddings.astype(np.float64) - mean) / deviation
        distances: Floats = np.sqrt(np.einsum("nd,nd->n", scaled, scaled) / len(mean))
        return distances

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        """Both as arrays (D), cached because a server needs them for each request."""
        return np.array(self.mean), np.array(self.deviation)


def fit_feature_scale(embeddings: Scores) -> FeatureScale:
    """Fit the scale of the training embeddings (N x D); their mean distance is 1."""
    deviation = floor_deviations(embeddings.std(0, dtype=np.float64))
    mean = embeddings.mean(0, dtype=np.float64)
    plain = FeatureScale(tuple(mean.tolist()), tuple(deviation.tolist()))
    mean_distance = float(plain.distances(embeddings).mean()) or 1.0
    # Seven digits: a float32 holds no more.
    rounded = [
        tuple(float(f"{value:.7g}") for value in values.tolist())
        for values in (mean, deviation * mean_distance)
    ]
    return FeatureScale(*rounded)


def compute_training_similarity(scores: npt.NDArray[np.floating], distances: Floats) -> Floats:
    """Return the OOD score (N, 0..1; 1 is familiar) of calibrated scores (N x C).

    Features of out-of-distribution images are farther from the mean of train. So scores are
    divided by the distance, and the largest probability that remains is the OOD score
    (docs/experiments.md compares it with alternatives).
    """
    temperatures = SIMILARITY_TEMPERATURE * np.maximum(distances, 1e-6)[:, None]
    similarity: Floats = softmax(scores.astype(np.float64) / temperatures).max(1)
    return similarity


def compute_output_similarity(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule, *, gallery: bool
) -> Floats | None:
    """Return the OOD scores of N images; None without distances.

    They are the membership if there is one, and for a `gallery` the similarities to the nearest
    known image.
    """
    if outputs.membership is not None:
        return outputs.membership
    if gallery:
        similarity: Floats = outputs.logits.max(1).astype(np.float64) / GALLERY_SCALE
        return similarity
    if outputs.distances is None:
        return None
    return compute_training_similarity(
        calibrate_with_rule(outputs.logits, classes, rule), outputs.distances
    )


def save_feature_scale(folder: Path, scale: FeatureScale, *, scratch: Path | None = None) -> None:
    """Write `feature_scale.json` beside the weights. Raises NotWritable or DiskFull."""
    write_run_json(folder, SCALE_FILE, scale, scratch=scratch)


def load_feature_scale(folder: Path) -> FeatureScale | None:
    """Return the scale of a run; None for a gallery. Raises `InputUnusable`."""
    for name in (SCALE_FILE, FORMER_SCALE_FILE):
        scale = read_run_json(folder, name, FeatureScale, "train again: baseline train")
        if scale is not None:
            return scale
    return None
