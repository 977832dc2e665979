"""Outputs of a network for the samples of a split, and their calibration.

They are stored with the run as `outputs.npz`: metrics, reports and comparisons need no network.

Scores are divided by one temperature (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern
Neural Networks", 2017). On few images its maximum likelihood estimate is noise, so it is the mode
of a posterior whose prior is centered at 1; and it stays at 1 without evidence beyond chance.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np

from gleanset.arrays import BoolArray, Float32Array, Float64Array, FloatArray, IntArray
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count

FILE = "outputs.npz"


@dataclass(frozen=True)
class Outputs:
    """Scores (float32, N x C), true class numbers (int64, N) and sample keys (N) of a split.

    `embeddings` (float32, N x D) are for retrieval metrics, `distances` (N) are those of
    `FeatureScale.distances`, `membership` (N) those of `ClassMembership`; each may be missing.
    """

    logits: Float32Array
    y: IntArray
    keys: tuple[str, ...]
    embeddings: Float32Array | None = None
    distances: Float64Array | None = None
    membership: Float64Array | None = None

    def __post_init__(self) -> None:
        if not len(self.logits) == len(self.y) == len(self.keys):
            raise ValueError("logits, y and keys must be of one length")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def right(self) -> BoolArray:
        """Mask of correct predictions (N)."""
        return np.asarray(self.logits.argmax(1) == self.y)

    def at(self, index: IntArray) -> Self:
        """Return the outputs of some samples, in this order, without embeddings."""
        distances = self.distances
        membership = self.membership
        return type(self)(
            self.logits[index],
            self.y[index],
            tuple(self.keys[row] for row in index),
            distances=None if distances is None else distances[index],
            membership=None if membership is None else membership[index],
        )


def concatenate_outputs(parts: Sequence[Outputs]) -> Outputs:
    """Concatenate outputs of several networks, without embeddings and memberships.

    Those of different networks cannot be compared.
    """
    # Empty ones have no distances. If all are empty, the first has the number of classes.
    parts = [part for part in parts if len(part)] or parts[:1]
    distances = [part.distances for part in parts if part.distances is not None]
    has_distances = len(distances) == len(parts)
    return Outputs(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.y for part in parts]),
        tuple(chain.from_iterable(part.keys for part in parts)),
        distances=np.concatenate(distances) if has_distances else None,
    )


def save_outputs(folder: Path, splits: Mapping[str, Outputs]) -> None:
    """Write everything but the embeddings. Raises NotWritable or DiskFull."""
    values: dict[str, np.ndarray] = {}

    for split, outputs in splits.items():
        values |= {
            f"{split}.logits": outputs.logits,
            f"{split}.y": outputs.y,
            f"{split}.keys": np.array(outputs.keys, dtype=np.str_),
        }
        for name in ("distances", "membership"):
            numbers = getattr(outputs, name)
            if numbers is not None:
                values[f"{split}.{name}"] = numbers

    buffer = io.BytesIO()
    np.savez(buffer, **values)  # type: ignore[arg-type]
    write_atomic(folder / FILE, buffer.getvalue())


def load_outputs(folder: Path) -> dict[str, Outputs]:
    """Return the outputs of a run by split, empty without the file. Raises InputUnusable."""
    path = folder / FILE
    if not path.is_file():
        return {}

    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as values:
            # Names are SPLIT.FIELD.
            splits = dict.fromkeys(name.partition(".")[0] for name in values.files)
            return {
                split: Outputs(
                    values[f"{split}.logits"].astype(np.float32, copy=False),
                    values[f"{split}.y"].astype(np.int64, copy=False),
                    tuple(map(str, values[f"{split}.keys"])),
                    distances=values.get(f"{split}.distances"),
                    membership=values.get(f"{split}.membership"),
                )
                for split in splits
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputUnusable(
            f"{path} is damaged: {error}",
            "evaluate the run again: baseline evaluate RUN",
        ) from error


NO_SHIFT: Float64Array = np.zeros(0)


def log_softmax(logits: FloatArray) -> Float64Array:
    """Return log probabilities (N x C), computed in double precision."""
    exact = logits.astype(np.float64)
    # The largest becomes 0, so that no exponential overflows.
    differences = exact - exact.max(1, keepdims=True)
    sums = np.exp(differences).sum(1, keepdims=True)
    return np.asarray(differences - np.log(sums))


def softmax(logits: FloatArray) -> Float64Array:
    """Return probabilities (N x C)."""
    return np.exp(log_softmax(logits))


MIN_TEMPERATURE = 0.05
MAX_TEMPERATURE = 20.0
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


@dataclass(frozen=True)
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

    def apply(self, logits: Float32Array) -> Float64Array:
        """Return calibrated scores (N x C): their softmax are the probabilities."""
        return calibrate_scores(logits, self.temperature, self.offsets)

    def describe(self) -> str:
        """Return what was fitted as a line."""
        if self.images < 2:
            words = "not calibrated: no images in val"
            if self.share is None:
                return words
            return f"{words}; class balancing is not corrected for"

        source = f"{count(self.images, 'image')} of val, {count(self.groups, 'group')}"
        words = f"temperature {self.temperature:.2f} ({source})"
        if abs(self.temperature - 1) <= _NEGLIGIBLE:
            words += ", not significantly different from 1"

        if self.share is None:
            return words
        if self.share < _NEGLIGIBLE:
            return f"{words}; no significant effect of class balancing"
        return f"{words}; {self.share:.0%} of the effect of class balancing corrected"


def calibrate_scores(
    logits: Float32Array, temperature: float, offsets: Sequence[float]
) -> Float64Array:
    """Divide scores (N x C) by the temperature and add `offsets` (C, or none)."""
    scores: Float64Array = logits.astype(np.float64) / temperature
    return scores + np.array(offsets) if len(offsets) else scores


def fit_calibration(
    logits: Float32Array,
    y: IntArray,
    groups: Sequence[str],
    shift: Float64Array = NO_SHIFT,
) -> ScoreCalibration:
    """Fit the calibration of scores (N x C) with true classes `y` (N) and groups `groups` (N).

    Images have equal weight, as in the log loss, but the amount of evidence is that of their
    groups. `shift` (C, or empty) is from `compute_prior_shift`.
    """
    images, classes = logits.shape
    group_count = len(set(groups))
    is_balanced = len(shift) > 0
    if images < 2 or classes < 2:
        return ScoreCalibration(
            share=0.0 if is_balanced else None,
            images=images,
            groups=group_count,
        )

    rows = np.arange(images)
    scores = logits.astype(np.float64)
    shift_by_class = shift if is_balanced else np.zeros(classes)

    def loss(log_temperature: float, share: float) -> float:
        """Return the mean cross entropy in nats."""
        log_probabilities = log_softmax(
            scores / np.exp(log_temperature) + share * shift_by_class
        )
        return float(-log_probabilities[rows, y].mean())

    # M groups count as M * M / (M + HALF_EVIDENCE_GROUPS).
    evidence = group_count**2 / (group_count + HALF_EVIDENCE_GROUPS)

    def cost(log_temperature: float, share: float) -> float:
        """Return the negative log posterior, up to a constant."""
        # A normal prior would keep overconfident networks overconfident (docs/experiments.md). The
        # exponent of Student's t with 2 degrees of freedom is (2 + 1) / 2.
        prior = 1.5 * np.log1p((log_temperature / LOG_TEMPERATURE_SCALE) ** 2 / 2)
        prior += (share / SHIFT_SHARE_DEVIATION) ** 2 / 2
        return evidence * loss(log_temperature, share) + float(prior)

    log_temperature = _minimize_cost(partial(cost, share=0.0))
    share = 0.0
    if is_balanced:
        log_temperature, share = _minimize_with_shift(cost, log_temperature)

    # Without enough evidence scores stay as they are: temperature 1, no share. The fewer groups,
    # the more each must gain, see `MIN_EVIDENCE_NATS`.
    gain = group_count * (loss(0.0, 0.0) - loss(log_temperature, share))
    if gain < MIN_EVIDENCE_NATS / group_count:
        log_temperature = 0.0
        share = 0.0

    return ScoreCalibration(
        temperature=float(np.exp(log_temperature)),
        offsets=tuple(map(float, share * shift_by_class)) if share else (),
        share=share if is_balanced else None,
        images=images,
        groups=group_count,
    )


def _minimize_cost(cost: Callable[[float], float]) -> float:
    """Return the log temperature of least cost; a grid comes first as there may be two minima."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(
        np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE), _GRID_STEPS + 1
    )
    costs = [cost(float(log_temperature)) for log_temperature in grid]
    step = int(np.argmin(costs))
    # Between its neighbours on the grid.
    bounds = (grid[max(step - 1, 0)], grid[min(step + 1, _GRID_STEPS)])
    fit = minimize_scalar(
        cost,
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-5},
    )
    # The search may end beside the minimum, above the best point of the grid.
    return float(fit.x if fit.fun <= costs[step] else grid[step])


