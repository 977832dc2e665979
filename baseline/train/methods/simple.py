"""A small convolutional network, trained from nothing."""

from __future__ import annotations

from baseline.data.samples import check_classes
from baseline.features.compute import reproducible
from baseline.settings import Simple
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import classifier_task, train_network
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import build_net, learnt
from baseline.train.trained_net import TrainedNet


def fit_simple(
    material: TrainingData, settings: Simple, watch: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train on the pictures of train, watched on those of val."""
    train, val = material.arrays("train"), material.arrays("val")
    check_classes(train.y, material.classes)
    with reproducible(settings.seed):
        net = build_net(settings, len(material.classes))
    task = classifier_task(net, train, val, settings, material.examples.weights)
    fitted = train_network(task, watch, material.place)
    return fitted.with_net(learnt(fitted.net, settings))
