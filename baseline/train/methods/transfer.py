"""A head on the features of a backbone that stays as it is; the features are made once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from baseline.settings import Transfer
from baseline.train.batches import sampler_for
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, train_network
from baseline.train.methods.frozen import FrozenFeatures, first_layer, fold_into
from baseline.train.methods.logistic import choose_strength, solve
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import Net
from baseline.train.objective import Classify, class_weights


def fit_transfer(
    material: TrainingData, settings: Transfer, watch: TrainingCallback
) -> TrainingResult[Net]:
    """Learn a head: solved as a logistic regression, or by descent as 'linear' or 'mlp'."""
    frozen = FrozenFeatures.of(material, settings, watch)
    if settings.head == "logistic":
        fitted = _solved(frozen, settings, watch)
    else:
        fitted = _descended(frozen, material, settings, watch)
    fold_into(frozen.scaling, first_layer(frozen.net.head))
    return replace(fitted, net=frozen.net.eval(), facts=fitted.facts | frozen.facts)


def _solved(
    frozen: FrozenFeatures, settings: Transfer, watch: TrainingCallback
) -> TrainingResult[Any]:
    layers = frozen.net.backbone.layers
    rows = replace(frozen.rows, x=frozen.rows.x.astype(np.float64))
    facts: dict[str, Any] = {"strength": settings.strength, "strength_by": "settings"}
    if not settings.strength:
        chosen = choose_strength(rows, layers, settings.seed)
        facts = {
            "strength": chosen.strength,
            "strength_by": chosen.by,
            "strengths_tried": {str(k): v for k, v in chosen.losses.items()},
        }
        watch.say(f"strength {chosen.strength:g}, by {chosen.by}")
    layer = first_layer(frozen.net.head)
    solved = solve(rows, facts["strength"], layers)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(solved.coefficients))
        layer.bias.copy_(torch.from_numpy(solved.bias))
    facts["converged"] = solved.converged
    return TrainingResult(frozen.net, (), 0, False, False, "cpu", "fp32", facts)


def _descended(
    frozen: FrozenFeatures, material: TrainingData, settings: Transfer, watch: TrainingCallback
) -> TrainingResult[Any]:
    train = frozen.train
    weights = class_weights(
        train.y, len(material.classes), settings.balance, material.examples.weights
    )
    sampler = sampler_for(train.y, settings.balance, settings.batch)
    # The head alone: its backbone would be copied and hashed in vain.
    head, val = frozen.net.head, frozen.val(material)
    task = TrainingTask(head, train, Classify(weights), sampler, settings, val)
    return train_network(task, watch, material.place)
