"""Backbones that come with the weights of others, and what is said of them."""

from __future__ import annotations

from typing import Any

from baseline.features.backbone import Backbone, Weights
from baseline.features.backbone_names import JOIN
from baseline.features.backbones import load_backbone
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.settings import Finetune, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback


def pretrained_backbone(
    settings: Transfer | Finetune | Triplet, watch: TrainingCallback
) -> tuple[Backbone, dict[str, Any]]:
    """Return the backbone with the weights that the settings name, and the facts about them."""
    backbone, weights = load_backbone(settings.backbone, settings.weights, settings.seed)
    names = JOIN.join(member.name for member in backbone.members)
    watch.say(f"{names} with weights: {weights.source}")
    return backbone, _told(names, weights) | _embeddings(backbone, settings.size, watch)


def _embeddings(backbone: Backbone, size: int, watch: TrainingCallback) -> dict[str, Any]:
    """Say what each embedding takes, and return it for the metrics."""
    graphs = [one.graph for one in backbone.members if isinstance(one, OnnxBackbone)]
    for graph in graphs:
        watch.say(graph.words)
        if min(graph.side) > size:
            watch.say(
                f"pictures are read at {size} x {size}: -o size={min(graph.side)} shows "
                f"{graph.spec.name} all it can see"
            )
    return {"embeddings": [graph.to_json() for graph in graphs]} if graphs else {}


def _told(name: str, weights: Weights) -> dict[str, Any]:
    return {"backbone": name, "weights": weights.source, "weights_sha256": weights.sha256}
