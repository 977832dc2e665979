"""What a run left in its folder, typed. What an older run lacks is empty."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from baseline.data.copy_search import is_clear, unlearnt_words
from baseline.data.runs import METRICS, NETWORK, SETTINGS, WEIGHTS
from baseline.judge.calibration import ClasswiseError, ConfidenceBin
from baseline.judge.metrics import ClassScore, Misclassification
from baseline.settings import UNUSED_BY_HEAD
from gleanset.binomial import few
from gleanset.errors import InputUnusable
from gleanset.html.words import count

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One pass over the training pictures; figures of val may be absent."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    images_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class UncalibratedFigures:
    """Figures of the scores as the network gives them."""

    log_loss: float
    ece: float
    bins: list[ConfidenceBin]


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """As `baseline.judge.calibration.Calibration` tells it."""

    temperature: float
    told: str
    plain: float | None = None
    shrunk: bool = False
    share: float | None = None


@dataclass(frozen=True, slots=True)
class SubgroupFigures:
    """As `baseline.judge.metrics.Slice`."""

    name: str
    count: int
    accuracy: float
    interval: Pair | None = None


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """The figures of one split."""

    count: int
    accuracy: float
    log_loss: float
    macro_f1: float
    classes: list[ClassScore]
    confusion: list[list[int]]
    mistakes: list[Misclassification]
    top5_accuracy: float | None = None
    commonest_class: float = 0.0
    moments: int | None = None
    effective_moments: float | None = None
    intervals: dict[str, Pair] = field(default_factory=dict)
    ece: float | None = None
    bins: list[ConfidenceBin] = field(default_factory=list)
    uncalibrated: UncalibratedFigures | None = None
    classwise: ClasswiseError | None = None
    kinds: list[SubgroupFigures] = field(default_factory=list)
    labels: list[SubgroupFigures] = field(default_factory=list)
    risk: list[Pair] = field(default_factory=list)

    @property
    def right(self) -> int:
        """How many pictures were recognised."""
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def few(self) -> str:
        """A warning where they were counted on few moments."""
        return few(self.moments, self.effective_moments)


@dataclass(frozen=True, slots=True)
class ComparedFigures:
    """As `baseline.judge.intervals.PairedComparison`."""

    difference: float
    interval: Pair | None = None


@dataclass(frozen=True, slots=True)
class TrialFigures:
    """As `baseline.train.auto_choice.TrialResult`."""

    preset: str
    accuracy: float | None = None
    interval: Pair | None = None
    log_loss: float | None = None
    behind: ComparedFigures | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceFigures:
    """As `baseline.train.auto_choice.PresetChoice`."""

    preset: str
    why: str
    results: list[TrialFigures]
    folds: int
    judged: int
    moments: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """The content of `metrics.json` that a report shows."""

    classes: list[str]
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[EpochFigures] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    choice: ChoiceFigures | None = None
    temperature: float | None = None
    calibration: FittedCalibration | None = None
    train: SplitFigures | None = None
    val: SplitFigures | None = None
    test: SplitFigures | None = None
    gap: dict[str, float] = field(default_factory=dict)
    retrieval: dict[str, Any] | None = None
    copies: dict[str, int] | None = None

    @property
    def clear_of_copies(self) -> bool:
        """Whether near copies were looked for in all that was learnt and judged by, and none is
        left.
        """
        return is_clear(self.copies)

    @property
    def unlearnt(self) -> str:
        """How far pictures of test are ones that it has not learnt, as a sentence."""
        told = unlearnt_words(self.copies)
        return f"{told[0].upper()}{told[1:]}."

    @property
    def settings_used(self) -> dict[str, Any]:
        """The settings that had a say: a head that was solved did not descend."""
        idle = UNUSED_BY_HEAD["logistic"] if "strength" in self.training else set()
        return {key: value for key, value in self.settings.items() if key not in idle}

    @property
    def course(self) -> str:
        """How the network was trained, as a sentence after its name."""
        if self.epochs:
            passes = count(len(self.epochs), "pass", "passes")
            kept = f"{passes} over the training pictures; epoch {self.best_epoch} was kept"
            return kept + self._parts
        if "strength" not in self.training:
            return "no passes over the training pictures are recorded"
        limit = "" if self.training.get("converged", True) else ", which had not converged yet"
        return (
            "its head was solved as a logistic regression (strength "
            f"{self.training['strength']:g}){limit}; nothing was learnt pass by pass{self._parts}"
        )

    @property
    def _parts(self) -> str:
        """How much each part of the features counts, as the rest of a sentence."""
        parts = self.training.get("parts", {})
        if len(parts) < 2:
            return ""
        first, *others = parts.items()
        beside = " and ".join(f"{name} {weight:g}" for name, weight in others)
        return f"; beside {first[0]} (1) {beside} was weighed in, by {self.training['parts_by']}"

    @property
    def splits(self) -> dict[str, SplitFigures]:
        """The splits that were judged."""
        told = {"train": self.train, "val": self.val, "test": self.test}
        return {name: found for name, found in told.items() if found is not None}


@dataclass(frozen=True, slots=True)
class LayerRow:
    """As `baseline.train.layers.Layer`."""

    name: str
    kind: str
    shape: list[int]
    parameters: int
    macs: int


def read_metrics(folder: Path) -> Metrics:
    """Return the figures of a run. Raises `InputUnusable`."""
    path = folder / METRICS
    try:
        found = _as_answered(json.loads(path.read_bytes()))
        return msgspec.convert(found, Metrics, strict=False)
    except FileNotFoundError:
        raise InputUnusable(
            f"run {folder.name} has no figures: {path} is missing",
            "name another run (gleanset list runs), or train again: baseline train",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", "baseline train") from error


def _as_answered(metrics: Any) -> Any:
    """Put the figures by calibrated scores where an older run has those before calibration."""
    for figures in metrics.values() if isinstance(metrics, dict) else ():
        if isinstance(figures, dict) and isinstance(after := figures.pop("calibrated", None), dict):
            figures["uncalibrated"] = {name: figures.get(name) for name in after}
            figures.update(after)
            figures.get("intervals", {}).pop("log_loss", None)
    return metrics


def read_layers(folder: Path) -> list[LayerRow]:
    """Return the layers of a run's network; none where the run did not record them."""
    try:
        found = json.loads((folder / NETWORK).read_bytes())
        return msgspec.convert(found, list[LayerRow])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(
            f"{folder / NETWORK} cannot be read: {error}", "train again: baseline train"
        ) from error


def weights_size(folder: Path) -> int | None:
    """Return bytes of the weights' file that the settings name; None where it is gone.

    It has another name than `WEIGHTS` once the gallery of a run was changed.
    """
    try:
        described = json.loads((folder / SETTINGS).read_bytes())
        return (folder / Path(described.get("weights", WEIGHTS)).name).stat().st_size
    except (OSError, ValueError, TypeError, AttributeError):
        return None
