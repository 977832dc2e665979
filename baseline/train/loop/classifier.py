"""Training a classifier on the pictures of two splits, with the loop that all methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from baseline.data.samples import Arrays
from baseline.features.compute import reproducible
from baseline.judge.run_figures import EpochReport
from baseline.settings import Finetune, Simple
from baseline.train.loop.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop.dataset import PictureSamples
from baseline.train.loop.objective import Classify, class_weights
from baseline.train.loop.samplers import sampler_for
from baseline.train.loop.trainer import train_network
from baseline.train.networks import Net, build_net
from gleanset.errors import InputUnusable


def train_classifier(
    net: Net,
    train: Arrays,
    val: Arrays,
    classes: Sequence[str],
    settings: Simple | Finetune,
    *,
    weights: Sequence[float] = (),
    watch: TrainingCallback | None = None,
    place: Path | None = None,
    frozen: nn.Module | None = None,
    frozen_epochs: int = 0,
) -> TrainingResult[Net]:
    """Train `net` on `train`, watch it on `val`, keep the best weights; see `train_network`.

    `weights` are those of the classes in the loss, in their order; none means all alike. An empty
    `val` is allowed. Raises InputUnusable where nothing can be learnt, UsageError where the
    settings make the loss infinite.
    """
    check_classes(train.y, classes)
    objective = Classify(class_weights(train.y, len(classes), settings.balance, weights))
    sampler = sampler_for(train.y, settings.balance, settings.batch)
    return train_network(
        net,
        PictureSamples(train, settings.augment),
        objective,
        sampler,
        settings,
        val=PictureSamples(val),
        watch=watch,
        place=place,
        frozen=frozen,
        frozen_epochs=frozen_epochs,
    )


def train_small_network(
    train: Arrays,
    val: Arrays,
    classes: Sequence[str],
    settings: Simple,
    on_epoch: Callable[[EpochReport], None],
    weights: Sequence[float] = (),
) -> TrainingResult[Net]:
    """Train a small network from nothing; `on_epoch` is called after every epoch."""
    check_classes(train.y, classes)
    with reproducible(settings.seed):
        net = build_net(settings, len(classes))
    watch = _EpochCallback(on_epoch)
    return train_classifier(net, train, val, classes, settings, weights=weights, watch=watch)


class _EpochCallback(TrainingCallback):
    def __init__(self, on_epoch: Callable[[EpochReport], None]) -> None:
        self._on_epoch = on_epoch

    def epoch(self, report: EpochReport) -> None:
        self._on_epoch(report)


def check_classes(y: np.ndarray, classes: Sequence[str]) -> None:
    """Raise `InputUnusable` where there is nothing to tell apart, or a class without samples."""
    if len(classes) < 2:
        raise InputUnusable(
            f"A classifier needs at least 2 classes, and there is {len(classes)}.",
            "Label pictures of another class, then split again: labeler split",
        )
    if not len(y):
        raise InputUnusable(
            "There is no picture to train on: the train split is empty.",
            "Label pictures, then split them: labeler split",
        )
    counts = np.bincount(y, minlength=len(classes))
    bare = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if bare:
        raise InputUnusable(
            f"No training picture for: {', '.join(bare)}.",
            "Label more pictures of it, or give train a larger share: labeler split --ratio 8:1:1",
        )
