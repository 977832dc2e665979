"""The table of methods, and the one call that trains by any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baseline.loop.reports import Fitted, Watch
from baseline.methods import finetune, simple, transfer, triplet
from baseline.methods.training_data import TrainingData
from baseline.networks import Net
from baseline.settings import Finetune, Settings, Simple, Transfer, Triplet

METHODS: dict[type[Settings], Callable[[TrainingData, Any, Watch], Fitted[Net]]] = {
    Simple: simple.fit_simple,
    Transfer: transfer.fit_transfer,
    Finetune: finetune.fit_finetune,
    Triplet: triplet.fit_triplet,
}


def fit_method(
    material: TrainingData, settings: Settings, watch: Watch | None = None
) -> Fitted[Net]:
    """Train by the method that `settings` are of.

    The `facts` of what comes back are JSON values for the metrics. Raises `InputUnusable` where
    the material has fewer than two classes or a class without pictures in train, and what
    loading weights raises.
    """
    return METHODS[type(settings)](material, settings, watch or Watch())
