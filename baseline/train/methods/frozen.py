"""What a method learns on whose backbone stays as it is: features on one scale, made once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from baseline.features.scaling import Scaling
from baseline.settings import Transfer, Triplet
from baseline.train.batches import FeatureSamples
from baseline.train.callbacks import TrainingCallback
from baseline.train.methods.logistic import Floats, TrainRows
from baseline.train.methods.part_weights import choose_part_weights, weights_by_setting
from baseline.train.methods.pretrained import pretrained
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import FeatureNet
from baseline.train.objective import check_classes, class_weights


@dataclass(frozen=True, slots=True)
class FrozenFeatures:
    """The samples of train as `net`'s backbone sees them (`rows`, N x V x D, scaled), by `keys`.

    The first layer of what learnt on them takes features as they come after `fold_into`.
    """

    net: FeatureNet
    rows: TrainRows
    keys: tuple[str, ...]
    scaling: Scaling
    facts: dict[str, Any]

    @classmethod
    def of(
        cls, material: TrainingData, settings: Transfer | Triplet, watch: TrainingCallback
    ) -> FrozenFeatures:
        """Make features, and weigh their parts; the weights are said.

        Raises `InputUnusable` where classes are missing, `UsageError` where the setting does not
        fit the parts.
        """
        keys = tuple(sample.key for sample in material.examples.splits["train"])
        check_classes(material.classes_of("train", keys), material.classes)
        net, facts = pretrained(settings, len(material.classes), watch)
        seen = material.train_features(net.backbone)
        y = material.classes_of("train", seen.keys)
        check_classes(y, material.classes)
        # A rare class weighs more: to draw it more often comes to the same in a sum.
        balance = "none" if settings.balance == "none" else "weights"
        own = class_weights(y, len(material.classes), balance, material.examples.weights)
        weights: Floats = own.numpy()[y].astype(np.float64)
        rows = TrainRows(seen.vectors, y, weights, material.moments_of(seen.keys))
        parts = net.backbone.parts
        chosen = weights_by_setting(settings.part_weights, parts)
        if chosen is None:
            plain = Scaling.of(rows.x, net.backbone).applied(rows.x[:, 0]).astype(np.float64)
            expected = material.expected_weights(parts)
            chosen = choose_part_weights(replace(rows, x=plain), parts, expected, settings.seed)
        if words := chosen.words(parts):
            watch.say(words)
        scaling = Scaling.of(rows.x, net.backbone, chosen.weights)
        facts |= chosen.to_json(parts) | {"views": rows.x.shape[1]}
        return cls(net, replace(rows, x=scaling.applied(rows.x)), seen.keys, scaling, facts)

    @property
    def train(self) -> FeatureSamples:
        """What is learnt from."""
        return FeatureSamples(self.rows.x, self.rows.y)

    def val(self, material: TrainingData) -> FeatureSamples:
        """Return what the training is watched on."""
        seen = material.features("val", self.net.backbone)
        y = material.classes_of("val", seen.keys)
        return FeatureSamples(self.scaling.applied(seen.vectors), y)


def fold_into(scaling: Scaling, layer: nn.Linear) -> None:
    """Make a layer that learnt on scaled features take them as they come."""
    mean, deviation = (torch.from_numpy(v).to(layer.weight.device) for v in scaling)
    with torch.no_grad():
        weight = layer.weight.double() / deviation
        layer.bias.copy_(layer.bias.double() - weight @ mean)
        layer.weight.copy_(weight)


def first_layer(module: nn.Module) -> nn.Linear:
    """Return the first linear layer."""
    return next(layer for layer in module.modules() if isinstance(layer, nn.Linear))