def _minimize_with_shift(
    cost: Callable[[float, float], float], log_temperature: float
) -> tuple[float, float]:
    """Return the log temperature and share of least cost, starting from that without a shift."""
    from scipy.optimize import minimize

    # From several points of log temperature and share, because there may be several minima.
    starts = [
        (log_temperature, 0.0),
        (log_temperature, 0.5),
        (0.0, 1.0),
    ]
    bounds = ((np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), (0.0, 1.0))
    fits = [
        minimize(
            lambda point: cost(*point),
            start,
            method="L-BFGS-B",
            bounds=bounds,
        )
        for start in starts
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    log_temperature, share = best.x.tolist()
    return log_temperature, share


@dataclass(frozen=True)
class ConfidenceBin:
    """Predictions with a confidence in (`low`, `high`]; both means are 0 for an empty bin."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error: |confidence - accuracy| averaged over bins, weighted by count.

    `log_loss` is that of the same probabilities, if computed.
    """

    ece: float
    bins: tuple[ConfidenceBin, ...] = ()
    log_loss: float | None = None


def calibration_error(probabilities: Float64Array, y: IntArray) -> CalibrationError:
    """Return the expected calibration error of probabilities (N x C) with true classes (N)."""
    confidences = probabilities.max(1)
    is_right = probabilities.argmax(1) == y

    # Bin i is (i / BINS, (i + 1) / BINS].
    numbers = np.ceil(confidences * BINS).astype(np.int64) - 1
    numbers = np.clip(numbers, 0, BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    divisors = np.maximum(counts, 1)
    confidence = np.bincount(numbers, confidences, minlength=BINS) / divisors
    accuracy = np.bincount(numbers, is_right, minlength=BINS) / divisors
    gaps = np.abs(confidence - accuracy)

    bins = [
        ConfidenceBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int(counts[number]),
            confidence=float(confidence[number]),
            accuracy=float(accuracy[number]),
        )
        for number in range(BINS)
    ]
    return CalibrationError(
        ece=float((counts * gaps).sum() / max(len(y), 1)),
        bins=tuple(bins),
    )
