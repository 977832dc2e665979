"""The metrics of a run, `metrics.json` in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseline.data.runs import METRICS
from baseline.evaluation.calibration import ScoreCalibration
from baseline.evaluation.metrics import SplitMetrics
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count

if TYPE_CHECKING:
    from baseline.data.samples import Examples


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Metrics of one epoch; those of validation are None without validation samples.

    Losses are those of the method (cross entropy in nats, class-weighted if set). `seconds` and
    `images_per_second` count training, not validation; `learning_rate` is that of the last step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    learning_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """The content of `metrics.json`.

    `data` has the number of images, `training` facts from the method, `gap` the accuracy on train
    minus that on other splits, `copies` the `summarize_copy_search` of test.
    """

    classes: list[str]
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    parameters: int | None = None
    training: dict[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    calibration: ScoreCalibration | None = None
    train: SplitMetrics | None = None
    val: SplitMetrics | None = None
    test: SplitMetrics | None = None
    gap: dict[str, float] = field(default_factory=dict)
    copies: dict[str, int] | None = None

    @property
    def has_no_copies(self) -> bool:
        """Whether test was searched for near-duplicates of training images and has none."""
        return is_free_of_copies(self.copies)

    @property
    def copies_note(self) -> str:
        """How independent test is of train, as a sentence."""
        words = describe_copy_search(self.copies)
        return f"{words[0].upper()}{words[1:]}."

    @property
    def course(self) -> str:
        """How the model was trained, as the rest of a sentence."""
        if self.epochs:
            epochs = count(len(self.epochs), "epoch")
            return f"{epochs}, best epoch {self.best_epoch}{self._block_weights}"
        if "strength" not in self.training:
            return "no epochs are recorded"
        warning = "" if self.training.get("converged", True) else ", not converged"
        return (
            f"logistic regression on features (C = {self.training['strength']:g}){warning}, "
            f"fitted without epochs{self._block_weights}"
        )

    @property
    def _block_weights(self) -> str:
        weights = self.training.get("parts", {})
        if len(weights) < 2:
            return ""
        listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        return f"; block weights: {listed} (by {self.training['parts_by']})"

    @property
    def splits(self) -> dict[str, SplitMetrics]:
        """The splits that were evaluated."""
        metrics = {"train": self.train, "val": self.val, "test": self.test}
        return {name: figures for name, figures in metrics.items() if figures is not None}


def write_metrics(folder: Path, figures: RunMetrics, *, scratch: Path | None = None) -> None:
    """Write `metrics.json`. Raises NotWritable or DiskFull."""
    text = json.dumps(msgspec.to_builtins(figures), ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)


def read_metrics(folder: Path) -> RunMetrics:
    """Return the metrics of a run. Raises `InputUnusable`."""
    path = folder / METRICS
    try:
        # `json` instead of msgspec: it reads NaN.
        return msgspec.convert(json.loads(path.read_bytes()), RunMetrics, strict=False)
    except FileNotFoundError:
        raise InputUnusable(
            f"run {folder.name} has no metrics: {path} is missing",
            "name another run (gleanset list runs), or train again: baseline train",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", "baseline train") from error


def summarize_copy_search(dataset: Dataset, examples: Examples, split: str) -> dict[str, int]:
    """Count the images of train and `split` (`images`) and those `searched` for duplicates.

    `torn` counts the images of the split that share a group with train.
    """
    keys = {sample.key for part in {"train", split} for sample in examples.splits[part]}
    searched = Pairs(dataset.db).count_searched(keys)
    return {
        "images": len(keys),
        "searched": searched,
        "torn": examples.count_leaked_samples(split),
    }


def is_free_of_copies(search: Mapping[str, Any] | None) -> bool:
    """Return whether all images were searched for duplicates and no group is in both splits.

    Runs of earlier versions recorded None.
    """
    return search is not None and search["searched"] == search["images"] and not search["torn"]


def describe_copy_search(search: Mapping[str, Any] | None) -> str:
    """Say how independent the images of a split are of the training images."""
    if search and search["torn"]:
        images = count(search["torn"], "image")
        return f"not a true test: {images} in groups of training images"
    if is_free_of_copies(search):
        return "no near-duplicates of training images"
    searched = "not searched"
    if search and search["searched"]:
        searched = f"only {search['searched']:,} of {search['images']:,} images searched"
    return f"{searched} for near-duplicates of training images (labeler split does)"
