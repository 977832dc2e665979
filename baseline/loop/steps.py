"""One step of gradient descent, in as many parts as the memory needs."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import nn

from baseline.compute import Compute
from baseline.loop.materials import to_network
from baseline.loop.objective import Objective
from baseline.loop.seeds import reseed
from gleanset.errors import InputUnusable

SMALLEST = 4
"""Samples in a part of a batch at least: then none has only one, which upsets normalisation."""
_FULL = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a memory",
    "insufficient memory",
    "unable to allocate",
    "cannot allocate memory",
)


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
        while True:
            reseed(seed)
            try:
                return self._tried(x, y)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler: its error holds on to what filled the memory.
            self._halve(len(y))

    def _tried(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
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

    def _halve(self, batch: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        gc.collect()
        if self.compute.device.type == "cuda":
            torch.cuda.empty_cache()
        before = min(self.part or batch, batch)
        if before <= SMALLEST:
            raise InputUnusable(
                f"the memory does not even suffice for {before} pictures at once",
                "take smaller pictures (-o size=…) or a smaller network, or end other programs",
            )
        self.part = max(SMALLEST, -(-before // 2))
        self.say(
            f"out of memory with {before} pictures at once: going on with {self.part}, "
            f"and summing their gradients, so that a step still is one of {batch}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, of a library under it or of Python says that memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in _FULL)
