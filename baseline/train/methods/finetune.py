"""A pretrained backbone that learns as well, after its head had some epochs alone."""

from __future__ import annotations

from dataclasses import replace

from baseline.settings import Finetune
from baseline.train.loop.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop.classifier import check_classes, train_classifier
from baseline.train.loop.samplers import batch_size_for
from baseline.train.methods.pretrained import keep_norms, pretrained
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import Net


def fit_finetune(
    material: TrainingData, settings: Finetune, watch: TrainingCallback
) -> TrainingResult[Net]:
    """Train head, then all, on the pictures of train, watched on those of val."""
    train = material.arrays("train")
    check_classes(train.y, material.classes)
    net, facts = pretrained(settings, len(material.classes), watch)
    batch = batch_size_for(len(train), settings.batch)
    facts["norms"] = keep_norms(net.backbone, settings.weights, batch, watch)
    fitted: TrainingResult[Net] = train_classifier(
        net,
        train,
        material.arrays("val"),
        material.classes,
        settings,
        weights=material.examples.weights,
        watch=watch,
        place=material.place,
        frozen=net.backbone,
        frozen_epochs=settings.warm_up,
    )
    return replace(fitted, facts=fitted.facts | facts)
