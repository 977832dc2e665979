"""A run's network, computed by PyTorch: from pictures as they are to probabilities.

What is predicted with and what is exported is one module, so that a phone, a page and
`baseline predict` do the same to a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import nn

from baseline.data.pixels import Pixels
from baseline.features.compute import choose_compute
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.features.onnx_graph import EmbeddingGraph
from baseline.judge.answers import load_decision_rule
from baseline.judge.familiarity import load_feature_scale
from baseline.settings import Settings
from baseline.train.networks import GalleryHead, Net
from baseline.train.storage import load_model
from baseline.use.crops import load_crops
from baseline.use.engines.base import ModelFacts, NetworkOutputs

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow makes grey of RGB."""


class InferenceNet(nn.Module):
    """Pictures (uint8 N x size x size x 3, RGB) to probabilities, embeddings and likenesses.

    Gives N x classes probabilities (softmax of the scores over `temperature` plus `offsets`, one
    a class), N x D embeddings and, where the head is a gallery, the cosine likeness
    N x classes x K to its K pictures.
    """

    def __init__(
        self, net: Net, channels: int, temperature: float, offsets: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.net = net
        self.grey = channels == 1
        self.temperature = temperature
        held = torch.tensor(offsets, dtype=torch.float32).view(1, -1) if any(offsets) else None
        self.register_buffer("offsets", held, persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    @property
    def graphs(self) -> list[EmbeddingGraph]:
        """The graphs of ONNX files within, which are no modules of torch."""
        return [one.graph for one in self.net.modules() if isinstance(one, OnnxBackbone)]

    luma: torch.Tensor
    offsets: torch.Tensor | None

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return (probabilities, embeddings), and likenesses where there is a gallery."""
        x = pictures.permute(0, 3, 1, 2).to(self.luma.dtype) / 255
        if self.grey:
            x = (x * self.luma).sum(1, keepdim=True)
        embedded = self.net.embed(x)
        scores = self.net.head(embedded).float() / self.temperature
        if self.offsets is not None:
            scores = scores + self.offsets
        outputs = (torch.softmax(scores, 1), embedded.float())
        head = self.net.head
        if not isinstance(head, GalleryHead):
            return outputs
        classes, known, width = head.vectors.shape
        flat = embedded @ head.vectors.reshape(classes * known, width).T
        return (*outputs, flat.reshape(-1, classes, known).float())


class TorchEngine:
    """Computes on CUDA where there is one, else on the CPU, always in float32."""

    def __init__(self, facts: ModelFacts, net: Net, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        answers = facts.answers
        offsets = answers.class_offsets(facts.classes)
        self.portable = InferenceNet(net, settings.channels, answers.temperature, offsets).eval()
        self._device = choose_compute("fp32").device
        self.portable.to(self._device)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the engine of a run's folder. Raises `InputUnusable`."""
        net, settings, classes = load_model(folder)
        known = net.head.known if isinstance(net.head, GalleryHead) else None
        facts = ModelFacts(
            folder.resolve().name,
            settings.size,
            classes,
            load_decision_rule(folder),
            known,
            load_crops(folder),
            None if known is not None else load_feature_scale(folder),
            settings.fit,
        )
        return cls(facts, net, settings)

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        """Return what the network says of pictures uint8 N x size x size x 3."""
        with torch.inference_mode():
            batch = torch.from_numpy(pictures).to(self._device)
            return NetworkOutputs(*(part.cpu().numpy() for part in self.portable(batch)))
