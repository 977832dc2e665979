"""A small convolutional network, trained from scratch."""

from __future__ import annotations

from baseline.data.samples import check_classes
from baseline.features.compute import reproducible
from baseline.settings import Simple
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import make_classifier_task, train_network
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import build_net, to_trained_net
from baseline.train.trained_net import TrainedNet


def fit_simple(
    data: TrainingData, settings: Simple, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train on train with early stopping on val."""
    train, val = data.arrays("train"), data.arrays("val")
    check_classes(train.y, data.classes)
    with reproducible(settings.seed):
        net = build_net(settings, len(data.classes))
    task = make_classifier_task(net, train, val, settings, data.examples.weights)
    fitted = train_network(task, callback, data.checkpoint_folder)
    return fitted.with_net(to_trained_net(fitted.net, settings))
