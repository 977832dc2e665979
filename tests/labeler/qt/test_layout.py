"""Layout of sections in shelves: in order, without overlap, and not too high."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from labeler.qt.grid.layout import GAP, GridLayout, Section

SIDE = 56
COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=7)


def lay_out(counts: Sequence[int], width: int, *, shares_shelf: bool = True) -> GridLayout:
    sections = [Section("Miku?", count, shares_shelf=shares_shelf) for count in counts]
    return GridLayout(sections, width, SIDE)


def test_small_sections_share_a_shelf() -> None:
    tops = [placed.top for placed in lay_out([3, 2, 30], 600).placed]
    assert tops[0] == tops[1] < tops[2]


@settings(max_examples=examples(30, 100))
@given(COUNTS, st.integers(240, 900))
def test_shelves_never_increase_height(counts: list[int], width: int) -> None:
    assert lay_out(counts, width).height <= lay_out(counts, width, shares_shelf=False).height


@settings(max_examples=examples(30, 100))
@given(COUNTS, st.integers(40, 1200))
def test_tiles_do_not_overlap(counts: list[int], width: int) -> None:
    grid = lay_out(counts, width)
    places = [grid.rect(row) for row in range(sum(counts))]
    assert not any(place.intersects(other) for place, other in combinations(places, 2))
    assert all(grid.row_at(place.center()) == row for row, place in enumerate(places))
    assert all(place.bottom() < grid.height for place in places)
    assert all(place.right() < max(width, SIDE + 2 * GAP) for place in places)
    tops = [(placed.top, placed.left) for placed in grid.placed]
    assert tops == sorted(tops)
