"""Cross-validation: train once for each fold, and predict the samples that it holds out.

Predictions are kept in the cache of the dataset, named by the settings and the data they were
learnt with: a command that was stopped goes on with the training that is missing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from baseline.data.grouped_split import with_val
from baseline.data.runs import forget_checkpoint, read_part, write_part
from baseline.data.samples import Examples
from baseline.judge.outputs import Outputs, load_outputs, save_outputs
from baseline.settings import Settings, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.inference import feature_scale, split_outputs, with_distances
from baseline.train.methods.pretrained import pretrained_backbone
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.progress import Progress

FORMAT = 1
"""Raised when the same training comes to give other predictions."""
FOLDER = "trainings"
RESULT = "result.json"
HELD_OUT = "held out"


class Fold(NamedTuple):
    """One training: it learns from train of `examples` and predicts the split `held_out`."""

    examples: Examples
    held_out: str = "test"


class FoldResult(NamedTuple):
    """Predictions of one training for the samples it held out; `epochs` is 0 for a solved head."""

    outputs: Outputs
    epochs: int = 0
    seconds: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """The share of right predictions; None where nothing was held out."""
        return float(self.outputs.right.mean()) if len(self.outputs) else None


class _KeptResult(msgspec.Struct):
    epochs: int
    seconds: float


def folds_with_val(parts: Iterable[Examples], seed: int) -> list[Fold]:
    """Return a fold for each part, with a val that is cut from its train."""
    return [Fold(with_val(part, seed)[0]) for part in parts]


def cross_validate(
    dataset: Dataset,
    settings: Settings,
    folds: Sequence[Fold],
    progress: Progress | None = None,
    name: str = "folds",
) -> Iterator[FoldResult]:
    """Yield the predictions of each fold in order, by a training for each that is not kept yet.

    Raises what training raises: `UsageError` where it diverges.
    """
    progress = progress or Progress(quiet=True)
    missing = [fold for fold in folds if not is_kept(dataset, settings, fold)]
    if len(missing) > 1:
        _make_features(dataset, settings, missing, progress)
    results = (_fold_result(dataset, settings, fold) for fold in folds)
    yield from progress.over(results, name, len(folds), " trainings")


def is_kept(dataset: Dataset, settings: Settings, fold: Fold) -> bool:
    """Return whether the predictions of a training are known already."""
    return (_training_folder(dataset, settings, fold) / RESULT).is_file()


def training_key(settings: Settings, fold: Fold) -> str:
    """Return a name that is equal for equal settings, samples, labels, splits and moments."""
    examples = fold.examples
    moments = [
        (split, sample.key, examples.moments[sample.key])
        for split, samples in examples.splits.items()
        for sample in samples
    ]
    text = repr((FORMAT, settings.to_json(), examples.fingerprint(), moments, fold.held_out))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _training_folder(dataset: Dataset, settings: Settings, fold: Fold) -> Path:
    return dataset.cache / FOLDER / training_key(settings, fold)


def _fold_result(dataset: Dataset, settings: Settings, fold: Fold) -> FoldResult:
    if not fold.examples.splits[fold.held_out]:
        scores = np.zeros((0, len(fold.examples.classes)), np.float32)
        return FoldResult(Outputs(scores, np.zeros(0, np.int64), ()))
    folder = _training_folder(dataset, settings, fold)
    kept = read_part(folder, RESULT, _KeptResult, f"remove {folder}, and run it again")
    if kept is not None and (outputs := load_outputs(folder).get(HELD_OUT)) is not None:
        return FoldResult(outputs, kept.epochs, kept.seconds)
    start = time.monotonic()
    data = TrainingData(dataset, fold.examples, settings, Progress(quiet=True), folder)
    outputs, epochs = _train(data, fold.held_out)
    result = FoldResult(outputs, epochs, round(time.monotonic() - start, 2))
    save_outputs(folder, {HELD_OUT: outputs})
    # Last, because a training counts as done once it has its result.
    write_part(folder, RESULT, _KeptResult(result.epochs, result.seconds))
    forget_checkpoint(folder)
    return result


def _train(data: TrainingData, held_out: str) -> tuple[Outputs, int]:
    """Return predictions for a split, with distances where features stand for images."""
    fitted = fit_method(data, data.settings)
    outputs = split_outputs(fitted.net, data, held_out)
    if not np.isfinite(outputs.logits).all():
        raise UsageError("training diverged: scores are not finite", "use a lower learning rate")
    if data.frozen_backbone:
        train = split_outputs(fitted.net, data, "train")
        outputs = with_distances(outputs, feature_scale(fitted.net, train))
    return outputs, len(fitted.history)


def _make_features(
    dataset: Dataset, settings: Settings, folds: Sequence[Fold], progress: Progress
) -> None:
    """Extract the features of all samples in one pass, where the folds learn from features.

    Otherwise each fold would extract a part of them, and load the backbone again. Samples that no
    fold trains on have no augmented views.
    """
    splits = [split for fold in folds for split in fold.examples.splits.items()]
    learnt = {sample.key: sample for name, part in splits if name == "train" for sample in part}
    others = {sample.key: sample for _, part in splits for sample in part}
    rest = [sample for key, sample in sorted(others.items()) if key not in learnt]
    train = tuple(sample for _, sample in sorted(learnt.items()))
    parts: dict[str, tuple[Sample, ...]] = {"train": train, "val": tuple(rest), "test": ()}
    examples = replace(folds[0].examples, splits=parts)
    data = TrainingData(dataset, examples, settings, progress)
    if data.frozen_backbone and isinstance(settings, Transfer | Triplet):
        with suppress(UsageError, InputUnusable):  # the training itself reports it
            backbone = pretrained_backbone(settings, TrainingCallback())[0]
            data.train_features(backbone)
            data.features("val", backbone)
