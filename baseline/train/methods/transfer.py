"""A head on the features of a backbone that stays as it is; the features are made once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.features.scaling import Scaling
from baseline.settings import Transfer
from baseline.train.batches import FeatureSamples, sampler_for
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, train_network
from baseline.train.methods.logistic import TrainRows, choose_strength, solve
from baseline.train.methods.part_weights import weigh_train
from baseline.train.methods.pretrained import pretrained
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import FeatureNet, Net, fold_into
from baseline.train.objective import Classify, check_classes, class_weights


class _Head(nn.Module):
    """A head without its backbone, which would be copied and hashed in vain."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head


def fit_transfer(
    material: TrainingData, settings: Transfer, watch: TrainingCallback
) -> TrainingResult[Net]:
    """Learn a head: solved as a logistic regression, or by descent as 'linear' or 'mlp'."""
    check_classes(material.classes_of("train", _keys(material)), material.classes)
    net, facts = pretrained(settings, len(material.classes), watch)
    seen = material.train_features(net.backbone)
    train = material.labelled("train", seen)
    check_classes(train.y, material.classes)
    weights = _sample_weights(train, material, settings)
    groups = material.moments_of(seen.keys)
    rows = TrainRows(train.x, train.y, weights, groups)
    scaling, weighed = weigh_train(material, rows, net.backbone, settings, watch)
    scaled = FeatureSamples(scaling.applied(train.x), train.y)
    if settings.head == "logistic":
        rows = replace(rows, x=scaled.x.astype(np.float64))
        fitted = _solved(net, rows, settings, watch)
    else:
        fitted = _descended(net, scaled, scaling, material, settings, watch)
    fold_into(scaling, _first_layer(net.head))
    return replace(fitted, net=net, facts=fitted.facts | facts | weighed)


def _sample_weights(
    train: FeatureSamples, material: TrainingData, settings: Transfer
) -> npt.NDArray[np.float64]:
    """Return what each sample of train counts in the loss: N."""
    # A rare class weighs more; to draw it more often comes to the same where a sum is minimised.
    balance = "none" if settings.balance == "none" else "weights"
    classes = len(material.classes)
    per_class = class_weights(train.y, classes, balance, material.examples.weights)
    weights: npt.NDArray[np.float64] = per_class.numpy()[train.y].astype(np.float64)
    return weights


def _keys(material: TrainingData) -> tuple[str, ...]:
    return tuple(sample.key for sample in material.examples.splits["train"])


def _first_layer(head: nn.Module) -> nn.Linear:
    return next(layer for layer in head.modules() if isinstance(layer, nn.Linear))


def _solved(
    net: FeatureNet,
    rows: TrainRows,
    settings: Transfer,
    watch: TrainingCallback,
) -> TrainingResult[Net]:
    facts: dict[str, Any] = {"strength": settings.strength, "strength_by": "settings"}
    if not settings.strength:
        chosen = choose_strength(rows, net.backbone.layers, settings.seed)
        facts = {
            "strength": chosen.strength,
            "strength_by": chosen.by,
            "strengths_tried": {str(k): v for k, v in chosen.losses.items()},
        }
        watch.say(f"strength {chosen.strength:g}, by {chosen.by}")
    layer = _first_layer(net.head)
    solved = solve(rows, facts["strength"], net.backbone.layers)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(solved.coefficients))
        layer.bias.copy_(torch.from_numpy(solved.bias))
    facts["converged"] = solved.converged
    return TrainingResult(net.eval(), (), 0, False, False, "cpu", "fp32", facts)


def _descended(
    net: Net,
    train: FeatureSamples,
    scaling: Scaling,
    material: TrainingData,
    settings: Transfer,
    watch: TrainingCallback,
) -> TrainingResult[Net]:
    backbone = net.get_submodule("backbone")
    seen = material.features("val", backbone)  # type: ignore[arg-type]
    val = FeatureSamples(scaling.applied(seen.vectors), material.classes_of("val", seen.keys))
    weights = class_weights(
        train.y, len(material.classes), settings.balance, material.examples.weights
    )
    sampler = sampler_for(train.y, settings.balance, settings.batch)
    objective = Classify(weights, by_head=True)
    task = TrainingTask(_Head(net.head), train, objective, sampler, settings, val)
    fitted: TrainingResult[Any] = train_network(task, watch, material.place)
    return replace(fitted, net=net.eval())
