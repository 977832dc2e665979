"""A small convolutional network, trained from nothing."""

from __future__ import annotations

from baseline.compute import reproducible
from baseline.loop.callbacks import TrainingCallback, TrainingResult
from baseline.loop.classifier import train_classifier
from baseline.methods.training_data import TrainingData
from baseline.networks import Net, build_net
from baseline.settings import Simple


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
