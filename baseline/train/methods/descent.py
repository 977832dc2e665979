"""Training by gradient descent: whole networks, and heads on features."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from baseline.data.samples import check_classes, compute_class_weights
from baseline.features.compute import reproducible
from baseline.settings import Finetune, Simple, Transfer
from baseline.train.batches import (
    CrossEntropyObjective,
    FeatureSamples,
    choose_batch_size,
    choose_sampler,
)
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, make_classifier_task, train_network
from baseline.train.methods.frozen import FrozenFeatures, load_pretrained_backbone
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import (
    BackboneNet,
    Net,
    build_class_head,
    build_net,
    configure_batch_norm,
    to_trained_net,
)
from baseline.train.trained_net import ClassHead, LinearLayer, TrainedNet


def fit_simple(
    data: TrainingData, settings: Simple, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train the small network on train with early stopping on val."""
    train, val = data.arrays("train"), data.arrays("val")
    check_classes(train.y, data.classes)
    with reproducible(settings.seed):
        net = build_net(settings, len(data.classes))
    task = make_classifier_task(net, train, val, settings)
    fitted = train_network(task, callback, data.checkpoint_folder)
    return fitted.with_net(to_trained_net(fitted.net, settings))


def fit_finetune(
    data: TrainingData, settings: Finetune, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train a head, then its pretrained backbone too, with early stopping on val."""
    train = data.arrays("train")
    check_classes(train.y, data.classes)
    backbone, facts = load_pretrained_backbone(settings, callback)
    with reproducible(settings.seed):
        net = build_net(settings, len(data.classes), backbone)
    assert isinstance(net, BackboneNet)
    batch = choose_batch_size(len(train), settings.batch)
    facts["norms"] = configure_batch_norm(net.backbone, settings.weights, batch, callback)
    val = data.arrays("val")
    task: TrainingTask[Net] = make_classifier_task(net, train, val, settings)
    task = replace(task, frozen=net.backbone, frozen_epochs=settings.warm_up)
    fitted = train_network(task, callback, data.checkpoint_folder)
    return fitted.with_net(to_trained_net(fitted.net, settings, backbone), facts)


def fit_descent_head(
    frozen: FrozenFeatures, data: TrainingData, settings: Transfer, callback: TrainingCallback
) -> TrainingResult[ClassHead]:
    """Train a head of one or two layers on scaled features."""
    train, classes = FeatureSamples(frozen.rows.x, frozen.rows.y), len(data.classes)
    with reproducible(settings.seed):
        head = build_class_head(settings, frozen.backbone.width, classes)
    weights = compute_class_weights(train.y, classes, settings.balance)
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
