"""Worlds that test intervals independently of those they were tuned on; for `interval_coverage.py`.

Not a script. The worlds there are normal; these are Dirichlet: each group has its own probabilities
that both runs are right, one is, or none. Group sizes are all one, geometric, log-normal, power-law
or large scenes among single images, and in every third world groups larger than the mean are harder
or easier. All parameters are drawn once from a seed.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from gleanset.arrays import BoolArray, Float64Array, IntArray

Floats = Float64Array
Flags = BoolArray
GROUPS = (8, 12, 25, 50, 100, 200)
WORLDS_PER_SIZE = 10
"""Worlds for each number of groups."""
TRUTH_GROUPS = 200_000
KINDS = ("single", "geometric", "log-normal", "power law", "scenes")


@dataclass(frozen=True, slots=True)
class RandomWorld:
    """Joint distribution of two runs' correctness on the same images.

    Only the first is right with probability `gained`, only the second with `lost`, neither with
    `missed`, each multiplied by `harder` in groups larger than the mean; `correlation`
    is that within a group. Group sizes follow `kind` with spread `spread`.
    """

    groups: int
    gained: float
    lost: float
    missed: float
    correlation: float
    kind: str
    spread: float
    harder: float

    def draw(self, random: np.random.Generator) -> tuple[Flags, Flags, list[str]]:
        """Draw correctness of both runs, and the group, per image."""
        sizes = self.draw_sizes(random, self.groups)
        # Columns: both right, only the first, only the second, neither.
        chances = random.standard_gamma(
            self.mean_probabilities(sizes) * (1 - self.correlation) / self.correlation
        )
        groups = np.repeat(np.arange(self.groups), sizes)
        edges = (chances / np.maximum(chances.sum(1, keepdims=True), 1e-300)).cumsum(1)[
            groups
        ]
        outcomes = (random.random(len(groups))[:, None] > edges[:, :3]).sum(1)
        return outcomes <= 1, (outcomes == 0) | (outcomes == 2), list(map(str, groups))

    @property
    def label(self) -> str:
        """The parameters; the random draws, and so all figures, depend on this text."""
        chances = f"gained={self.gained}, lost={self.lost}, missed={self.missed}"
        sizes = f"kind={self.kind!r}, spread={self.spread}, harder={self.harder}"
        return f"RandomWorld(groups={self.groups}, {chances}, alike={self.correlation}, {sizes})"

    @property
    def accuracy(self) -> float:
        """The true accuracy of the first run."""
        agreed, gained, _, _ = _estimate_truth(self)
        return agreed + gained

    @property
    def difference(self) -> float:
        """The true difference of the accuracies, first minus second."""
        _, gained, lost, _ = _estimate_truth(self)
        return gained - lost

    def draw_sizes(self, random: np.random.Generator, count: int) -> IntArray:
        """Draw the sizes of `count` groups."""
        drawn_sizes = {
            "single": lambda: np.ones(count),
            "geometric": lambda: random.geometric(1 / (1 + 3 * self.spread), count),
            "log-normal": lambda: random.lognormal(0.5, self.spread, count),
            "power law": lambda: random.pareto(4 - 2 * self.spread, count) * 2,
            "scenes": lambda: np.where(
                random.random(count) < 0.05 + 0.2 * self.spread,
                random.integers(8, 50),
                1,
            ),
        }[self.kind]()
        return np.clip(np.ceil(drawn_sizes), 1, 200).astype(np.int64)

    def mean_probabilities(self, sizes: IntArray) -> Floats:
        """Return mean probabilities, shape (groups, 4), for groups of these sizes."""
        errors = np.array((self.gained, self.lost, self.missed))
        scaled = np.where(sizes > sizes.mean(), self.harder, 1.0)[:, None] * errors
        probabilities: Floats = np.column_stack((1 - scaled.sum(1), scaled))
        return probabilities


@cache
def _estimate_truth(world: RandomWorld) -> tuple[float, ...]:
    """Estimate the mean probabilities over images from many groups."""
    sizes = world.draw_sizes(np.random.default_rng(0), TRUTH_GROUPS)
    return tuple(
        (world.mean_probabilities(sizes) * sizes[:, None]).sum(0) / sizes.sum()
    )


def draw_worlds(seed: int) -> tuple[RandomWorld, ...]:
    """Draw `WORLDS_PER_SIZE` worlds for each number of groups."""
    random = np.random.default_rng(seed)
    return tuple(
        _draw_world(random, groups) for groups in GROUPS for _ in range(WORLDS_PER_SIZE)
    )


def _draw_world(random: np.random.Generator, groups: int) -> RandomWorld:
    gained, lost, missed = random.choice(
        (0.002, 0.02, 0.08, 0.2), 3, p=(0.2, 0.3, 0.3, 0.2)
    )
    return RandomWorld(
        groups,
        float(gained),
        float(lost),
        float(missed),
        float(random.uniform(0.02, 0.98)),
        str(random.choice(KINDS)),
        float(random.uniform(0.1, 1.0)),
        float(random.choice((1.0, 1.0, 1.0, 1.0, 0.4, 1.5))),
    )
