"""Heads that learn on features by gradient descent."""

from __future__ import annotations

import torch
from torch import nn

from baseline.data.samples import class_weights
from baseline.features.compute import reproducible
from baseline.settings import Transfer
from baseline.train.batches import Classify, FeatureSamples, sampler_for
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, train_network
from baseline.train.methods.frozen import FrozenFeatures
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import class_head
from baseline.train.trained_net import ClassHead, LinearLayer


def descended_head(
    frozen: FrozenFeatures, material: TrainingData, settings: Transfer, watch: TrainingCallback
) -> TrainingResult[ClassHead]:
    """Learn a head of one layer, or of two, on scaled features."""
    train, classes = FeatureSamples(frozen.rows.x, frozen.rows.y), len(material.classes)
    with reproducible(settings.seed):
        head = class_head(settings, frozen.backbone.width, classes)
    weights = class_weights(train.y, classes, settings.balance, material.examples.weights)
    sampler = sampler_for(train.y, settings.balance, settings.batch)
    objective, val = Classify(torch.from_numpy(weights)), FeatureSamples(*frozen.val(material))
    task = TrainingTask(head, train, objective, sampler, settings, val)
    fitted = train_network(task, watch, material.place)
    return fitted.with_net(ClassHead(tuple(linear_layers(head))))


def linear_layers(network: nn.Module) -> list[LinearLayer]:
    """Return the numbers of all linear layers, in their order."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [
        LinearLayer(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())
        for layer in layers
    ]
