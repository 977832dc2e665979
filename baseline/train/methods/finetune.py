"""A pretrained backbone that learns as well, after its head had some epochs alone."""

from __future__ import annotations

from dataclasses import replace

from baseline.data.samples import check_classes
from baseline.features.compute import reproducible
from baseline.settings import Finetune
from baseline.train.batches import batch_size_for
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import TrainingTask, classifier_task, train_network
from baseline.train.methods.frozen import pretrained_backbone
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import BackboneNet, Net, build_net, keep_norms, learnt
from baseline.train.trained_net import TrainedNet


def fit_finetune(
    material: TrainingData, settings: Finetune, watch: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train head, then all, on the pictures of train, watched on those of val."""
    train = material.arrays("train")
    check_classes(train.y, material.classes)
    backbone, facts = pretrained_backbone(settings, watch)
    with reproducible(settings.seed):
        net = build_net(settings, len(material.classes), backbone)
    assert isinstance(net, BackboneNet)
    batch = batch_size_for(len(train), settings.batch)
    facts["norms"] = keep_norms(net.backbone, settings.weights, batch, watch)
    val, weights = material.arrays("val"), material.examples.weights
    task: TrainingTask[Net] = classifier_task(net, train, val, settings, weights)
    resting = replace(task, frozen=net.backbone, frozen_epochs=settings.warm_up)
    fitted = train_network(resting, watch, material.place)
    return fitted.with_net(learnt(fitted.net, settings, backbone), facts)
