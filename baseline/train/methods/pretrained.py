"""Networks that begin with the weights of others."""

from __future__ import annotations

from typing import Any

from baseline.features.backbone import Backbone, Weights
from baseline.features.backbone_names import JOIN
from baseline.features.backbones import give_weights
from baseline.features.compute import reproducible
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.settings import Finetune, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.networks import BackboneNet, EmbeddingNet, build_net

SMALL_BATCH = 32
"""Pictures in a batch from which its mean and variance tell more than those of ImageNet."""


def pretrained(
    settings: Transfer | Finetune | Triplet, classes: int, watch: TrainingCallback
) -> tuple[BackboneNet | EmbeddingNet, dict[str, Any]]:
    """Return a network with the weights that the settings name, and the facts about them."""
    with reproducible(settings.seed):
        net = build_net(settings, classes)
    assert isinstance(net, BackboneNet | EmbeddingNet)
    backbone = net.backbone
    weights = give_weights(backbone, settings.backbone, settings.weights)
    names = JOIN.join(member.name for member in backbone.members)
    watch.say(f"{names} with weights: {weights.source}")
    return net, _told(names, weights) | _embeddings(backbone, settings.size, watch)


def _embeddings(backbone: Backbone, size: int, watch: TrainingCallback) -> dict[str, Any]:
    """Say what was decided about each ONNX file, and return it for the metrics."""
    graphs = [one.graph for one in backbone.members if isinstance(one, OnnxBackbone)]
    for graph in graphs:
        watch.say(graph.words)
        if graph.side and min(graph.side) > size:
            watch.say(
                f"pictures are read at {size} x {size}: -o size={min(graph.side)} shows "
                f"{graph.spec.name} all it can see"
            )
    return {"embeddings": [graph.to_json() for graph in graphs]} if graphs else {}


def keep_norms(backbone: Backbone, weights: str, batch: int, watch: TrainingCallback) -> str:
    """Let batch norms go on with their pretrained statistics where batches are small.

    The mean and variance of a dozen pictures are noise beside those of a million. Says what was
    done: 'kept' or 'learnt'.
    """
    backbone.keeps_norms = weights != "none" and batch < SMALL_BATCH
    if backbone.keeps_norms:
        watch.say(f"batches of {batch} are small: batch norms keep their pretrained statistics")
    return "kept" if backbone.keeps_norms else "learnt"


def _told(name: str, weights: Weights) -> dict[str, Any]:
    return {"backbone": name, "weights": weights.source, "weights_sha256": weights.sha256}
