"""How the weights are moved: the optimiser and the course of its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from baseline.presets import Settings

WARM_UP = 0.15
"""Share of all steps in which the learning rate rises to its peak."""


def build_optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser that `settings` name, over all weights of `model`."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            model.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=decay
        )
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(model.parameters(), rate, weight_decay=decay)


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the peak rate at `step` of `steps`: a linear rise, then half a cosine to nothing.

    (Loshchilov and Hutter, SGDR, 2017, without restarts; the rise as in Goyal et al., 2017.)
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
