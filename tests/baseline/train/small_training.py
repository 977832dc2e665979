"""A small network trained on drawn patterns, for tests of the training loop."""

from collections.abc import Callable
from typing import NamedTuple

from drawn_dataset import none
from torch import nn

from baseline.data.samples import Arrays
from baseline.evaluation.metrics import EpochReport
from baseline.features.compute import reproducible
from baseline.settings import Simple
from baseline.train.loop import make_classifier_task, train_network
from baseline.train.networks import SmallNet
from baseline.train.training import TrainingCallback


class SmallTraining(NamedTuple):
    """A trained network, and how it was trained."""

    net: nn.Module
    history: tuple[EpochReport, ...]
    best_epoch: int
    device: str
    precision: str


def train_small(
    train: Arrays,
    settings: Simple,
    val: Arrays | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> SmallTraining:
    """Train from scratch; `on_epoch` is called after every epoch."""
    with reproducible(settings.seed):
        net = SmallNet(settings, int(train.y.max()) + 1)
    task = make_classifier_task(net, train, none() if val is None else val, settings)
    callback = TrainingCallback()
    callback.on_epoch_end = on_epoch
    return SmallTraining(net, *train_network(task, callback, None))
