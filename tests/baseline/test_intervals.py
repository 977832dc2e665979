"""Intervals and bounds in moments, against what scipy and textbooks say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from baseline.evaluation.intervals import (
    compare_paired,
    difference_interval,
    intervals,
    randomization_p,
    share_at_most,
    share_interval,
)

shares = st.integers(2, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(shares)
def test_the_bound_of_independent_pictures_is_clopper_and_pearsons(case: tuple[int, int]) -> None:
    """Exactly where nothing hits; else wider by what the variance is not known."""
    hits, count = case
    found = share_at_most(np.arange(count) < hits, np.arange(count))
    exact = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    assert found >= exact - 1e-9
    if hits == 0:
        assert found == pytest.approx(exact)
    if count >= 100:
        assert found <= exact + 0.2 / count**0.5


@given(shares, st.integers(1, 8), st.integers(0, 99))
def test_an_interval_holds_the_share_and_stays_within(
    case: tuple[int, int], each: int, seed: int
) -> None:
    hits, count = case
    right = np.random.default_rng(seed).permutation(np.arange(count) < hits)
    low, high = share_interval(right, np.arange(count) // each)
    assert 0 <= low <= right.mean() + 1e-9
    assert right.mean() - 1e-9 <= high <= 1


def test_repeating_every_picture_in_its_moment_changes_no_interval() -> None:
    random = np.random.default_rng(0)
    logits, y = random.normal(size=(40, 3)).astype(np.float32), random.integers(0, 3, 40)
    logits[np.arange(40), y] += 1
    once = intervals(logits, y, [str(i) for i in range(40)])
    five = intervals(np.repeat(logits, 5, 0), np.repeat(y, 5), [str(i // 5) for i in range(200)])
    for name, told in once.items():
        assert tuple(five[name]) == pytest.approx(tuple(told), abs=0.005), name


def test_one_moment_bounds_nothing_and_no_picture_either() -> None:
    one = np.zeros(9, np.int64)
    assert share_at_most(np.arange(9) < 3, one) == 1
    assert share_at_most(one > 0, one) == pytest.approx(0.95)
    assert share_at_most(np.zeros(0, bool), np.zeros(0, np.int64)) == 1


def test_the_exact_test_takes_moments_for_cases() -> None:
    """Four frames of a scene that only one run gets right are one piece of luck."""
    other, moments = np.zeros(40, bool), [str(i // 4) for i in range(40)]
    this = np.arange(40) < 12
    told = compare_paired(this, other, moments)
    assert told.p == pytest.approx(2 * 0.5**3)
    assert not told.clear
    assert compare_paired(this, other, [str(i) for i in range(40)]).clear
    assert randomization_p([]) == 1
    # By hand: 3 of the 8 signs of 1, 1, 2 give a sum of at least 2, and as many -2 or less.
    assert randomization_p([1, -1, 2]) == pytest.approx(6 / 8)


def test_runs_that_agree_on_few_moments_may_differ_on_others() -> None:
    low, high = difference_interval(np.zeros(24), np.arange(24) // 4)
    assert low == pytest.approx(-high)
    assert high > 0.1
    wide = difference_interval(np.zeros(400), np.arange(400) // 4)
    assert wide.high < 0.02
