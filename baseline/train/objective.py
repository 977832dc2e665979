"""What is learnt: the loss of a batch, and how good the network is on samples it does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from baseline.train.batches import LabelledSamples, plain_batches
from gleanset.errors import InputUnusable


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


def class_weights(
    y: npt.NDArray[np.int64], classes: int, balance: str, weights: Sequence[float] = ()
) -> torch.Tensor:
    """Return the weight of each class in the loss, float32.

    With balance 'weights' every class counts as much as any other; else as `weights` (by the
    labeler's own balancing), or all samples alike.
    """
    if balance == "weights":
        counts = np.bincount(y, minlength=classes)
        return torch.tensor(len(y) / (classes * np.maximum(counts, 1)), dtype=torch.float32)
    return torch.tensor(weights, dtype=torch.float32) if weights else torch.ones(classes)


def check_classes(y: np.ndarray, classes: Sequence[str]) -> None:
    """Raise `InputUnusable` where there is nothing to tell apart, or a class without samples."""
    if len(classes) < 2:
        raise InputUnusable(
            f"A classifier needs at least 2 classes, and there is {len(classes)}.",
            "Label pictures of another class, then split again: labeler split",
        )
    if not len(y):
        raise InputUnusable(
            "There is no picture to train on: the train split is empty.",
            "Label pictures, then split them: labeler split",
        )
    counts = np.bincount(y, minlength=len(classes))
    bare = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if bare:
        raise InputUnusable(
            f"No training picture for: {', '.join(bare)}.",
            "Label more pictures of it, or give train a larger share: labeler split --ratio 8:1:1",
        )
