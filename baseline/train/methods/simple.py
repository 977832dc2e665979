"""A small convolutional network, trained from nothing."""

from __future__ import annotations

from baseline.features.compute import reproducible
from baseline.settings import Simple
from baseline.train.loop.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop.classifier import train_classifier
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import Net, build_net


def fit_simple(
    material: TrainingData, settings: Simple, watch: TrainingCallback
) -> TrainingResult[Net]:
    """Train on the pictures of train, watched on those of val."""
    with reproducible(settings.seed):
        net = build_net(settings, len(material.classes))
    return train_classifier(
        net,
        material.arrays("train"),
        material.arrays("val"),
        material.classes,
        settings,
        weights=material.examples.weights,
        watch=watch,
        place=material.place,
    )
