"""One step of gradient descent, in as many parts as the memory needs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from baseline.features.batching import BatchSize
from baseline.features.compute import Compute
from baseline.train.loop.dataset import to_network
from baseline.train.loop.objective import Objective
from baseline.train.loop.seeds import reseed
from gleanset.errors import InputUnusable

SMALLEST = 4
"""Samples in a part of a batch at least: then none has only one, which upsets normalisation."""


class Stepper:
    """Moves the weights of `net` by one batch at a time.

    `part` is how many samples go through the network at once; None: the whole batch. When the
    memory does not suffice it is halved, and the gradients of the parts are summed, so that the
    step is that of the whole batch (but for batch normalisation, which sees parts).
    """

    def __init__(
        self,
        net: nn.Module,
        objective: Objective,
        optimiser: torch.optim.Optimizer,
        compute: Compute,
        say: Callable[[str], None],
    ) -> None:
        self.net, self.objective, self.optimiser = net, objective, optimiser
        self.compute, self.say = compute, say
        self.scaler = compute.scaler()
        self.part: int | None = None

    def step(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.Tensor:
        """Learn from a batch (on the CPU): loss summed, its divisor, how many right of how many.

        Four float64 on the device. Raises `InputUnusable` when no part is small enough.
        """
        parts = BatchSize(min(self.part or len(y), len(y)), no_memory, SMALLEST)
        tried = parts.size
        while (sums := parts.attempt(tried, self._tried, x, y, seed)) is None:
            self.part = parts.size
            self.say(
                f"out of memory with {tried} pictures at once: going on with {self.part}, "
                f"and summing their gradients, so that a step still is one of {len(y)}"
            )
            tried = parts.size
        return sums

    def _tried(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.Tensor:
        reseed(seed)
        self.optimiser.zero_grad(set_to_none=True)
        y = y.to(self.compute.device, non_blocking=True)
        weight = self.objective.weigh(y)
        losses, rights = [], []
        parts = max(1, -(-len(y) // (self.part or len(y))))
        for some, labels in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
            with self.compute.autocast():
                loss, right = self.objective.terms(
                    self.net, to_network(some, self.compute.device), labels
                )
            torch.autograd.backward(self.scaler.scale(loss / weight))
            losses.append(loss.detach())
            rights.append(right)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        found = (torch.stack(losses).sum(), weight, torch.stack(rights).sum())
        count = torch.full((), len(y), dtype=torch.float64, device=weight.device)
        return torch.stack([*(value.double() for value in found), count])


def no_memory(pictures: int) -> InputUnusable:
    """Return the error where the memory does not suffice for so few pictures."""
    return InputUnusable(
        f"the memory does not even suffice for {pictures} pictures at once",
        "take smaller pictures (-o size=…) or a smaller network, or end other programs",
    )
