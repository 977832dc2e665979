"""A run's network, computed by PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch

from baseline.compute import choose_compute
from baseline.crops import load_crops
from baseline.engines import Facts, Told
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.networks import GalleryHead, Net
from baseline.pixels import Pixels
from baseline.portable import Portable
from baseline.settings import Settings
from baseline.storage import load_model


class TorchEngine:
    """Computes on CUDA where there is one, else on the CPU, always in float32."""

    def __init__(self, facts: Facts, net: Net, settings: Settings) -> None:
        self.facts = facts
        self.settings = settings
        answers = facts.answers
        offsets = [answers.offsets.get(name, 0.0) for name in facts.classes]
        self.portable = Portable(net, settings.channels, answers.temperature, offsets).eval()
        self._device = choose_compute("fp32").device
        self.portable.to(self._device)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The engine of a run's folder. Raises `InputUnusable`."""
        net, settings, classes = load_model(folder)
        known = None
        if isinstance(net.head, GalleryHead):
            from baseline.methods.gallery import load_gallery

            known = load_gallery(folder)
        facts = Facts(
            folder.resolve().name,
            settings.size,
            classes,
            load_decision_rule(folder),
            known,
            load_crops(folder),
        )
        return cls(facts, net, settings)

    def __call__(self, pictures: Pixels) -> Told:
        """What the network says of pictures uint8 N x size x size x 3."""
        with torch.inference_mode():
            batch = torch.from_numpy(pictures).to(self._device)
            return Told(*(part.cpu().numpy() for part in self.portable(batch)))
