"""What a model answers: a class, or "unknown", by thresholds that are kept with the run.

`answers.json` beside the weights holds them: {"temperature": 1.3, "unknown_below": 0.6,
"thresholds": {"photo": 0.98}, "unfamiliar_below": 0.4}. A file that is missing means none of it.
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
from baseline.features.scaling import standardising
from gleanset.html.words import count, percent

FILE = "answers.json"
UNKNOWN = -1

Share = Annotated[float, Meta(ge=0, le=1)]


class RecallThreshold(msgspec.Struct, frozen=True):
    """A protected class: `threshold` for all other classes together.

    Of `count` pictures of the class on val, of `moments` moments, `lost` do not keep their name,
    `unknown` of them because the answer is "unknown"; with 95 % confidence at most `at_most` of
    such pictures will. `needed` moments of val it would take to promise `wanted`, which is
    `promised` where val has them. `others_kept` is the share of the other classes' pictures that
    still get their right name, `others_before` without any threshold.
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
    promised: bool
    others_kept: float | None
    others_before: float | None

    def describe(self) -> str:
        """Say what the threshold does, and what it does not promise."""
        unknown = f", {self.unknown} of them unknown" if self.unknown else ""
        words = (
            f"{self.name}: on val {self.lost} of {self.count} ({count(self.moments, 'moment')}) "
            f"would not keep their name{unknown}; with 95 % confidence at most "
            f"{100 * self.at_most:.3g} % of such pictures will not"
        )
        if self.others_kept is not None and self.others_before is not None:
            words += (
                f"; of the other classes {percent(self.others_kept)} still get their right name "
                f"({percent(self.others_before)} without any threshold)"
            )
        if self.promised:
            return words
        if not self.needed:
            return f"{words}; no number of moments can promise {100 * self.wanted:.4g} %"
        needed = f"val needs {self.needed:,} moments of it and no mistake"
        return f"{words}; to promise {100 * self.wanted:.4g} %, {needed}"


class FamiliarityThreshold(msgspec.Struct, frozen=True):
    """Pictures of a familiarity `below` this are unknown.

    Chosen so that of known pictures at most `wanted` are: on average over other vals at most
    `on_average`, which is more where val has fewer than `needed` moments, and then not `promised`.
    Of the `count` pictures of val, of `moments` moments, `unknown` are; of as many other pictures
    at most `at_most` will be, with 95 % confidence. Those of train are among them where there are
    `folds`. `strangers` rejected pictures played no part: `strangers_unknown` of them are unknown.
    """

    below: float
    wanted: float
    count: int
    moments: int
    unknown: int
    on_average: float
    at_most: float
    needed: int
    promised: bool
    folds: int = 0
    strangers: int = 0
    strangers_unknown: int = 0

    def describe(self) -> str:
        """Say what is called unknown, and what is promised of it."""
        seen = "pictures that were not learnt from" if self.folds else "pictures of val"
        words = (
            f"below a familiarity of {self.below:.3f} the answer is unknown: {self.unknown} of "
            f"{self.count} {seen} ({count(self.moments, 'moment')}) would be; of pictures "
            f"of these classes at most {100 * self.on_average:.3g} % on average, and of as many "
            f"others as these, with 95 % confidence, at most {100 * self.at_most:.3g} %"
        )
        if self.strangers:
            rejected = count(self.strangers, "picture")
            words += f"; of {rejected} that were rejected {self.strangers_unknown} are unknown"
        if self.promised:
            return words
        if not self.needed:
            return f"{words}; no number of moments can promise 0 %"
        return f"{words}; to promise {100 * self.wanted:.4g} %, val needs {self.needed:,} moments"


NO_UNKNOWN_RULE = (
    "it cannot tell strangers: too little was held out to promise that the known stay known"
)


class ChosenThresholds(msgspec.Struct, frozen=True):
    """What val said when the thresholds were chosen, for the report."""

    spared: tuple[RecallThreshold, ...] = ()
    unfamiliar: FamiliarityThreshold | None = None

    def describe(self) -> list[str]:
        """Return a sentence for each."""
        thresholds = (*self.spared, self.unfamiliar)
        return [threshold.describe() for threshold in thresholds if threshold]


class DecisionRule(msgspec.Struct, frozen=True):
    """How scores become answers.

    Scores are divided by `temperature`, and `offsets` are added to those of the classes named,
    before softmax (`calibration.py`). Where the answer's probability is below
    `unknown_below`, or its familiarity (`familiarity.py`) below
    `unfamiliar_below`, the answer is "unknown". A class in `thresholds` is protected: another class
    is answered only where all others together have more than that probability.
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    unknown_below: Share | None = None
    thresholds: dict[str, Share] = {}
    chosen: ChosenThresholds = ChosenThresholds()
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None

    @property
    def can_answer_unknown(self) -> bool:
        """Whether there are pictures that it answers "unknown"."""
        return self.unknown_below is not None or self.unfamiliar_below is not None

    def class_offsets(self, classes: Sequence[str]) -> list[float]:
        """Return what is added to the score of each class."""
        return [self.offsets.get(name, 0.0) for name in classes]

    def but(self, **fields: object) -> DecisionRule:
        """Return the same rule with other values of some fields."""
        return msgspec.structs.replace(self, **fields)

    def without_thresholds(self) -> DecisionRule:
        """Return the same rule without any threshold."""
        return DecisionRule(self.temperature, offsets=self.offsets)


class Decisions(NamedTuple):
    """Answers as classes' numbers, or `UNKNOWN` (int64, N), and all probabilities (N x C)."""

    classes: Indices
    probabilities: Floats


