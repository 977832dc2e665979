"""Training of whole networks by gradient descent."""

from __future__ import annotations

from dataclasses import replace

from baseline.data.samples import check_classes
from baseline.features.compute import reproducible
from baseline.settings import Finetune, Simple
from baseline.train.batches import choose_batch_size
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, make_classifier_task, train_network
from baseline.train.methods.training_data import TrainingData
from baseline.train.methods.transfer import load_pretrained_backbone
from baseline.train.networks import (
    BackboneNet,
    Net,
    build_net,
    configure_batch_norm,
    to_trained_net,
)
from baseline.train.trained_net import TrainedNet


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
