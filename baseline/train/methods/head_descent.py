"""Heads trained on features by gradient descent."""

from __future__ import annotations

import torch
from torch import nn

from baseline.data.samples import compute_class_weights
from baseline.features.compute import reproducible
from baseline.settings import Transfer
from baseline.train.batches import CrossEntropyObjective, FeatureSamples, choose_sampler
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, train_network
from baseline.train.methods.frozen import FrozenFeatures
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import build_class_head
from baseline.train.trained_net import ClassHead, LinearLayer


def fit_descent_head(
    frozen: FrozenFeatures, data: TrainingData, settings: Transfer, callback: TrainingCallback
) -> TrainingResult[ClassHead]:
    """Train a head of one or two layers on scaled features."""
    train, classes = FeatureSamples(frozen.rows.x, frozen.rows.y), len(data.classes)
    with reproducible(settings.seed):
        head = build_class_head(settings, frozen.backbone.width, classes)
    weights = compute_class_weights(train.y, classes, settings.balance, data.examples.weights)
    sampler = choose_sampler(train.y, settings.balance, settings.batch)
    objective, val = (
        CrossEntropyObjective(torch.from_numpy(weights)),
        FeatureSamples(*frozen.val(data)),
    )
    task = TrainingTask(head, train, objective, sampler, settings, val)
    fitted = train_network(task, callback, data.checkpoint_folder)
    return fitted.with_net(ClassHead(tuple(linear_layers(head))))


def linear_layers(network: nn.Module) -> list[LinearLayer]:
    """Return the linear layers of a network, in order."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [
        LinearLayer(layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy())
        for layer in layers
    ]
