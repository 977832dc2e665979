"""Boxes of one detector in the manner of another."""

from __future__ import annotations

import pytest

from webapp.box_styles import BoxStyle, style_between


def test_a_cascades_box_shrinks_about_its_middle() -> None:
    assert style_between("lbpcascade", "animeface") == BoxStyle(0.734, 0.734)


@pytest.mark.parametrize("wanted", ["animeface", "lbpcascade", "drawnface"])
def test_there_and_back_is_the_same_box(wanted: str) -> None:
    there, back = style_between("drawnface", wanted), style_between(wanted, "drawnface")
    width, height = there.width * back.width, there.height * back.height
    right, down = there.right + there.width * back.right, there.down + there.height * back.down
    assert (width, height, right, down) == pytest.approx((1, 1, 0, 0))
