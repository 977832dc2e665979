"""The table of methods, and the one call that trains by any of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from baseline.extras import require_torch, require_transfer
from baseline.settings import Settings
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import TrainedNet

TrainingMethod = Callable[[TrainingData, Settings, TrainingCallback], TrainingResult[TrainedNet]]


def load_method(name: str) -> TrainingMethod:
    """Return `fit_<name>` of `<name>.py` beside this module, as `settings.METHODS` has it.

    It is imported now and not before: some methods need libraries that take seconds.
    """
    module = import_module(f"baseline.train.methods.{name}")
    method: TrainingMethod = getattr(module, f"fit_{name}")
    return method


def require_packages(settings: Settings) -> None:
    """Raise `MissingComponent` where something is not installed that these settings need."""
    require_transfer()
    if settings.uses_gradients:
        require_torch()


def fit_method(
    data: TrainingData, settings: Settings, callback: TrainingCallback | None = None
) -> TrainingResult[TrainedNet]:
    """Train by the method that `settings` are of.

    The `facts` of what comes back are JSON values for the metrics. Raises `InputUnusable` where
    the material has fewer than two classes or a class without pictures in train, and what
    loading weights raises.
    """
    require_packages(settings)
    return load_method(settings.method)(data, settings, callback or TrainingCallback())
