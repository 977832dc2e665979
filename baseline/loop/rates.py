"""Looking for a learning rate: raise it step by step and see where the loss stops to fall.

The range test of Smith (Cyclical Learning Rates for Training Neural Networks, 2017): a copy of
the network learns at rates that rise exponentially. A rate too small changes nothing, one too
large makes the loss explode; below that lies the rate to take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from baseline.loop.materials import Material
from baseline.loop.plans import Plan
from baseline.loop.reports import RateTest
from baseline.loop.seeds import random_at, seed_at
from baseline.loop.steps import Stepper

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


def find_rate(stepper: Stepper, material: Material, plan: Plan, seed: int) -> RateTest:
    """Try rising rates with a stepper, whose network is spoilt by it, and choose one."""
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    mean = 0.0
    for number, (x, y) in enumerate(_batches(material, plan, seed), start=1):
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
    """The rate that a range test speaks for, rounded to two digits."""
    best = rates[int(np.argmin(losses))] if losses else LOWEST
    return float(f"{max(best / BELOW_BEST, LOWEST):.1e}")


def _batches(
    material: Material, plan: Plan, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`STEPS` batches, of as many epochs as that takes."""
    made = 0
    while True:
        for index in plan(random_at(seed, NO_EPOCH, made)):
            yield (
                material.take(index, random_at(seed, NO_EPOCH, made + 1)),
                torch.from_numpy(material.y[index]),
            )
            made += 1
            if made == STEPS:
                return
