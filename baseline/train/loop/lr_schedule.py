"""The optimiser, the schedule of its learning rate, and the search for a learning rate.

The rate rises linearly and then falls as half a cosine (Loshchilov and Hutter, SGDR, 2017, without
restarts; the rise as in Goyal et al., 2017). Where none is given it is found by the range test of
Smith (Cyclical Learning Rates for Training Neural Networks, 2017): a copy of the network learns at
rates that rise exponentially. A rate too small changes nothing, one too large makes the loss
explode; below that lies the rate to take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from baseline.settings import DescentSettings
from baseline.train.loop.callbacks import RateTest
from baseline.train.loop.dataset import LabelledSamples
from baseline.train.loop.samplers import BatchSampler
from baseline.train.loop.seeds import random_at, seed_at
from baseline.train.loop.steps import Stepper

WARM_UP = 0.15
"""Share of all steps in which the learning rate rises to its peak."""
LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 60
SMOOTHING = 0.8
"""How much of the mean of the losses before stays in the next one."""
EXPLODED = 3.0
"""A loss so many times the best one ends the test."""
BELOW_BEST = 4.0
"""The rate of the lowest loss is divided by this: there it begins to be too much."""
NO_EPOCH = 0
"""Random numbers of the test are those of an epoch that training does not have."""


def build_optimiser(
    groups: Sequence[Sequence[nn.Parameter]], settings: DescentSettings
) -> torch.optim.Optimizer:
    """Return the optimiser that `settings` name, over groups of weights.

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
    """Return the share of the peak rate at `step`: a linear rise, then half a cosine to nothing.

    (Loshchilov and Hutter, SGDR, 2017, without restarts; the rise as in Goyal et al., 2017.)
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class LearningRateSchedule:
    """The weights of `net` in one group, or two where `frozen` rests for the first epochs.

    A group's rate begins to rise when the group begins to learn.
    """

    def __init__(
        self,
        net: nn.Module,
        settings: DescentSettings,
        steps: int,
        frozen: nn.Module | None,
        epochs: int,
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
        """Set the rates of `step` of the whole training, from 0."""
        groups: list[dict[str, float | torch.Tensor]] = self.optimiser.param_groups
        for group, start in zip(groups, self.starts, strict=True):
            share = learning_rate_factor(max(0, step - start), self.total - start)
            group["lr"] = peak * share if step >= start else 0.0


def find_rate(
    stepper: Stepper, samples: LabelledSamples, sampler: BatchSampler, seed: int
) -> RateTest:
    """Try rising rates with a stepper, whose network is spoilt by it, and choose one."""
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    mean = 0.0
    for number, (x, y) in enumerate(_batches(samples, sampler, seed), start=1):
        for group in stepper.optimiser.param_groups:
            group["lr"] = rates[number - 1]
        summed, weight, *_ = stepper.step(x, y, seed_at(seed, NO_EPOCH, number)).tolist()
        mean = SMOOTHING * mean + (1 - SMOOTHING) * summed / weight
        losses.append(mean / (1 - SMOOTHING**number))
        if not losses[-1] <= EXPLODED * min(losses):
            break
    known = [loss for loss in losses if math.isfinite(loss)]
    return RateTest(tuple(rates[: len(known)]), tuple(known), chosen(rates, known))


def chosen(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate that a range test speaks for, rounded to two digits."""
    best = rates[int(np.argmin(losses))] if losses else LOWEST
    return float(f"{max(best / BELOW_BEST, LOWEST):.1e}")


def _batches(
    samples: LabelledSamples, sampler: BatchSampler, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield `STEPS` batches, of as many epochs as that takes."""
    made = 0
    while True:
        for index in sampler(random_at(seed, NO_EPOCH, made)):
            yield (
                samples.take(index, random_at(seed, NO_EPOCH, made + 1)),
                torch.from_numpy(samples.y[index]),
            )
            made += 1
            if made == STEPS:
                return
