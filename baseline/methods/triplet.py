"""An embedding in which pictures of one class lie together, and the known ones to compare with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from baseline.loop.fit import JUDGED
from baseline.loop.fit import fit as descend
from baseline.loop.materials import Pictures, Vectors, plain_batches
from baseline.loop.plans import classes_by_pictures
from baseline.loop.reports import Fitted, Watch
from baseline.methods.discriminant import discriminant
from baseline.methods.gallery import make_gallery
from baseline.methods.material import Material
from baseline.methods.pretrained import keep_norms, pretrained
from baseline.methods.scaling import Scaling
from baseline.methods.triplet_loss import BatchHard
from baseline.networks import EmbeddingNet, Net
from baseline.settings import Triplet
from baseline.training import check_classes


def fit(material: Material, settings: Triplet, watch: Watch) -> Fitted[Net]:
    """Learn the projection of features, or with learn 'all' the backbone as well."""
    keys = tuple(sample.key for sample in material.examples.splits["train"])
    check_classes(material.classes_of("train", keys), material.classes)
    net, facts = pretrained(settings, len(material.classes), watch)
    assert isinstance(net, EmbeddingNet)
    if settings.learn == "all":
        return _whole(net, facts, material, settings, watch)
    return _projection(net, facts, material, settings, watch)


def _projection(
    net: EmbeddingNet, facts: dict[str, Any], material: Material, settings: Triplet, watch: Watch
) -> Fitted[Net]:
    seen = material.features("train", net.backbone, settings.views)
    train = material.labelled("train", seen)
    check_classes(train.y, material.classes)
    scaling = Scaling.of(train.x, net.backbone.emphasis)
    scaled = Vectors(scaling.applied(train.x), train.y)
    held = material.features("val", net.backbone)
    val = Vectors(scaling.applied(held.vectors), material.classes_of("val", held.keys))
    layer = _layer(net)
    discriminant(scaled.x, scaled.y, layer)
    objective = BatchHard(settings.margin, scaled, len(material.classes), _embed_features)
    fitted = _descended(net.projection, scaled, val, objective, material, settings, watch)
    projected = _all_of(net.projection, scaled, _embed_features)
    scaling.fold_into(layer)
    net.head = make_gallery(projected, train.y, seen.keys, len(material.classes))
    return _finished(fitted, net, facts | {"views": train.x.shape[1]})


def _whole(
    net: EmbeddingNet, facts: dict[str, Any], material: Material, settings: Triplet, watch: Watch
) -> Fitted[Net]:
    train = material.arrays("train")
    check_classes(train.y, material.classes)
    batch = settings.classes_per_batch * settings.pictures_per_class
    facts["norms"] = keep_norms(net.backbone, settings.weights, batch, watch)
    pictures, val = Pictures(train, settings.augment), Pictures(material.arrays("val"))
    objective = BatchHard(settings.margin, pictures, len(material.classes), _embed_pictures)
    fitted = _descended(net, pictures, val, objective, material, settings, watch)
    embedded = _all_of(net, pictures, _embed_pictures)
    net.head = make_gallery(embedded, train.y, train.keys, len(material.classes))
    return _finished(fitted, net, facts)


def _descended(
    learning: nn.Module,
    train: Vectors | Pictures,
    val: Vectors | Pictures,
    objective: BatchHard,
    material: Material,
    settings: Triplet,
    watch: Watch,
) -> Fitted[nn.Module]:
    plan = classes_by_pictures(train.y, settings.classes_per_batch, settings.pictures_per_class)
    return descend(
        learning, train, objective, plan, settings, val=val, watch=watch, place=material.place
    )


def _finished(fitted: Fitted[nn.Module], net: EmbeddingNet, facts: dict[str, Any]) -> Fitted[Net]:
    known = [len(keys) for keys in net.head.known]  # type: ignore[union-attr]
    told = fitted.facts | facts | {"known_pictures": sum(known), "known_most": max(known)}
    whole = net.cpu().to(memory_format=torch.channels_last).eval()
    return replace(fitted, net=whole, facts=told)  # type: ignore[return-value]


def _layer(net: EmbeddingNet) -> nn.Linear:
    return next(layer for layer in net.projection if isinstance(layer, nn.Linear))


def _embed_features(projection: nn.Module, x: torch.Tensor) -> torch.Tensor:
    embedded: torch.Tensor = projection(x)
    return embedded


def _embed_pictures(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    embedded: torch.Tensor = net.projection(net.backbone(x))  # type: ignore[operator]
    return embedded


def _all_of(net: nn.Module, material: Vectors | Pictures, embed: Any) -> Any:
    """Embeddings of length 1 of all samples in the plain view, float32 N x D."""
    with torch.inference_mode():
        parts = [
            functional.normalize(embed(net, x).float(), dim=1).cpu().numpy()
            for x, _ in plain_batches(material, net, JUDGED)
        ]
    return np.concatenate(parts)
