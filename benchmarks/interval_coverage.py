"""Coverage and width of each confidence interval and bound, by simulation.

    python benchmarks/interval_coverage.py             # all cases
    python benchmarks/interval_coverage.py --only accuracy --runs 2000
    python benchmarks/interval_coverage.py --table     # only the summary, as in docs/results.md

Test sets of 6, 12, 25 and 100 groups, of 1 to 8 images each or of large scenes among single images,
are drawn from a world with known truth and passed to the project's own functions. Cases "in drawn
worlds" use worlds that were not used to choose a method (`interval_worlds.py`). An oracle knows the
variance between groups: for a share it gives the exact Clopper-Pearson limits at the effective
sample size of the true variance; for anything else the estimate -+ 1.96 true standard errors. A
bound counts as the interval from 0 up to it.

A case is a function of a `World` and a random generator that returns a `Trial`; `@case` registers
it. `tests/baseline/evaluation/test_intervals.py` runs a small fixed version of every case.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from interval_worlds import RandomWorld, draw_worlds
from scipy.special import betaincinv, ndtri
from scipy.stats import norm

from baseline.evaluation.decision_rule import (
    DecisionRule,
    RuleRequest,
    SplitAnswers,
    choose_rule,
    decide,
)
from baseline.evaluation.intervals import compare_paired, group_numbers, share_interval
from baseline.evaluation.outputs import Outputs
from gleanset.arrays import Float64Array, IntArray
from gleanset.errors import InputUnusable

GROUPS = (6, 12, 25, 100)
ACCURACIES = (0.5, 0.8, 0.9, 0.97, 0.99)
CORRELATIONS = (0.0, 0.3, 0.8)
RUNS = 400
TRUTH_SIZE = 20_000
SLACK = 0.02
"""Coverage may fall this far below the nominal level."""


class World(NamedTuple):
    """Distribution of a classifier's predictions.

    Each group has 1 to 8 images of one of two classes; with `scenes` every seventh group has 30
    images and the others one. The score margin is normal, scaled by `scale`, and positive (correct)
    with probability `accuracy`; `correlation` is that of margins within a group. A large `scale`
    makes losses heavy-tailed.
    """

    groups: int
    accuracy: float = 0.8
    correlation: float = 0.3
    scale: float = 1.0
    scenes: bool = False

    def draw(self, random: np.random.Generator) -> tuple[Outputs, list[str]]:
        """Draw the outputs for all images, and the group of each image."""
        sizes = random.integers(1, 9, self.groups)
        if self.scenes:
            sizes = np.where(np.arange(self.groups) % 7, 1, 30)
        groups = np.repeat(np.arange(self.groups), sizes)
        margin = float(ndtri(self.accuracy)) + (
            self.correlation**0.5 * random.normal(size=self.groups)[groups]
            + (1 - self.correlation) ** 0.5 * random.normal(size=len(groups))
        )
        y = random.integers(0, 2, self.groups)[groups]
        return self._make_outputs(margin, y), list(map(str, groups))

    @property
    def label(self) -> str:
        """The parameters; the random draws, and so all figures, depend on this text."""
        parameters = (
            f"groups={self.groups}, accuracy={self.accuracy}, alike={self.correlation}"
        )
        return f"World({parameters}, sure={self.scale}, scenes={self.scenes})"

    def true_outputs(self) -> Outputs:
        """Return evenly spaced quantiles of all outputs, for the true metrics."""
        at = (np.arange(TRUTH_SIZE) + 0.5) / TRUTH_SIZE
        return self._make_outputs(
            ndtri(self.accuracy) + ndtri(at), np.arange(TRUTH_SIZE) % 2
        )

    def _make_outputs(self, margin: Float64Array, y: IntArray) -> Outputs:
        half = np.where(y == 1, 1, -1) * margin * self.scale / 2
        logits = np.stack((-half, half), 1).astype(np.float32)
        return Outputs(logits, y, tuple(map(str, range(len(y)))))


class Trial(NamedTuple):
    """Result of one run: interval limits, estimate, and true value."""

    low: float
    high: float
    estimate: float
    truth: float


Run = Callable[[Any, np.random.Generator], Trial | None]


@dataclass(frozen=True, slots=True)
class Case:
    """Statistic to check, with its nominal coverage.

    `bound`: one-sided; `share`: a share, for which the oracle's limits are exact.
    """

    name: str
    nominal: float
    bound: bool
    share: bool
    worlds: tuple[World, ...] | tuple[RandomWorld, ...]
    run: Run


CASES: dict[str, Case] = {}


def case(
    name: str,
    worlds: Sequence[World] | Sequence[RandomWorld],
    nominal: float = 0.95,
    *,
    bound: bool = False,
    share: bool = True,
) -> Callable[[Run], Run]:
    """Register a case under a name."""

    def register(run: Run) -> Run:
        CASES[name] = Case(name, nominal, bound, share, tuple(worlds), run)
        return run

    return register


def worlds(
    accuracies: Sequence[float] = ACCURACIES,
    correlation: Sequence[float] = CORRELATIONS,
    scale: Sequence[float] = (1.0,),
    scenes: Sequence[bool] = (False,),
) -> list[World]:
    """Return all combinations of the parameters, for every number of groups."""
    return [
        World(*values)
        for values in product(GROUPS, accuracies, correlation, scale, scenes)
    ]


SCENES = worlds((0.8, 0.97), (0.3, 0.8, 0.97), scenes=(True,))


@case("accuracy, scenes beside stills", SCENES)
@case("accuracy", worlds())
def _accuracy(world: World, random: np.random.Generator) -> Trial:
    sample, groups = world.draw(random)
    correct = sample.logits.argmax(1) == sample.y
    return Trial(
        *share_interval(correct, groups), float(correct.mean()), world.accuracy
    )


@case("accuracy in drawn worlds", draw_worlds(1))
def _drawn_accuracy(world: RandomWorld, random: np.random.Generator) -> Trial:
    correct, _, groups = world.draw(random)
    return Trial(
        *share_interval(correct, groups), float(correct.mean()), world.accuracy
    )


@case("difference in drawn worlds", draw_worlds(2), share=False)
def _drawn_difference(world: RandomWorld, random: np.random.Generator) -> Trial | None:
    result = compare_paired(*world.draw(random))
    if result.interval is None:
        return None
    return Trial(*result.interval, result.difference, world.difference)


@case("difference of two runs", worlds(), share=False)
def _difference(world: World, random: np.random.Generator) -> Trial | None:
    """Compare with a second run: correlated margins, slightly higher accuracy."""
    sample, groups = world.draw(random)
    at = np.unique(np.array(groups), return_inverse=True)[1]
    sign = np.where(sample.y == 1, 1, -1)
    margin = (sample.logits[:, 1] - sample.logits[:, 0]) * sign
    own = 0.3 + 0.5 * (
        world.correlation**0.5 * random.normal(size=world.groups)[at]
        + (1 - world.correlation) ** 0.5 * random.normal(size=len(at))
    )
    result = compare_paired(margin + own > 0, margin > 0, groups)
    if result.interval is None:
        return None
    true = float(norm.cdf((ndtri(world.accuracy) + 0.3) / 1.25**0.5)) - world.accuracy
    return Trial(*result.interval, result.difference, true)


@case("accuracy of a part", worlds((0.8, 0.97), (0.3, 0.8)))
def _subgroup_accuracy(world: World, random: np.random.Generator) -> Trial | None:
    """Measure the accuracy of one class."""
    sample, groups = world.draw(random)
    rows = np.flatnonzero(sample.y == 1)
    right = sample.right[rows]
    groups = [groups[row] for row in rows]
    if len(set(groups)) < 2:
        return None
    return Trial(*share_interval(right, groups), float(right.mean()), world.accuracy)


CLASSES = ("a", "b")


def _choose_rule(
    world: World, random: np.random.Generator, request: RuleRequest
) -> DecisionRule:
    sample, groups = world.draw(random)
    return choose_rule(
        SplitAnswers(sample, CLASSES, group_numbers(groups)), request, DecisionRule()
    )


BOUNDED = worlds((0.6, 0.8, 0.9, 0.97), CORRELATIONS)


@case("--protect CLASS=90%", BOUNDED, bound=True)
def _protected(world: World, random: np.random.Generator) -> Trial | None:
    try:
        rule = _choose_rule(world, random, RuleRequest({"b": 0.9}))
    except InputUnusable:
        return None
    outputs = world.true_outputs()
    lost = decide(outputs.logits, CLASSES, rule).classes[outputs.y == 1] != 1
    (protected,) = rule.effects.protected
    return Trial(
        0, protected.upper_bound, protected.lost / protected.count, float(lost.mean())
    )


class Row(NamedTuple):
    """Coverage of a case in one world, and its mean width relative to the oracle's."""

    case: str
    world: World | RandomWorld
    nominal: float
    coverage: float
    relative_width: float
    runs: int

    @property
    def is_nominal(self) -> bool:
        """Whether coverage reaches the nominal level, within slack and sampling error."""
        error = 2 * (self.nominal * (1 - self.nominal) / self.runs) ** 0.5
        return self.coverage >= self.nominal - SLACK - error


