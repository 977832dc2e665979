"""What few cases can tell."""

from __future__ import annotations

from gleanset.binomial import FEW, few, needed_for


def test_how_many_it_takes_to_promise() -> None:
    assert needed_for(0.001) == 2995
    assert 1 - 0.05 ** (1 / 2995) <= 0.001 < 1 - 0.05 ** (1 / 2994)
    assert needed_for(0.0) == 0


def test_under_twenty_moments_a_plain_warning_is_given() -> None:
    assert few(FEW) == few(None) == ""
    assert few(FEW - 1).startswith("only 19 moments")
    assert few(1).startswith("only 1 moment (")


def test_moments_of_very_unequal_size_are_warned_of_as_well() -> None:
    assert few(50, float(FEW)) == ""
    assert few(50, 8.3).startswith("50 moments so unequal in size that they tell as little as 8 (")
    assert few(12, 9.5).startswith("only 12 moments (")
