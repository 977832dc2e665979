"""Temperature scaling that is robust on small samples.

Scores are divided by one temperature (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern
Neural Networks", 2017). On few images its maximum likelihood estimate is noise, so it is the mode
of a posterior whose prior is centered at 1; and it stays at 1 without evidence beyond chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from baseline.evaluation.outputs import Floats, Indices, Scores, log_softmax
from gleanset.html.words import count

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
LOG_TEMPERATURE_SCALE = 0.6
"""Scale of the prior on the logarithm of the temperature: Student's t with 2 degrees of freedom,
whose heavy tails allow any temperature given enough evidence."""
SHIFT_SHARE_DEVIATION = 0.5
"""Standard deviation of the prior on the share of the shift, which is centered at 0."""
HALF_EVIDENCE_GROUPS = 15
"""Groups whose evidence counts half; that of M groups counts M / (M + this). A handful without an
error is likely even for an overconfident network."""
MIN_EVIDENCE_NATS = 20.0
"""Evidence needed to change scores, in nats divided by the number of groups. With few groups,
chance alone makes some temperature look better than 1."""
BINS = 15
"""As in the paper, for comparability."""
_GRID_STEPS = 40
_NEGLIGIBLE = 0.05
"""Temperatures within this of 1, and shares below it, have almost no effect."""


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Calibration of scores, fitted on `images` images of `groups` groups.

    Scores are divided by `temperature`, then `offsets` (by class, or none) are added: `share`
    (0..1) of the shift that class balancing may have caused, None if nothing was balanced.
    """

    temperature: float = 1.0
    offsets: tuple[float, ...] = ()
    share: float | None = None
    images: int = 0
    groups: int = 0

    def apply(self, logits: Scores) -> Floats:
        """Return calibrated scores (N x C): their softmax are the probabilities."""
        return calibrate_scores(logits, self.temperature, self.offsets)

    def describe(self) -> str:
        """Return what was fitted as a line."""
        if self.images < 2:
            balanced = "; class balancing is not corrected for" if self.share is not None else ""
            return f"not calibrated: no images in val{balanced}"
        source = f"{count(self.images, 'image')} of val, {count(self.groups, 'group')}"
        words = f"temperature {self.temperature:.2f} ({source})"
        if abs(self.temperature - 1) <= _NEGLIGIBLE:
            words += ", not significantly different from 1"
        if self.share is None:
            return words
        if self.share < _NEGLIGIBLE:
            return f"{words}; no significant effect of class balancing"
        return f"{words}; {self.share:.0%} of the effect of class balancing corrected"


def calibrate_scores(logits: Scores, temperature: float, offsets: Sequence[float] = ()) -> Floats:
    """Divide scores (N x C) by the temperature and add `offsets` (C, or none)."""
    scores: Floats = logits.astype(np.float64) / temperature
    return scores + np.array(offsets) if len(offsets) else scores


def fit_calibration(
    logits: Scores, y: Indices, groups: Sequence[str], shift: Floats | None = None
) -> ScoreCalibration:
    """Fit the calibration of scores (N x C) with true classes `y` (N) and groups `groups` (N).

    Images have equal weight, as in the log loss, but the amount of evidence is that of their
    groups. `shift` (C, or empty) is from `compute_prior_shift`.
    """
    images, classes = logits.shape
    group_count = len(set(groups))
    shifted = shift is not None and len(shift) > 0
    if images < 2 or classes < 2:
        return ScoreCalibration(share=0.0 if shifted else None, images=images, groups=group_count)
    added = shift if shift is not None and shifted else np.zeros(classes)
    scores = logits.astype(np.float64)

    def loss(log_temperature: float, share: float) -> float:
        calibrated = log_softmax(scores / np.exp(log_temperature) + share * added)
        return float(-calibrated[np.arange(images), y].mean())

    evidence = group_count**2 / (group_count + HALF_EVIDENCE_GROUPS)

    def cost(log_temperature: float, share: float) -> float:
        """Return the negative log posterior, up to a constant."""
        prior = 1.5 * np.log1p((log_temperature / LOG_TEMPERATURE_SCALE) ** 2 / 2)
        prior += (share / SHIFT_SHARE_DEVIATION) ** 2 / 2
        return evidence * loss(log_temperature, share) + float(prior)

    best, share = _minimize_cost(lambda log_temperature: cost(log_temperature, 0.0)), 0.0
    if shifted:
        best, share = _minimize_with_shift(cost, best)
    if group_count * (loss(0.0, 0.0) - loss(best, share)) < MIN_EVIDENCE_NATS / group_count:
        best, share = 0.0, 0.0
    return ScoreCalibration(
        temperature=float(np.exp(best)),
        offsets=tuple(map(float, share * added)) if share else (),
        share=share if shifted else None,
        images=images,
        groups=group_count,
    )


def _minimize_cost(cost: Callable[[float], float]) -> float:
    """Return the log temperature of least cost; a grid comes first as there may be two minima."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE), _GRID_STEPS + 1)
    costs = [cost(float(log_temperature)) for log_temperature in grid]
    step = int(np.argmin(costs))
    bounds = grid[max(step - 1, 0)], grid[min(step + 1, _GRID_STEPS)]
    fit = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return float(fit.x if fit.fun <= costs[step] else grid[step])


def _minimize_with_shift(
    cost: Callable[[float, float], float], log_temperature: float
) -> tuple[float, float]:
    """Return the log temperature and share of least cost, starting from that without a shift."""
    from scipy.optimize import minimize

    starts = [(log_temperature, 0.0), (log_temperature, 0.5), (0.0, 1.0)]
    bounds = ((np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), (0.0, 1.0))
    fits = [
        minimize(lambda point: cost(*point), start, method="L-BFGS-B", bounds=bounds)
        for start in starts
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    return float(best.x[0]), float(best.x[1])


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Predictions with a confidence in (`low`, `high`]; both means are 0 for an empty bin."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error: |confidence - accuracy| averaged over bins, weighted by count.

    `log_loss` is that of the same probabilities, if computed.
    """

    ece: float
    bins: tuple[ConfidenceBin, ...] = ()
    log_loss: float | None = None


def calibration_error(probabilities: Floats, y: Indices, bins: int = BINS) -> CalibrationError:
    """Return the expected calibration error of probabilities (N x C) with true classes (N)."""
    confidences, correct = probabilities.max(1), probabilities.argmax(1) == y
    # Bin i is (i / bins, (i + 1) / bins].
    numbers = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(numbers, minlength=bins)
    divisors = np.maximum(counts, 1)
    confidence = np.bincount(numbers, confidences, minlength=bins) / divisors
    accuracy = np.bincount(numbers, correct, minlength=bins) / divisors
    ece = float((counts * np.abs(confidence - accuracy)).sum() / max(len(y), 1))
    columns = (counts.tolist(), confidence.tolist(), accuracy.tolist())
    rows = enumerate(zip(*columns, strict=True))
    return CalibrationError(
        ece, tuple(ConfidenceBin(n / bins, (n + 1) / bins, *row) for n, row in rows)
    )
