"""Intervals and bounds: by hand, and as often right as they promise."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tools_for_tests import ROOT

from baseline.evaluation.intervals import (
    bound_share,
    compare_paired,
    difference_interval,
    effective_groups,
    randomization_test,
    share_interval,
    share_interval_or_none,
)

sys.path.insert(0, str(ROOT / "benchmarks"))
from interval_coverage import CASES, Case, measure

shares = st.integers(2, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(shares)
def test_the_bound_of_independent_pictures_is_clopper_and_pearsons(case: tuple[int, int]) -> None:
    """Exactly where nothing hits; else wider by what the variance is not known."""
    hits, count = case
    result = bound_share(np.arange(count) < hits, np.arange(count))
    exact = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    assert result >= exact - 1e-9
    if hits == 0:
        assert result == pytest.approx(exact)
    if count >= 100:
        assert result <= exact + 0.2 / count**0.5


def test_repeating_every_picture_in_its_group_changes_no_interval() -> None:
    right = np.random.default_rng(0).random(40) < 0.7
    once = share_interval(right, np.arange(40))
    five = share_interval(np.repeat(right, 5), np.arange(200) // 5)
    assert tuple(five) == pytest.approx(tuple(once), abs=0.005)


def test_one_group_bounds_nothing_and_no_picture_either() -> None:
    one = np.zeros(9, np.int64)
    assert bound_share(np.arange(9) < 3, one) == 1
    assert bound_share(one > 0, one) == pytest.approx(0.95)
    assert bound_share(np.zeros(0, bool), np.zeros(0, np.int64)) == 1
    assert share_interval_or_none(one > 0, one) is None


def test_the_exact_test_takes_groups_for_cases() -> None:
    """Four frames of a scene that only one run gets right are one piece of luck."""
    other, groups = np.zeros(40, bool), [str(i // 4) for i in range(40)]
    this = np.arange(40) < 12
    result = compare_paired(this, other, groups)
    assert result.p == pytest.approx(2 * 0.5**3)
    assert not result.clear
    assert compare_paired(this, other, [str(i) for i in range(40)]).clear
    assert randomization_test([]) == 1
    # By hand: 3 of the 8 signs of 1, 1, 2 give a sum of at least 2, and as many -2 or less.
    assert randomization_test([1, -1, 2]) == pytest.approx(6 / 8)


@pytest.mark.parametrize("count", [12, 25, 100])
def test_runs_that_never_differ_may_differ_by_the_exact_limits(count: int) -> None:
    """Of other pictures, as rare as the exact limit of none in so many says."""
    result = compare_paired(*[np.ones(count, bool)] * 2, [str(i) for i in range(count)]).interval
    most = stats.beta.ppf(0.975, 1, count)
    assert result is not None
    assert tuple(result) == pytest.approx((-most, most))
    four = difference_interval(np.zeros(4 * count), np.arange(4 * count) // 4)
    assert tuple(four) == pytest.approx((-most, most))


@pytest.mark.parametrize(("count", "gain"), [(12, 0.08), (25, 0.05), (100, 0.05)])
def test_a_small_gain_lies_within_the_interval_of_the_difference(count: int, gain: float) -> None:
    """Exactly: the chance of every number of gains, times whether the interval holds the truth."""
    groups = np.arange(count)
    held = [tuple(difference_interval((groups < hits) * 1.0, groups)) for hits in groups]
    chances = stats.binom.pmf(groups, count, gain)
    assert sum(chances[[low <= gain <= high for low, high in held]]) >= 0.95


def test_a_few_large_groups_decide_how_much_is_known() -> None:
    """Fifteen scenes of 30 beside 85 stills tell no more than 21 groups of equal size."""
    sizes = np.where(np.arange(100) < 15, 30, 1)
    groups = np.repeat(np.arange(100), sizes)
    known = 535**2 / (15 * 900 + 85)
    assert effective_groups(groups) == pytest.approx(known)
    assert effective_groups(np.arange(40) // 4) == pytest.approx(10)
    assert bound_share(groups < 0, groups) == pytest.approx(1 - 0.05 ** (1 / known))
    # No scene is missed, eight stills are: of the scenes that says little.
    low, _ = share_interval(groups < 92, groups)
    assert low < 0.93


RUNS = 40
EACH = 4
"""Worlds of each case, spread over all it has."""


@pytest.mark.parametrize("one", CASES.values(), ids=lambda one: one.name)
def test_intervals_and_bounds_hold_the_truth_as_often_as_promised(one: Case) -> None:
    step = max(1, len(one.worlds) // EACH)
    rows = [measure(one, world, RUNS) for world in one.worlds[step // 2 :: step]]
    result = [row for row in rows if row is not None]
    assert result
    assert not [row for row in result if not row.kept]
    # All together, luck has less to do with it.
    assert sum(row.covered for row in result) / len(result) >= one.promised - 0.02


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if "drawn" in name])
def test_every_drawn_world_is_covered(name: str) -> None:
    rows = [measure(CASES[name], world, 200) for world in CASES[name].worlds]
    assert not [row for row in rows if row is None or not row.kept]