def calibrate_with_rule(logits: Scores, classes: Sequence[str], rule: DecisionRule) -> Scores:
    """Return the scores (N x C) whose softmax are the probabilities that are answered."""
    offsets = rule.class_offsets(classes)
    return calibrate_scores(logits, rule.temperature, offsets).astype(np.float32)


def decide(
    logits: Scores,
    classes: Sequence[str],
    rule: DecisionRule,
    familiarity: Floats | None = None,
) -> Decisions:
    """Decide what is answered to each row of scores (N x C), by its `familiarity` (N) if known."""
    probabilities = softmax(calibrate_with_rule(logits, classes, rule))
    ranked = probabilities.copy()
    for name, threshold in rule.thresholds.items():
        if name in classes:
            number = classes.index(name)
            claimed = 1 - probabilities[:, number] <= threshold
            # Above every probability, and in their order where several classes are protected.
            ranked[claimed, number] += 2
    chosen = ranked.argmax(1).astype(np.int64)
    if rule.unknown_below is not None:
        sure = probabilities[np.arange(len(chosen)), chosen]
        chosen = np.where(sure < rule.unknown_below, UNKNOWN, chosen)
    if rule.unfamiliar_below is not None and familiarity is not None:
        chosen = np.where(familiarity < rule.unfamiliar_below, UNKNOWN, chosen)
    return Decisions(chosen, probabilities)


def save_decision_rule(folder: Path, rule: DecisionRule, *, scratch: Path | None = None) -> None:
    """Write `answers.json`, whole. Raises NotWritable or DiskFull."""
    write_run_json(folder, FILE, rule, scratch=scratch)


def load_decision_rule(folder: Path) -> DecisionRule:
    """Return the rule in a run's folder; the plain one where there is none. `InputUnusable`."""
    fix = "choose them anew: baseline evaluate RUN"
    return read_run_json(folder, FILE, DecisionRule, fix) or DecisionRule()


SCALE_FILE = "familiarity.json"
GALLERY_SCALE = 20.0
"""Scores of a gallery are so many times the similarity to the nearest known image of a class."""
FAMILIARITY_TEMPERATURE = 2.0
"""By what scores are divided besides: how far the other classes are behind counts for more than in
a probability. Chosen on two sets, confirmed on two others (docs/experiments.md)."""


class FeatureScale(msgspec.Struct, frozen=True, dict=True):
    """Where the embeddings of train lie: the mean and the deviation of each of their D numbers."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distances(self, embeddings: npt.NDArray[np.floating]) -> Floats:
        """Return how far embeddings (N x D) lie from the middle of train: 1 is as train does."""
        mean, deviation = self._arrays
        far = (embeddings.astype(np.float64) - mean) / deviation
        distances: Floats = np.sqrt(np.einsum("nd,nd->n", far, far) / len(mean))
        return distances

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        """The mean and the deviation as arrays (D), made once: a server asks at each request."""
        return np.array(self.mean), np.array(self.deviation)


def fit_feature_scale(embeddings: Scores) -> FeatureScale:
    """Return where the embeddings of train (N x D) lie; their mean distance is 1."""
    deviation = standardising(embeddings.std(0, dtype=np.float64))
    mean = embeddings.mean(0, dtype=np.float64)
    plain = FeatureScale(tuple(mean.tolist()), tuple(deviation.tolist()))
    far = float(plain.distances(embeddings).mean()) or 1.0
    # Seven digits: a float32 holds no more.
    short = [
        tuple(float(f"{value:.7g}") for value in values.tolist())
        for values in (mean, deviation * far)
    ]
    return FeatureScale(*short)


def compute_familiarity(scores: npt.NDArray[np.floating], distances: Floats) -> Floats:
    """Return the familiarity (N, 0..1) of calibrated scores, or log probabilities (N x C).

    A network was taught to tell its classes apart, not what else there is. What gives a stranger
    away is that its features lie farther out than those that were learnt from. So its scores are
    divided by how much farther they lie, and the probability that its answer is left is its
    familiarity (docs/experiments.md has what that gains, and what else was tried).
    """
    farther = FAMILIARITY_TEMPERATURE * np.maximum(distances, 1e-6)[:, None]
    familiarity: Floats = softmax(scores.astype(np.float64) / farther).max(1)
    return familiarity


def compute_output_familiarity(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule, *, gallery: bool
) -> Floats | None:
    """Return the familiarity of N images; None without the distances that it is computed from.

    That of a `gallery` is the similarity to the nearest known image, by the scores alone.
    """
    if gallery:
        similarity: Floats = outputs.logits.max(1).astype(np.float64) / GALLERY_SCALE
        return similarity
    if outputs.distances is None:
        return None
    return compute_familiarity(
        calibrate_with_rule(outputs.logits, classes, rule), outputs.distances
    )


def save_feature_scale(folder: Path, scale: FeatureScale, *, scratch: Path | None = None) -> None:
    """Write `familiarity.json` beside the weights. Raises NotWritable or DiskFull."""
    write_run_json(folder, SCALE_FILE, scale, scratch=scratch)


def load_feature_scale(folder: Path) -> FeatureScale | None:
    """Return what a run keeps of its train; None for a gallery.

    Raises `InputUnusable` for a damaged file.
    """
    return read_run_json(folder, SCALE_FILE, FeatureScale, "train again: baseline train")
