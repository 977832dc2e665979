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

from baseline.data.samples import assign_folds
from baseline.evaluation.intervals import share_interval
from baseline.train.trials import FOLD_VARIANCE_INFLATION
from gleanset.arrays import BoolArray, Float64Array, IntArray
from gleanset.records import Interval

DIMENSIONS = 8
UNSEEN_GROUPS = 1000
Integers = IntArray
Floats = Float64Array


class Images(NamedTuple):
    """Features (N x `DIMENSIONS`), classes and groups (N)."""

    x: Floats
    y: Integers
    groups: Integers

    def select(self, mask: BoolArray) -> Images:
        """Return the selected images."""
        return Images(self.x[mask], self.y[mask], self.groups[mask])


class World(NamedTuple):
    """Distribution of classes with means spread by `separation`.

    `correlation` is the share of variance between groups.
    """

    groups: int
    classes: int
    separation: float
    correlation: float

    def draw(
        self, class_means: Floats, groups: int, random: np.random.Generator
    ) -> Images:
        """Draw groups, with classes in turn."""
        sizes = random.integers(1, 9, groups)
        image_groups = np.repeat(np.arange(groups), sizes)
        y = image_groups % self.classes
        own = (
            random.normal(size=(groups, DIMENSIONS))[image_groups]
            * self.correlation**0.5
        )
        noise = (
            random.normal(size=(len(image_groups), DIMENSIONS))
            * (1 - self.correlation) ** 0.5
        )
        return Images(class_means[y] + own + noise, y, image_groups)

    def draw_class_means(self, random: np.random.Generator) -> Floats:
        """Draw the class means."""
        return self.separation * random.normal(size=(self.classes, DIMENSIONS))


Learner = Callable[[Images, int], Callable[[Floats], Integers]]


def predict_by_class_mean(data: Images, classes: int) -> Callable[[Floats], Integers]:
    """Predict the class with the nearest mean."""
    table = np.full((classes, DIMENSIONS), np.inf)
    for label in np.unique(data.y):
        table[label] = data.x[data.y == label].mean(0)
    table = np.nan_to_num(table, posinf=1e6)
    return lambda x: ((x[:, None] - table) ** 2).sum(2).argmin(1)


def predict_by_nearest_image(
    data: Images, classes: int
) -> Callable[[Floats], Integers]:
    """Predict the class of the nearest image."""
    norms = (data.x**2).sum(1)
    return lambda x: data.y[(norms - 2 * x @ data.x.T).argmin(1)]


def assign_image_folds(
    images: Images, folds: int, random: np.random.Generator
) -> Integers:
    """Return the fold of each image, assigned as by the command."""
    members: dict[str, list[SimpleNamespace]] = {}
    for group, label in zip(images.groups.tolist(), images.y.tolist(), strict=True):
        members.setdefault(str(group), []).append(SimpleNamespace(label=str(label)))
    names = [str(name) for name in random.permutation(sorted(members))]
    parts = assign_folds(members, names, folds)  # type: ignore[arg-type]
    fold = {int(name): number for number, part in enumerate(parts) for name in part}
    return np.array([fold[group] for group in images.groups.tolist()])


VARIANCE_FACTORS = (1.0, 1.25, FOLD_VARIANCE_INFLATION, 2.25)


class Trial(NamedTuple):
    """Intervals by variance factor, the estimate, and the accuracies on unseen groups."""

    intervals: dict[float, Interval]
    estimate: float
    fold_accuracy: float
    full_accuracy: float


def run_trial(
    world: World, learn: Learner, folds: int, random: np.random.Generator
) -> Trial:
    """Cross-validate on a random dataset, and measure the true accuracies."""
    class_means = world.draw_class_means(np.random.default_rng(1))
    data = world.draw(class_means, world.groups, random)
    unseen = world.draw(class_means, UNSEEN_GROUPS, random)
    fold = assign_image_folds(data, folds, random)
    hits = np.zeros(len(fold), np.bool_)
    fold_accuracies = []
    for held_out in range(folds):
        predict = learn(data.select(fold != held_out), world.classes)
        test = fold == held_out
        hits[test] = predict(data.x[test]) == data.y[test]
        fold_accuracies.append(float((predict(unseen.x) == unseen.y).mean()))
    full = float((learn(data, world.classes)(unseen.x) == unseen.y).mean())
    intervals = {
        factor: share_interval(hits, data.groups, factor) for factor in VARIANCE_FACTORS
    }
    return Trial(intervals, hits.mean(), float(np.mean(fold_accuracies)), full)


LEARNERS: dict[str, Learner] = {
    "class means": predict_by_class_mean,
    "nearest image": predict_by_nearest_image,
}
WORLDS = [
    World(groups * classes, classes, separation, correlation)
    for groups, classes, separation, correlation in product(
        (3, 6, 25), (2, 8), (0.5, 0.9, 1.4), (0.3, 0.8)
    )
]


def main() -> None:
    """Print a line for each classifier and world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    print(
        "learner, groups, classes, correlation, accuracy; for each variance factor the coverage of"
    )
    print(
        "the accuracy of the fold models, of a model on all data, of its mean, and the width"
    )
    for name, learn in LEARNERS.items():
        for world in WORLDS:
            random = np.random.default_rng(
                [world.groups, world.classes, int(100 * world.correlation)]
            )
            trials = [
                run_trial(world, learn, arguments.folds, random)
                for _ in range(arguments.runs)
            ]
            print(
                f"{name:16} {world.groups:4} {world.classes} {world.correlation} "
                f"{np.mean([trial.estimate for trial in trials]):.3f} "
                + " | ".join(
                    format_coverage(trials, factor) for factor in VARIANCE_FACTORS
                ),
                flush=True,
            )


def format_coverage(trials: list[Trial], factor: float) -> str:
    """Format the coverage of each true accuracy, and the mean width."""
    low, high = np.array([trial.intervals[factor] for trial in trials]).T
    folds = np.array([trial.fold_accuracy for trial in trials])
    full = np.array([trial.full_accuracy for trial in trials])
    truths = (folds, full, np.full_like(low, full.mean()))
    coverage = [float(((low <= truth) & (truth <= high)).mean()) for truth in truths]
    return " ".join(f"{value:.3f}" for value in (*coverage, (high - low).mean()))


if __name__ == "__main__":
    main()
