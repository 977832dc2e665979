"""Engine for the network in a run's folder, from images to probabilities.

Exported files compute the same (`export/onnx_file.py`).
"""

from pathlib import Path
from typing import Self

import numpy as np

from baseline.evaluation.decision_rule import (
    calibrate_with_rule,
    load_decision_rule,
    load_feature_scale,
)
from baseline.evaluation.outputs import softmax
from baseline.features.graph_backbones import as_floats
from baseline.settings import Settings
from baseline.train.trained_net import GalleryHead, TrainedNet, load_model
from baseline.use.crops import load_crops
from baseline.use.engines import ModelFacts, NetworkOutputs
from gleanset.arrays import Float32Array, Pixels

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights for grayscale, as in Pillow."""


class RunEngine:
    """Engine in float32; PyTorch is only loaded for networks of timm."""

    def __init__(self, facts: ModelFacts, net: TrainedNet, settings: Settings):
        self.facts = facts
        self.net = net
        self.settings = settings
        self.offsets = np.array(facts.rule.class_offsets(facts.classes), np.float32)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Open the folder of a run. Raises `InputUnusable`."""
        net, settings, classes = load_model(folder)
        gallery = net.head.keys if isinstance(net.head, GalleryHead) else None
        # For the rule for "unknown", galleries and memberships need no scale.
        has_scale = gallery is None and net.membership is None
        facts = ModelFacts(
            run=folder.resolve().name,
            size=settings.size,
            classes=classes,
            rule=load_decision_rule(folder),
            gallery=gallery,
            crops=load_crops(folder),
            scale=load_feature_scale(folder) if has_scale else None,
            fit=settings.fit,
        )
        return cls(facts, net, settings)

    def __call__(self, images: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3.

        Probabilities are the softmax of the scores divided by the temperature, plus offsets.
        """
        head = self.net.head
        embeddings = self.net.embed(self._prepare(images))
        facts = self.facts
        scores = calibrate_with_rule(
            head(embeddings),
            facts.classes,
            facts.rule,
        )

        similarity = None
        if isinstance(head, GalleryHead):
            similarity = head.similarity(embeddings)
        membership = None
        if self.net.membership is not None:
            membership = self.net.membership(embeddings).astype(np.float32)

        return NetworkOutputs(
            softmax(scores).astype(np.float32), embeddings, similarity, membership
        )

    def _prepare(self, images: Pixels) -> Pixels | Float32Array:
        """Return images with channels first: N x 1 or 3 x size x size."""
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        if self.settings.channels == 3:
            return planes
        luma = np.array(LUMA, np.float32)[:, None, None]
        return np.asarray((as_floats(planes) * luma).sum(1, keepdims=True))
