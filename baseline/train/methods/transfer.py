"""A head on the features of a frozen backbone, which are computed once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from baseline.features.backbone import ImageShape
from baseline.settings import Transfer
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.methods.frozen import FrozenFeatures
from baseline.train.methods.logistic import choose_strength, fit_linear_head
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import ClassHead, LinearLayer, TrainedNet


def fit_transfer(
    data: TrainingData, settings: Transfer, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train a head: a logistic regression, or 'linear' or 'mlp' by gradient descent."""
    frozen = FrozenFeatures.compute(data, settings, callback)
    if settings.head == "logistic":
        fitted = _fit_logistic_head(frozen, settings, callback)
    else:
        # Imported here: a logistic regression does not need PyTorch.
        from baseline.train.methods.descent import fit_descent_head

        fitted = fit_descent_head(frozen, data, settings, callback)
    first, *rest = fitted.net.layers
    head = ClassHead((first.after(frozen.scaling), *rest))
    net = TrainedNet(frozen.backbone, head, ImageShape(settings.channels, settings.size))
    return fitted.with_net(net, frozen.facts)


def _fit_logistic_head(
    frozen: FrozenFeatures, settings: Transfer, callback: TrainingCallback
) -> TrainingResult[ClassHead]:
    layers = frozen.backbone.layers
    rows = replace(frozen.rows, x=frozen.rows.x.astype(np.float64))
    facts: dict[str, Any] = {"strength": settings.strength, "strength_by": "settings"}
    if not settings.strength:
        strength = choose_strength(rows, layers, settings.seed)
        facts = {
            "strength": strength.strength,
            "strength_by": strength.by,
            "strengths_tried": {str(k): v for k, v in strength.losses.items()},
        }
        callback.say(f"regularization: C = {strength.strength:g} ({strength.by})")
    linear = fit_linear_head(rows, facts["strength"], layers)
    facts["converged"] = linear.converged
    head = ClassHead((LinearLayer(linear.coefficients, linear.bias),))
    return TrainingResult(head, (), 0, False, False, "cpu", "fp32", facts)
