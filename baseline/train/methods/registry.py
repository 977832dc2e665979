"""Training methods by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from baseline.extras import require_torch, require_transfer
from baseline.settings import Settings, Transfer
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import TrainedNet

TrainingMethod = Callable[[TrainingData, Settings, TrainingCallback], TrainingResult[TrainedNet]]


def load_method(name: str) -> TrainingMethod:
    """Import `fit_<name>` from this package (names as in `settings.METHODS`)."""
    file = "descent" if name in ("simple", "finetune") else name
    module = import_module(f"baseline.train.methods.{file}")
    method: TrainingMethod = getattr(module, f"fit_{name}")
    return method


def require_packages(settings: Settings) -> None:
    """Raise `MissingComponent` if a package that these settings need is not installed."""
    require_transfer()
    if not isinstance(settings, Transfer):
        require_torch()


def fit_method(
    data: TrainingData, settings: Settings, callback: TrainingCallback | None = None
) -> TrainingResult[TrainedNet]:
    """Train by the method of the settings.

    Raises `InputUnusable` for fewer than two classes or a class without training images, and what
    loading weights raises.
    """
    require_packages(settings)
    return load_method(settings.method)(data, settings, callback or TrainingCallback())