def measure(case: Case, world: World | RandomWorld, runs: int) -> Row | None:
    """Run a case `runs` times; None if it rarely gives intervals."""
    random = np.random.default_rng(
        zlib.crc32(f"({case.name!r}, {world.label})".encode())
    )
    trials = [
        trial for _ in range(runs) if (trial := case.run(world, random)) is not None
    ]
    if len(trials) < max(10, runs // 10):
        return None
    low, high, estimate, true = np.array(trials).T
    inside = (low <= true + 1e-9) & (true <= high + 1e-9)
    error = float(np.std(estimate - true))
    oracle = _oracle_width(
        case, np.clip(estimate, 0, 1) if case.share else estimate, error
    )
    return Row(
        case.name,
        world,
        case.nominal,
        float(inside.mean()),
        float((high - low).mean() / oracle),
        len(trials),
    )


def _oracle_width(case: Case, estimate: np.ndarray, error: float) -> float:
    """Return the mean interval width if the standard error were known."""
    end = case.nominal if case.bound else (1 + case.nominal) / 2
    if not case.share:
        return max(2 * float(ndtri(end)) * error, 1e-9)
    middle = float(np.clip(estimate.mean(), 1e-3, 1 - 1e-3))
    cases = middle * (1 - middle) / max(error, 1e-4) ** 2

    def limit(share: np.ndarray) -> np.ndarray:
        failures = np.maximum((1 - share) * cases, 1e-9)
        return np.where(share >= 1, 1, betaincinv(share * cases + 1, failures, end))

    high = limit(estimate)
    return float((high if case.bound else high - (1 - limit(1 - estimate))).mean())


def iter_rows(only: Sequence[str], runs: int) -> Iterator[Row]:
    """Yield rows of the cases whose names contain one of the words `only`."""
    for case in CASES.values():
        if not only or any(word in case.name for word in only):
            result = (measure(case, world, runs) for world in case.worlds)
            yield from (row for row in result if row is not None)


def format_summary(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a Markdown table by case and number of groups."""
    yield "| figure | nominal | groups | coverage: mean | worst | width / oracle: median | max |"
    yield "|---|---|---|---|---|---|---|"
    for name, groups in dict.fromkeys((row.case, row.world.groups) for row in rows):
        group = [row for row in rows if (row.case, row.world.groups) == (name, groups)]
        coverage, width = (
            [row.coverage for row in group],
            [row.relative_width for row in group],
        )
        yield (
            f"| {name} | {group[0].nominal:.2f} | {groups} | {np.mean(coverage):.3f} | "
            f"{min(coverage):.3f} | {np.median(width):.2f} | {max(width):.2f} |"
        )


def main() -> None:
    """Run the simulations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for row in iter_rows(arguments.only, arguments.runs):
        rows.append(row)
        if not arguments.table:
            warning = "" if row.is_nominal else "  TOO LOW"
            print(
                f"{row.case}: {row.world.label}: coverage {row.coverage:.3f} of {row.nominal}, "
                f"width {row.relative_width:.2f} x the oracle's{warning}",
                flush=True,
            )
    print("\n".join(format_summary(rows)))


if __name__ == "__main__":
    main()
