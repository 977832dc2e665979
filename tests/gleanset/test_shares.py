"""Intervals and bounds of a share, against scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gleanset.shares import at_most, needed_for, up_to, wilson

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_the_bound_is_clopper_and_pearsons(case: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    hits, count = case
    expected = stats.beta.ppf(0.95, hits + 1, count - hits) if hits < count else 1.0
    assert at_most(hits, count) == pytest.approx(expected, abs=1e-9)


@given(counts, st.floats(0, 1))
def test_the_sum_of_the_binomial_is_scipys(case: tuple[int, int], share: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    assert up_to(*case, share) == pytest.approx(stats.binom.cdf(*case, share), abs=1e-9)


@given(counts)
def test_wilson_holds_the_share_and_stays_within(case: tuple[int, int]) -> None:
    right, count = case
    low, high = wilson(right, count)
    assert 0 <= low <= right / count + 1e-12
    assert right / count - 1e-12 <= high <= 1


def test_the_ends_of_the_binomial() -> None:
    assert (up_to(1, 1, 1.0), up_to(0, 1, 1.0), up_to(0, 9, 0.0)) == (1, 0, 1)


def test_how_many_it_takes_to_promise() -> None:
    assert needed_for(0.001) == 2995
    assert at_most(0, 2995) <= 0.001 < at_most(0, 2994)
    assert needed_for(0.0) == 0
