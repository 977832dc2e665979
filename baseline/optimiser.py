"""How the weights are moved: the optimiser and the course of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import nn

WARM_UP = 0.15
"""Share of all steps in which the learning rate rises to its peak."""


class Descent(Protocol):
    """What the optimiser and its loop must be told; the settings of each method that descends."""

    @property
    def optimiser(self) -> str:
        """One of adam, adamw, adamax, sgd."""

    @property
    def learning_rate(self) -> float:
        """The peak; 0: find it."""

    @property
    def weight_decay(self) -> float:
        """The L2 penalty on the weights."""

    @property
    def epochs(self) -> int:
        """Passes over the samples at most."""

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss after which it stops."""

    @property
    def seed(self) -> int:
        """Where the random numbers start."""

    @property
    def precision(self) -> Any:
        """auto, fp32 or bf16."""


def build_optimiser(
    groups: Sequence[Sequence[nn.Parameter]], settings: Descent
) -> torch.optim.Optimizer:
    """The optimiser that `settings` name, over groups of weights.

    One call over all weights ("fused") where torch has it: the small network spends a tenth of
    its time in the optimiser otherwise.
    """
    told: list[dict[str, Any]] = [{"params": list(group)} for group in groups if group]
    # The loop sets the rate before each step.
    both: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimiser == "sgd":
        return torch.optim.SGD(told, momentum=0.9, nesterov=True, fused=True, **both)
    if settings.optimiser == "adamax":
        return torch.optim.Adamax(told, **both)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(told, fused=True, **both)


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate at `step` of `steps`: a linear rise, then half a cosine to nothing.

    (Loshchilov and Hutter, SGDR, 2017, without restarts; the rise as in Goyal et al., 2017.)
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
