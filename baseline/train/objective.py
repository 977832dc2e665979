"""What is learnt: the loss of a batch, and how good the network is on samples it does not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from baseline.train.batches import LabelledSamples, plain_batches


class Objective(Protocol):
    """A loss that can be summed over the parts of a batch, and its judgement of a whole split."""

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return what the summed loss of samples of the classes `y` is divided by: a scalar."""

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss summed over the samples, and how many are right: two scalars."""

    def judge(self, net: nn.Module, material: LabelledSamples, batch: int) -> tuple[float, float]:
        """Return loss (lower is better) and accuracy on samples not learnt from."""


@dataclass(slots=True)
class Classify:
    """Cross entropy, weighted by class."""

    weights: torch.Tensor

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return the sum of the weights of the classes."""
        return self._beside(y)[y].sum()

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weighted cross entropy in nats, summed, and how many were right."""
        logits: torch.Tensor = net(x)
        weights = self._beside(y)
        loss = functional.cross_entropy(logits.float(), y, weights, reduction="sum")
        return loss, (logits.detach().argmax(1) == y).sum()

    def judge(self, net: nn.Module, material: LabelledSamples, batch: int) -> tuple[float, float]:
        """Return mean weighted cross entropy and accuracy, in float32 whatever training runs in."""
        loss = weight = right = 0.0
        with torch.inference_mode():
            for x, y in plain_batches(material, net, batch):
                summed, hits = self.terms(net, x, y)
                loss, weight = loss + float(summed), weight + float(self.weigh(y))
                right += int(hits)
        return loss / weight, right / len(material.y)

    def _beside(self, y: torch.Tensor) -> torch.Tensor:
        """Return the weights where `y` is; moved once, for a GPU would wait in every step."""
        self.weights = self.weights.to(y.device)
        return self.weights
