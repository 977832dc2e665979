"""Binomial bounds: required sample sizes and warnings of small samples."""

from __future__ import annotations

from gleanset.binomial import MIN_RELIABLE_GROUPS, required_sample_size, small_sample_warning


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
        "50 groups of very unequal size (effective number 8) ("
    )
    assert small_sample_warning(12, 9.5).startswith("only 12 groups (")
