"""Random numbers that depend on where in the training they are drawn, and on nothing else.

Every step has a seed of its own, made of the run's seed, the epoch and the step. So nothing that
happened before changes what is drawn next, batches can be made ahead in threads, and a run that
is taken up after a kill goes on with the very numbers it would have had.
"""

from __future__ import annotations

import numpy as np
import torch


def seed_at(*place: int) -> int:
    """Return a well-mixed 63-bit seed for `place`, such as (seed, epoch, step)."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


def random_at(*place: int) -> np.random.Generator:
    """Return a generator for `place`, such as (seed, epoch, step)."""
    return np.random.default_rng(place)


def reseed(seed: int) -> None:
    """Seed what layers and losses draw from: torch's generators and numpy's global one.

    `torch.manual_seed` would do as well, but takes longer than a step of a small network.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)
