"""Scores as probabilities that can be believed: temperature scaling that small samples cannot fool.

Scores are divided by one temperature (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern
Neural Networks", 2017). On a few pictures its likeliest value is noise, so it is the mode of a
posterior whose prior holds it near 1, where the network is believed as it is; and it is left at 1
where the evidence is no more than chance gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from baseline.evaluation.outputs import Floats, Indices, Scores, log_softmax
from gleanset.binomial import FEW
from gleanset.html.words import count, percent

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
SPREAD = 0.6
"""Scale of the prior on the logarithm of the temperature: Student's t of 2 degrees of freedom,
whose tails let a network be as loud as much evidence says."""
SHARE = 0.5
"""Deviation of the prior on the share of the shift, which is held at none."""
HALF_EVIDENCE_GROUPS = 15
"""Moments whose evidence counts half; that of M counts M / (M + HALF) of what it says. A handful
without a mistake is likely even where the network is too sure."""
MIN_EVIDENCE_NATS = 20.0
"""Evidence that changes scores at all: so many nats, divided by the number of moments. Where those
are few, chance alone makes some temperature look better than 1."""
BINS = 15
"""As in the paper, so that figures can be compared."""
_GRID = 40
_ALIKE = 0.05
"""Temperatures within this of 1, and shares below it, change next to nothing."""


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """How scores become probabilities, and what that was learnt from.

    Scores are divided by `temperature`, then `offsets` (one a class, or none) are added: `share`
    (0..1) of the shift that balancing the classes in training may have made, None where nothing was
    balanced. It was fitted on so many `pictures` of so many `moments`.
    """

    temperature: float = 1.0
    offsets: tuple[float, ...] = ()
    share: float | None = None
    pictures: int = 0
    moments: int = 0

    def apply(self, logits: Scores) -> Floats:
        """Return the scores N x C whose softmax are the probabilities."""
        return calibrate_scores(logits, self.temperature, self.offsets)

    def describe(self) -> str:
        """Say what was done, in a sentence."""
        if self.pictures < 2:
            words = "scores are left as the network gives them: there is nothing to calibrate by"
            balanced = "; classes were balanced in training: rare ones may be given too much"
            return words + ("" if self.share is None else balanced)
        source = f"{count(self.pictures, 'picture')} ({count(self.moments, 'moment')}) of val"
        words = f"temperature {self.temperature:.2f}, by {source}"
        if abs(self.temperature - 1) <= _ALIKE:
            left = f"temperature left at {self.temperature:.2f}"
            words = f"{left}: {source} show no sure need of another"
        if self.share is None:
            return words
        if self.share < _ALIKE:
            return (
                f"{words}; classes were balanced in training: nothing is taken back, for val shows "
                "no sure effect of it"
            )
        return (
            f"{words}; classes were balanced in training, of whose effect {percent(self.share)} "
            "are taken back, as far as val shows it: probabilities are for classes as common as in "
            "train"
        )


def calibrate_scores(logits: Scores, temperature: float, offsets: Sequence[float] = ()) -> Floats:
    """Return the scores N x C divided by the temperature, `offsets` (C, or none) added.

    Their softmax are the calibrated probabilities.
    """
    scores: Floats = logits.astype(np.float64) / temperature
    return scores + np.array(offsets) if len(offsets) else scores


def fit_calibration(
    logits: Scores, y: Indices, moments: Sequence[str], shift: Floats | None = None
) -> ScoreCalibration:
    """Fit the calibration of scores N x C by their classes `y` (N), none where nothing is to fit.

    `moments` (N) names what is right or wrong together: frames of one scene are one witness. Every
    picture weighs alike, as in the log loss, but they are as much evidence as their moments.
    `shift` (C, or empty) is the logarithm of how much rarer each class is than was learnt
    (`compute_prior_shift`).
    """
    pictures, classes = logits.shape
    witnesses = len(set(moments))
    shifted = shift is not None and len(shift) > 0
    if pictures < 2 or classes < 2:
        return ScoreCalibration(
            share=0.0 if shifted else None, pictures=pictures, moments=witnesses
        )
    added = shift if shift is not None and shifted else np.zeros(classes)
    scores = logits.astype(np.float64)

    def loss(log_temperature: float, share: float) -> float:
        calibrated = log_softmax(scores / np.exp(log_temperature) + share * added)
        return float(-calibrated[np.arange(pictures), y].mean())

    evidence = witnesses**2 / (witnesses + HALF_EVIDENCE_GROUPS)

    def cost(log_temperature: float, share: float) -> float:
        """The negative logarithm of the posterior, less a constant."""
        prior = 1.5 * np.log1p((log_temperature / SPREAD) ** 2 / 2) + (share / SHARE) ** 2 / 2
        return evidence * loss(log_temperature, share) + float(prior)

    best, share = _lowest(lambda at: cost(at, 0.0)), 0.0
    if shifted:
        best, share = _lowest_of_two(cost, best)
    if witnesses * (loss(0.0, 0.0) - loss(best, share)) < MIN_EVIDENCE_NATS / witnesses:
        best, share = 0.0, 0.0
    return ScoreCalibration(
        temperature=float(np.exp(best)),
        offsets=tuple(map(float, share * added)) if share else (),
        share=share if shifted else None,
        pictures=pictures,
        moments=witnesses,
    )


def _lowest(cost: Callable[[float], float]) -> float:
    """Return the log temperature where `cost` is least, by a grid first: it may dip twice."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE), _GRID + 1)
    costs = [cost(float(log_temperature)) for log_temperature in grid]
    at = int(np.argmin(costs))
    near = grid[max(at - 1, 0)], grid[min(at + 1, _GRID)]
    fitted = minimize_scalar(cost, bounds=near, method="bounded", options={"xatol": 1e-5})
    return float(fitted.x if fitted.fun <= costs[at] else grid[at])


