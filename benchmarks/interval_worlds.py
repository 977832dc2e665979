"""Worlds in which intervals are judged that were chosen in others; used by `interval_coverage.py`.

Not a script. Where the worlds there are normal, these are Dirichlet: in each moment two runs have
chances of their own to be both right, right alone, or both wrong. Sizes of moments are all one,
geometric, log-normal, of a power law, or big scenes among stills, and in every third world those
larger than the mean are harder or easier. All of it is drawn once, by a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
MOMENTS = (8, 12, 25, 50, 100, 200)
EACH = 10
"""Worlds of every number of moments."""
MANY = 200_000
KINDS = ("single", "geometric", "log-normal", "power law", "scenes")


@dataclass(frozen=True, slots=True)
class DrawnWorld:
    """How two runs answer the same pictures.

    Either is right alone with the chance `gained` and `lost`, both are wrong with `missed`, all of
    it times `harder` in moments larger than the mean; `alike` is the correlation of answers within
    a moment, and the sizes of moments are spread by `spread` as their `kind` has it.
    """

    moments: int
    gained: float
    lost: float
    missed: float
    alike: float
    kind: str
    spread: float
    harder: float

    def draw(self, random: np.random.Generator) -> tuple[Flags, Flags, list[str]]:
        """Draw which pictures either run gets right, and the moment of each."""
        sizes = self.sizes_of(random, self.moments)
        # The chances of a moment: both right, this alone, the other alone, neither.
        chances = random.standard_gamma(self.shares_of(sizes) * (1 - self.alike) / self.alike)
        groups = np.repeat(np.arange(self.moments), sizes)
        edges = (chances / np.maximum(chances.sum(1, keepdims=True), 1e-300)).cumsum(1)[groups]
        drawn = (random.random(len(groups))[:, None] > edges[:, :3]).sum(1)
        return drawn <= 1, (drawn == 0) | (drawn == 2), list(map(str, groups))

    @property
    def accuracy(self) -> float:
        """The true share that this run gets right."""
        both, gained, _, _ = _truth(self)
        return both + gained

    @property
    def difference(self) -> float:
        """The true difference of the accuracies."""
        _, gained, lost, _ = _truth(self)
        return gained - lost

    def sizes_of(self, random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
        """Draw the sizes of so many moments."""
        drawn = {
            "single": lambda: np.ones(count),
            "geometric": lambda: random.geometric(1 / (1 + 3 * self.spread), count),
            "log-normal": lambda: random.lognormal(0.5, self.spread, count),
            "power law": lambda: random.pareto(4 - 2 * self.spread, count) * 2,
            "scenes": lambda: np.where(
                random.random(count) < 0.05 + 0.2 * self.spread, random.integers(8, 50), 1
            ),
        }[self.kind]()
        return np.clip(np.ceil(drawn), 1, 200).astype(np.int64)

    def shares_of(self, sizes: npt.NDArray[np.int64]) -> Floats:
        """Return the mean chances (moments x 4) of moments of these sizes."""
        apart = np.array((self.gained, self.lost, self.missed))
        off = np.where(sizes > sizes.mean(), self.harder, 1.0)[:, None] * apart
        shares: Floats = np.column_stack((1 - off.sum(1), off))
        return shares


@cache
def _truth(world: DrawnWorld) -> tuple[float, ...]:
    """The mean chances over pictures of endlessly many moments."""
    sizes = world.sizes_of(np.random.default_rng(0), MANY)
    return tuple((world.shares_of(sizes) * sizes[:, None]).sum(0) / sizes.sum())


def drawn_worlds(seed: int) -> tuple[DrawnWorld, ...]:
    """Draw worlds; another seed gives others."""
    random = np.random.default_rng(seed)
    return tuple(_drawn(random, moments) for moments in MOMENTS for _ in range(EACH))


def _drawn(random: np.random.Generator, moments: int) -> DrawnWorld:
    gained, lost, missed = random.choice((0.002, 0.02, 0.08, 0.2), 3, p=(0.2, 0.3, 0.3, 0.2))
    return DrawnWorld(
        moments,
        float(gained),
        float(lost),
        float(missed),
        float(random.uniform(0.02, 0.98)),
        str(random.choice(KINDS)),
        float(random.uniform(0.1, 1.0)),
        float(random.choice((1.0, 1.0, 1.0, 1.0, 0.4, 1.5))),
    )
