"""Which weights learn when, and how fast: the rates of the groups over the steps."""

from __future__ import annotations

import torch
from torch import nn

from baseline.optimiser import Descent, build_optimiser, learning_rate_factor


class Course:
    """The weights of `net` in one group, or two where `frozen` rests for the first epochs.

    A group's rate begins to rise when the group begins to learn.
    """

    def __init__(
        self, net: nn.Module, settings: Descent, steps: int, frozen: nn.Module | None, epochs: int
    ) -> None:
        self.net, self.steps, self.total = net, steps, steps * settings.epochs
        self.frozen = frozen if epochs else None
        self.resting_epochs = epochs if frozen is not None else 0
        resting = {id(w) for w in self.frozen.parameters()} if self.frozen is not None else set()
        early = [weight for weight in net.parameters() if id(weight) not in resting]
        late = [weight for weight in net.parameters() if id(weight) in resting]
        groups = [(0, early), (self.resting_epochs * steps, late)]
        self.starts = [start for start, group in groups if group]
        self.optimiser = build_optimiser([group for _, group in groups if group], settings)

    @property
    def rate(self) -> float:
        """Of the weights that learn from the start."""
        return float(self.optimiser.param_groups[0]["lr"])

    def begin_epoch(self, epoch: int) -> None:
        """Let rest what rests in this epoch (from 1): no gradients, and norms as they are."""
        self.net.train()
        if self.frozen is not None:
            awake = epoch > self.resting_epochs
            self.frozen.requires_grad_(awake).train(awake)

    def set_rates(self, peak: float, step: int) -> None:
        """The rates at `step` of the whole training, from 0."""
        groups: list[dict[str, float | torch.Tensor]] = self.optimiser.param_groups
        for group, start in zip(groups, self.starts, strict=True):
            share = learning_rate_factor(max(0, step - start), self.total - start)
            group["lr"] = peak * share if step >= start else 0.0
