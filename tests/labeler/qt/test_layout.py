"""Layout of sections in shelves: in order, without overlap, as low as possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from labeler.qt.grid.layout import (
    GAP,
    HEADING_HEIGHT,
    MIN_SECTION_COLUMNS,
    SECTION_GAP,
    GridLayout,
    Section,
)

SIDE = 56
COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=7)


def laid_out(counts: Sequence[int], width: int) -> GridLayout:
    return GridLayout([Section("Miku?", count, beside=True) for count in counts], width, SIDE)


def divisions(counts: Sequence[int]) -> Iterator[list[Sequence[int]]]:
    """Yield every way to break a row of sections into shelves."""
    for many in range(len(counts)):
        for cuts in combinations(range(1, len(counts)), many):
            ends = (0, *cuts, len(counts))
            yield [counts[one:two] for one, two in pairwise(ends)]


def fewest_lines(shelf: Sequence[int], width: int) -> int | None:
    """Return with how many lines sections fit beside each other: every number is tried."""
    for lines in range(1, max(shelf) + 1):
        columns = sum(max(-(-count // lines), min(count, MIN_SECTION_COLUMNS)) for count in shelf)
        if columns * (SIDE + GAP) + SECTION_GAP * (len(shelf) - 1) <= width - GAP:
            return lines
    return None


@given(COUNTS, st.integers(240, 900))
def test_no_other_shelves_are_less_high(counts: list[int], width: int) -> None:
    heights = []
    for division in divisions(counts):
        lines = [fewest_lines(shelf, width) for shelf in division]
        if None not in lines:
            heights.append(sum(HEADING_HEIGHT + (SIDE + GAP) * (one or 0) for one in lines))
    assert laid_out(counts, width).height == GAP + min(heights)


@given(COUNTS, st.integers(40, 1200))
def test_each_tile_has_a_place_of_its_own(counts: list[int], width: int) -> None:
    grid = laid_out(counts, width)
    places = [grid.rect(row) for row in range(sum(counts))]
    assert not any(one.intersects(other) for one, other in combinations(places, 2))
    assert all(grid.row_at(place.center()) == row for row, place in enumerate(places))
    assert all(place.bottom() < grid.height for place in places)
    assert all(place.right() < max(width, SIDE + 2 * GAP) for place in places)
    tops = [(place.top, place.left) for place in grid.placed]
    assert tops == sorted(tops)