def _lowest_of_two(
    cost: Callable[[float, float], float], log_temperature: float
) -> tuple[float, float]:
    """Return a log temperature, begun at one without a shift, and the share of the shift."""
    from scipy.optimize import minimize

    starts = [(log_temperature, 0.0), (log_temperature, 0.5), (0.0, 1.0)]
    ends = ((np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), (0.0, 1.0))
    fits = [
        minimize(lambda at: cost(*at), start, method="L-BFGS-B", bounds=ends) for start in starts
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    return float(best.x[0]), float(best.x[1])


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Answers whose confidence lies above `low` up to `high`: their mean, and how many are right.

    `confidence` and `accuracy` are 0 where there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """`ece` is the mean distance of confidence and accuracy over the bins, weighted by count.

    `log_loss` is that of the same probabilities, where it is told.
    """

    ece: float
    bins: tuple[ConfidenceBin, ...] = ()
    log_loss: float | None = None


def calibration_error(probabilities: Floats, y: Indices, bins: int = BINS) -> CalibrationError:
    """Return how far confidences (each row's greatest probability) are from the share right."""
    confidences, right = probabilities.max(1), probabilities.argmax(1) == y
    numbers = _bin_of(confidences, bins)
    counts = np.bincount(numbers, minlength=bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(numbers, confidences, minlength=bins) / some
    accuracy = np.bincount(numbers, right, minlength=bins) / some
    ece = float((counts * np.abs(confidence - accuracy)).sum() / max(len(y), 1))
    columns = (counts.tolist(), confidence.tolist(), accuracy.tolist())
    rows = enumerate(zip(*columns, strict=True))
    return CalibrationError(
        ece, tuple(ConfidenceBin(at / bins, (at + 1) / bins, *row) for at, row in rows)
    )


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """One class: `expected` is the mean probability it is given, `share` how often it is true.

    `ece` is the mean distance of both over the bins of its probability, weighted by count. The
    class has `moments`; where they are `few`, its figures are mostly chance.
    """

    name: str
    expected: float
    share: float
    ece: float
    moments: int
    few: bool


@dataclass(frozen=True, slots=True)
class ClasswiseError:
    """`ece` is the plain mean over the classes; `warning` names those that val or test show little
    of, and is empty where there are none."""

    ece: float
    classes: tuple[ClassCalibration, ...]
    warning: str


def classwise_error(
    probabilities: Floats, y: Indices, moments: Sequence[str], classes: Sequence[str]
) -> ClasswiseError:
    """Return how far the probability (N x C) of each class is from how often it is true."""
    named = np.array(moments, dtype=np.str_)
    rows = []
    for at, name in enumerate(classes):
        probability, true = probabilities[:, at], y == at
        off = np.bincount(_bin_of(probability, BINS), probability - true, minlength=BINS)
        several = len(np.unique(named[true]))
        pictures = max(len(y), 1)
        rows.append(
            ClassCalibration(
                name,
                expected=float(probability.sum() / pictures),
                share=float(true.sum() / pictures),
                ece=float(np.abs(off).sum() / pictures),
                moments=several,
                few=several < FEW,
            )
        )
    few = [row.name for row in rows if row.few]
    others = " and others" if len(few) > 8 else ""
    warning = f"fewer than {FEW} moments, so mostly chance: {', '.join(few[:8])}{others}"
    mean = float(np.mean([row.ece for row in rows]))
    return ClasswiseError(mean, tuple(rows), warning if few else "")


def _bin_of(confidence: Floats, bins: int) -> Indices:
    """Return the bin of each: bin i is for those above i / bins, up to (i + 1) / bins."""
    number: Indices = np.ceil(confidence * bins).astype(np.int64) - 1
    return np.clip(number, 0, bins - 1)
