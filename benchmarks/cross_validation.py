"""Coverage of the confidence interval of `baseline train --folds`, by simulation.

    python benchmarks/cross_validation.py [--runs 400] [--folds 5]

Datasets of groups (1 to 8 correlated images of one class) are drawn from worlds with known truth;
folds are assigned as by the command, a classifier is trained for each fold, and the project's own
interval is computed from the pooled out-of-fold predictions. It is compared with three true
accuracies, each measured on 1,000 unseen groups: the mean over the fold models (what was measured),
that of a model trained on all data, and the mean of the latter over all datasets of that size. Two
classifiers represent the extremes of the presets: class means (stable, like a linear head) and the
nearest image (unstable).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.data.samples import assign_folds
from baseline.evaluation.intervals import share_interval
from baseline.train.trials import FOLD_VARIANCE_INFLATION
from gleanset.binomial import Interval

WIDTH, UNSEEN = 8, 1000
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Pictures(NamedTuple):
    """Features (N x `WIDTH`), classes and groups (N)."""

    x: Floats
    y: Numbers
    groups: Numbers

    def at(self, chosen: npt.NDArray[np.bool_]) -> Pictures:
        """Return the selected images."""
        return Pictures(self.x[chosen], self.y[chosen], self.groups[chosen])


class World(NamedTuple):
    """Classes with means spread by `apart`; `alike` is the share of variance between groups."""

    groups: int
    classes: int
    apart: float
    alike: float

    def draw(self, middles: Floats, groups: int, random: np.random.Generator) -> Pictures:
        """Draw groups, with classes in turn."""
        sizes = random.integers(1, 9, groups)
        of = np.repeat(np.arange(groups), sizes)
        y = of % self.classes
        own = random.normal(size=(groups, WIDTH))[of] * self.alike**0.5
        noise = random.normal(size=(len(of), WIDTH)) * (1 - self.alike) ** 0.5
        return Pictures(middles[y] + own + noise, y, of)

    def middles(self, random: np.random.Generator) -> Floats:
        """Draw the class means."""
        return self.apart * random.normal(size=(self.classes, WIDTH))


Learn = Callable[[Pictures, int], Callable[[Floats], Numbers]]


def predict_by_class_mean(learnt: Pictures, classes: int) -> Callable[[Floats], Numbers]:
    """Predict the class with the nearest mean."""
    table = np.full((classes, WIDTH), np.inf)
    for one in np.unique(learnt.y):
        table[one] = learnt.x[learnt.y == one].mean(0)
    table = np.nan_to_num(table, posinf=1e6)
    return lambda x: ((x[:, None] - table) ** 2).sum(2).argmin(1)


def predict_by_nearest_image(learnt: Pictures, classes: int) -> Callable[[Floats], Numbers]:
    """Predict the class of the nearest image."""
    lengths = (learnt.x**2).sum(1)
    return lambda x: learnt.y[(lengths - 2 * x @ learnt.x.T).argmin(1)]


def fold_per_image(pictures: Pictures, folds: int, random: np.random.Generator) -> Numbers:
    """Return the fold of each image, assigned as by the command."""
    members: dict[str, list[SimpleNamespace]] = {}
    for group, label in zip(pictures.groups.tolist(), pictures.y.tolist(), strict=True):
        members.setdefault(str(group), []).append(SimpleNamespace(label=str(label)))
    names = [str(name) for name in random.permutation(sorted(members))]
    dealt = assign_folds(members, names, folds)  # type: ignore[arg-type]
    fold = {int(name): place for place, part in enumerate(dealt) for name in part}
    return np.array([fold[group] for group in pictures.groups.tolist()])


VARIANCES = (1.0, 1.25, FOLD_VARIANCE_INFLATION, 2.25)


class Trial(NamedTuple):
    """Intervals by variance factor, the estimate, and the true accuracies."""

    intervals: dict[float, Interval]
    estimate: float
    of_folds: float
    of_all: float


def run_trial(world: World, learn: Learn, folds: int, random: np.random.Generator) -> Trial:
    """Cross-validate on a random dataset, and measure the true accuracies."""
    middles = world.middles(np.random.default_rng(1))
    data = world.draw(middles, world.groups, random)
    unseen = world.draw(middles, UNSEEN, random)
    fold = fold_per_image(data, folds, random)
    hits = np.zeros(len(fold), np.bool_)
    true = []
    for held in range(folds):
        answer = learn(data.at(fold != held), world.classes)
        out = fold == held
        hits[out] = answer(data.x[out]) == data.y[out]
        true.append(float((answer(unseen.x) == unseen.y).mean()))
    whole = float((learn(data, world.classes)(unseen.x) == unseen.y).mean())
    intervals = {one: share_interval(hits, data.groups, one) for one in VARIANCES}
    return Trial(intervals, hits.mean(), float(np.mean(true)), whole)


LEARNERS: dict[str, Learn] = {
    "class means": predict_by_class_mean,
    "nearest picture": predict_by_nearest_image,
}
WORLDS = [
    World(groups * classes, classes, apart, alike)
    for groups, classes, apart, alike in product((3, 6, 25), (2, 8), (0.5, 0.9, 1.4), (0.3, 0.8))
]


def main() -> None:
    """Print a line for each classifier and world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    print("learner, groups, classes, alike, right; then by each: folds, all, in the mean, width")
    for name, learn in LEARNERS.items():
        for world in WORLDS:
            random = np.random.default_rng([world.groups, world.classes, int(100 * world.alike)])
            found = [
                run_trial(world, learn, arguments.folds, random) for _ in range(arguments.runs)
            ]
            print(
                f"{name:16} {world.groups:4} {world.classes} {world.alike} "
                f"{np.mean([one.estimate for one in found]):.3f} "
                + " | ".join(format_coverage(found, times) for times in VARIANCES),
                flush=True,
            )


def format_coverage(found: list[Trial], times: float) -> str:
    """Format the coverage of each true accuracy, and the mean width."""
    low, high = np.array([one.intervals[times] for one in found]).T
    of_folds, of_all = np.array([(one.of_folds, one.of_all) for one in found]).T
    truths = (of_folds, of_all, np.full_like(low, of_all.mean()))
    covered = [float(((low <= truth) & (truth <= high)).mean()) for truth in truths]
    return " ".join(f"{one:.3f}" for one in (*covered, (high - low).mean()))


if __name__ == "__main__":
    main()
