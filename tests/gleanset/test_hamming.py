"""Near pairs of hashes, and uncertainty of shares."""

import resource

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from baseline.evaluation.intervals import (
    MIN_RELIABLE_GROUPS,
    required_sample_size,
    small_sample_warning,
)
from gleanset.hamming import HashIndex, NearPairs, find_near_pairs

MAX_DISTANCE = 22

HASH = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 63).map(lambda bit: 1 << bit)
)
Pairs = dict[tuple[int, int], int]


def array(values: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


def to_dict(parts: list[NearPairs]) -> Pairs:
    rows = [
        row for part in parts for row in zip(*(x.tolist() for x in part), strict=True)
    ]
    result = {(a, b): apart for a, b, apart in rows}
    assert len(result) == len(rows), "a pair came twice"
    return result


def by_brute_force(left: list[int], right: list[int], distance: int) -> Pairs:
    return {
        (i, j): (a ^ b).bit_count()
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if (a ^ b).bit_count() <= distance
    }


@given(
    st.lists(HASH, max_size=20),
    st.lists(HASH, max_size=20),
    st.integers(0, MAX_DISTANCE),
)
@settings(max_examples=examples(12, 200))
def test_pairs_equal_brute_force(new: list[int], old: list[int], distance: int) -> None:
    near = [value ^ (1 << bit) ^ (1 << (bit * 7 % 64)) for bit, value in enumerate(new)]
    hashes = HashIndex(array(new + near), distance)
    for others in (old + near, new):  # one index serves several lists
        pairs = to_dict(list(hashes.find_pairs_with(array(others))))
        assert pairs == by_brute_force(new + near, others, distance)
    within = {
        pair: apart
        for pair, apart in by_brute_force(new + near, new + near, distance).items()
        if pair[0] < pair[1]
    }
    assert to_dict(list(hashes.find_pairs_within())) == within
    if len(set(new + near)) == 2 * len(new):
        assert to_dict(list(find_near_pairs(array(new + near), distance))) == within


def clustered(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    """Return hashes, a third of them near another, as in a harvest."""
    random = np.random.default_rng(7)
    base = random.integers(0, 2**64, size * 2 // 3, dtype=np.uint64)
    near = base[random.integers(0, len(base) // 5, size - len(base))]
    for _ in range(7):
        flips = np.uint64(1) << random.integers(0, 64, len(near), dtype=np.uint64)
        near = near ^ np.where(random.random(len(near)) < 0.6, flips, np.uint64(0))
    return np.concatenate([base, near])


def test_dense_cluster_takes_linear_memory() -> None:
    blob = np.concatenate([np.full(200_000, 0xABCDEF, np.uint64), clustered(2000)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = sum(len(part.a) for part in find_near_pairs(blob, 8))
    assert 200_000 <= pairs < 210_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_required_sample_size() -> None:
    assert required_sample_size(0.001) == 2995
    assert 1 - 0.05 ** (1 / 2995) <= 0.001 < 1 - 0.05 ** (1 / 2994)
    assert required_sample_size(0.0) == 0


def test_few_groups_give_warning() -> None:
    assert small_sample_warning(MIN_RELIABLE_GROUPS) == small_sample_warning(None) == ""
    assert small_sample_warning(MIN_RELIABLE_GROUPS - 1).startswith("only 19 groups")
    assert small_sample_warning(1).startswith("only 1 group (")


def test_unequal_group_sizes_give_warning() -> None:
    assert small_sample_warning(50, float(MIN_RELIABLE_GROUPS)) == ""
    assert small_sample_warning(50, 8.3).startswith(
        "50 groups of unequal size, as reliable as 8 equal ones ("
    )
    assert small_sample_warning(12, 9.5).startswith("only 12 groups (")
