"""Backbones that come with the weights of others, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from baseline.data.samples import check_classes, compute_class_weights
from baseline.features.backbone import Backbone
from baseline.features.backbone_names import JOIN
from baseline.features.backbones import load_backbone
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.features.scaling import Scaling
from baseline.settings import Finetune, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.methods.logistic import (
    Classes,
    Floats,
    TrainRows,
    choose_part_weights,
    parse_part_weights,
)
from baseline.train.methods.training_data import TrainingData


def load_pretrained_backbone(
    settings: Transfer | Finetune | Triplet, callback: TrainingCallback
) -> tuple[Backbone, dict[str, Any]]:
    """Return the backbone with the weights that the settings name, and the facts about them."""
    backbone, weights = load_backbone(settings.backbone, settings.weights, settings.seed)
    names = JOIN.join(member.name for member in backbone.members)
    callback.say(f"{names} with weights: {weights.source}")
    facts = {"backbone": names, "weights": weights.source, "weights_sha256": weights.sha256}
    return backbone, facts | _embeddings(backbone, settings.size, callback)


def _embeddings(backbone: Backbone, size: int, callback: TrainingCallback) -> dict[str, Any]:
    embeddings = [one for one in backbone.members if isinstance(one, OnnxBackbone)]
    for embedding in embeddings:
        callback.say(embedding.words)
        if min(embedding.side) > size:
            callback.say(
                f"pictures are read at {size} x {size}: -o size={min(embedding.side)} shows "
                f"{embedding.spec.name} all it can see"
            )
    return {"embeddings": [embedding.to_json() for embedding in embeddings]} if embeddings else {}


@dataclass(frozen=True, slots=True)
class FrozenFeatures:
    """The samples of train as a backbone sees them (`rows`, N x V x D, scaled), by `keys`.

    The first layer of what learnt on them takes features as they come `after` the `scaling`.
    """

    backbone: Backbone
    rows: TrainRows
    keys: tuple[str, ...]
    scaling: Scaling
    facts: dict[str, Any]

    @classmethod
    def of(
        cls, data: TrainingData, settings: Transfer | Triplet, callback: TrainingCallback
    ) -> FrozenFeatures:
        """Make features, and weigh their parts; the weights are said.

        Raises `InputUnusable` where classes are missing, `UsageError` where the setting does not
        fit the parts.
        """
        keys = tuple(sample.key for sample in data.examples.splits["train"])
        check_classes(data.classes_of("train", keys), data.classes)
        backbone, facts = load_pretrained_backbone(settings, callback)
        seen = data.train_features(backbone)
        y = data.classes_of("train", seen.keys)
        check_classes(y, data.classes)
        # A rare class weighs more: to draw it more often comes to the same in a sum.
        balance = "none" if settings.balance == "none" else "weights"
        own = compute_class_weights(y, len(data.classes), balance, data.examples.weights)
        weights: Floats = own[y].astype(np.float64)
        rows = TrainRows(seen.vectors, y, weights, data.moments_of(seen.keys))
        parts = backbone.parts
        chosen = parse_part_weights(settings.part_weights, parts)
        if chosen is None:
            plain = Scaling.of(rows.x, backbone).applied(rows.x[:, 0]).astype(np.float64)
            expected = data.expected_weights(parts)
            chosen = choose_part_weights(replace(rows, x=plain), parts, expected, settings.seed)
        if words := chosen.words(parts):
            callback.say(words)
        scaling = Scaling.of(rows.x, backbone, chosen.weights)
        facts |= chosen.to_json(parts) | {"views": rows.x.shape[1]}
        return cls(backbone, replace(rows, x=scaling.applied(rows.x)), seen.keys, scaling, facts)

    def val(self, data: TrainingData) -> tuple[npt.NDArray[np.float32], Classes]:
        """Return what a training is watched on: features N x 1 x D, scaled, and classes."""
        seen = data.features("val", self.backbone)
        return self.scaling.applied(seen.vectors), data.classes_of("val", seen.keys)
