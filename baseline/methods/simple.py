"""A small convolutional network, trained from nothing."""

from __future__ import annotations

from baseline.compute import reproducible
from baseline.loop.reports import Fitted, Watch
from baseline.methods.training_data import TrainingData
from baseline.networks import Net, build_net
from baseline.settings import Simple
from baseline.training import learn_pictures


def fit_simple(material: TrainingData, settings: Simple, watch: Watch) -> Fitted[Net]:
    """Train on the pictures of train, watched on those of val."""
    with reproducible(settings.seed):
        net = build_net(settings, len(material.classes))
    return learn_pictures(
        net,
        material.arrays("train"),
        material.arrays("val"),
        material.classes,
        settings,
        weights=material.examples.weights,
        watch=watch,
        place=material.place,
    )
