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
