"""The table of methods, and the one call that trains by any of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from baseline.extras import need_torch, need_transfer
from baseline.settings import Settings
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import TrainedNet

TrainingMethod = Callable[[TrainingData, Settings, TrainingCallback], TrainingResult[TrainedNet]]


def method_named(name: str) -> TrainingMethod:
    """Return `fit_<name>` of `<name>.py` beside this module, as `settings.METHODS` has it.

    It is imported now and not before: some methods need libraries that take seconds.
    """
    module = import_module(f"baseline.train.methods.{name}")
    method: TrainingMethod = getattr(module, f"fit_{name}")
    return method


def need_for(settings: Settings) -> None:
    """Raise `MissingComponent` where something is not installed that these settings need."""
    need_transfer()
    if settings.by_gradients:
        need_torch()


def fit_method(
    material: TrainingData, settings: Settings, watch: TrainingCallback | None = None
) -> TrainingResult[TrainedNet]:
    """Train by the method that `settings` are of.

    The `facts` of what comes back are JSON values for the metrics. Raises `InputUnusable` where
    the material has fewer than two classes or a class without pictures in train, and what
    loading weights raises.
    """
    need_for(settings)
    return method_named(settings.method)(material, settings, watch or TrainingCallback())
