"""Cross-validation: train for each fold and predict its held-out samples.

Predictions are cached in the dataset by settings and data, so that an interrupted command resumes
with the next fold.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from baseline.data.runs import read_run_json, remove_checkpoint, write_run_json
from baseline.data.samples import Examples, ensure_val
from baseline.evaluation.outputs import (
    Outputs,
    load_outputs,
    save_outputs,
)
from baseline.settings import Settings, Transfer, Triplet
from baseline.train.methods.transfer import load_pretrained_backbone
from baseline.train.training import (
    TrainingCallback,
    TrainingData,
    compute_split_outputs,
    feature_scale,
    fit_method,
    with_distances,
)
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.store import hash_bytes
from gleanset.records import Sample
from gleanset.work.progress import NO_PROGRESS, Progress

FORMAT = 3
"""To be increased when the same training gives other predictions."""
FOLDER = "trainings"
RESULT = "result.json"
HELD_OUT = "held out"


class FoldResult(NamedTuple):
    """Out-of-fold predictions of one training."""

    outputs: Outputs
    seconds: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the held-out samples, None if there are none."""
        if not len(self.outputs):
            return None
        return float(self.outputs.right.mean())


class _CachedResult(msgspec.Struct):
    seconds: float


def folds_with_val(parts: Iterable[Examples], seed: int) -> list[Examples]:
    """Return the folds, each with a val split off its train."""
    return [ensure_val(part, seed)[0] for part in parts]


def cross_validate(
    dataset: Dataset,
    settings: Settings,
    folds: Sequence[Examples],
    progress: Progress,
    name: str = "folds",
) -> Iterator[FoldResult]:
    """Train on train of each fold and yield its predictions of test, in order.

    Cached predictions are used. Raises what training raises: `UsageError` if it diverges.
    """
    missing = [fold for fold in folds if not is_cached(dataset, settings, fold)]
    if len(missing) > 1:
        _compute_features(dataset, settings, missing, progress)
    results = (_train_fold(dataset, settings, fold) for fold in folds)
    yield from progress.over(
        results,
        name,
        total=len(folds),
        unit=" trainings",
    )


def is_cached(dataset: Dataset, settings: Settings, fold: Examples) -> bool:
    """Return whether the predictions of a fold are cached."""
    return (_training_folder(dataset, settings, fold) / RESULT).is_file()


def compute_training_key(settings: Settings, fold: Examples) -> str:
    """Return a hash of settings, samples, labels, splits and groups."""
    # Groups are not in the fingerprint, but choices by folds within train depend on them.
    groups = []
    for split, samples in fold.splits.items():
        groups += [(split, sample.key, fold.groups[sample.key]) for sample in samples]
    text = repr((FORMAT, settings.to_json(), fold.fingerprint(), groups))
    return hash_bytes(text.encode())[:24]


def _training_folder(dataset: Dataset, settings: Settings, fold: Examples) -> Path:
    return dataset.cache / FOLDER / compute_training_key(settings, fold)


def _train_fold(dataset: Dataset, settings: Settings, fold: Examples) -> FoldResult:
    """Return the cached result of a fold, or train and cache it."""
    if not fold.splits["test"]:
        # Nothing of this fold can be held out: its groups are the only ones of their classes.
        no_scores = np.zeros((0, len(fold.classes)), np.float32)
        return FoldResult(Outputs(no_scores, y=np.zeros(0, np.int64), keys=()))

    folder = _training_folder(dataset, settings, fold)
    fix = f"remove {folder} and run again"
    result = read_run_json(folder, RESULT, _CachedResult, fix)
    if result is not None:
        outputs = load_outputs(folder).get(HELD_OUT)
        if outputs is not None:
            return FoldResult(outputs, result.seconds)

    start = time.monotonic()
    data = TrainingData(
        dataset,
        fold,
        settings,
        NO_PROGRESS,
        folder,
    )
    outputs = _train_and_predict(data)
    seconds = round(time.monotonic() - start, 2)
    save_outputs(folder, {HELD_OUT: outputs})
    # Last, because a training is done once it has its result.
    write_run_json(folder, RESULT, _CachedResult(seconds))
    remove_checkpoint(folder)
    return FoldResult(outputs, seconds)


def _train_and_predict(data: TrainingData) -> Outputs:
    training = fit_method(data, data.settings)
    outputs = compute_split_outputs(training.net, data, "test")
    if not np.isfinite(outputs.logits).all():
        raise UsageError(
            "training diverged: scores are not finite", "use a lower learning rate"
        )

    # The distances of networks without a frozen backbone are not used, and would need all pixels of
    # train.
    if data.frozen_backbone:
        train = compute_split_outputs(training.net, data, "train")
        outputs = with_distances(outputs, feature_scale(training.net, train))
    return outputs


def _compute_features(
    dataset: Dataset, settings: Settings, folds: Sequence[Examples], progress: Progress
) -> None:
    """Extract the features of all samples in one pass, if the method uses features."""
    if not isinstance(settings, Transfer | Triplet):
        return
    samples: dict[str, Sample] = {}
    train_keys: set[str] = set()
    for fold in folds:
        samples |= {sample.key: sample for sample in fold.all_samples()}
        train_keys.update(sample.key for sample in fold.splits["train"])

    # The samples of all folds are read as two splits. Those in the train of any fold have augmented
    # views, the others ("val") only the plain one.
    train = [samples[key] for key in sorted(train_keys)]
    never_train = [samples[key] for key in sorted(samples.keys() - train_keys)]
    splits = {
        "train": tuple(train),
        "val": tuple(never_train),
        "test": (),
    }
    data = TrainingData(dataset, folds[0]._replace(splits=splits), settings, progress)
    # Computing stores them in the cache, which the training of each fold reads. That training also
    # reports what is missing.
    with suppress(UsageError, InputUnusable):
        backbone, _ = load_pretrained_backbone(settings, TrainingCallback())
        data.train_features(backbone)
        data.features("val", backbone)
