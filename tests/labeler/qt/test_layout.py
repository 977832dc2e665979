"""Layout of sections in shelves: in order and without overlap."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from labeler.qt.grid.layout import GAP, INSET, GridLayout, Section

SIDE = 56
COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=7)


@settings(max_examples=examples(30, 100))
@given(COUNTS, st.integers(40, 1200))
def test_tiles_do_not_overlap(counts: list[int], width: int) -> None:
    sections = [Section("Miku?", count, shares_shelf=True) for count in counts]
    grid = GridLayout(sections, width, SIDE)
    places = [grid.rect(row) for row in range(sum(counts))]
    assert not any(place.intersects(other) for place, other in combinations(places, 2))
    assert all(grid.row_at(place.center()) == row for row, place in enumerate(places))
    assert all(place.bottom() < grid.height for place in places)
    assert all(place.right() < max(width, SIDE + 2 * (GAP + INSET)) for place in places)
    tops = [(placed.top, placed.left) for placed in grid.placed]
    assert tops == sorted(tops)
