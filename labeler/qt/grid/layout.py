"""Where tiles are: rows of equal squares in sections, each found by arithmetic alone.

A hundred thousand tiles cost no more than a hundred. All lengths are logical pixels, from the
top left of the whole content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

from PySide6.QtCore import QPoint, QRect

GAP = 4
HEADING = 26
SECTION_GAP = 16
MIN_SECTION_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Section:
    """`count` tiles under a heading ('' for none), `scale` times as large as usual.

    Sections that are `beside` others share shelves with them (see `shelves`).
    """

    title: str
    count: int
    scale: float = 1.0
    beside: bool = False


class PlacedSection(NamedTuple):
    """A section where it lies: its first tile's number, its top and left, and its grid."""

    section: Section
    first: int
    top: int
    cell: int
    columns: int
    left: int = GAP

    @property
    def lines(self) -> int:
        return -(-self.section.count // self.columns)

    @property
    def bottom(self) -> int:
        return self.top + self.lines * self.cell

    @property
    def right(self) -> int:
        return self.left + self.columns * self.cell

    @property
    def box(self) -> QRect:
        """The whole section: heading, tiles, gaps and the empty end of its last line."""
        top = self.top - (HEADING if self.section.title else 0)
        return QRect(self.left, top, self.right - self.left, self.bottom - top)


def _columns(count: int, lines: int) -> int:
    """Return how broad a section of so many tiles is in a shelf of so many lines."""
    return max(-(-count // lines), min(count, MIN_SECTION_COLUMNS))


def shelves(counts: Sequence[int], width: int, cell: int) -> list[tuple[int, int]]:
    """Return how many sections stand in each shelf, and how many lines of tiles high it is, so that
    all together are least high.

    `counts` are the tiles of the sections, which stay in their order; a shelf is as broad as
    `width`. By dynamic programming over where shelves end, as lines of a paragraph are broken.
    """
    best = [(0, 0, 0)]  # height of the first so many, where their last shelf begins, its lines
    for end in range(1, len(counts) + 1):
        ways: list[tuple[int, int, int]] = []
        lines = 1
        for first in range(end - 1, -1, -1):
            lines = _fewest_lines(counts[first:end], width, cell, lines)
            if not lines and ways:
                break
            lines = lines or counts[first]  # too broad even alone
            ways.append((best[first][0] + HEADING + cell * lines, first, lines))
        best.append(min(ways))
    ends, end = [], len(counts)
    while end:
        _, first, lines = best[end]
        ends.append((end - first, lines))
        end = first
    return ends[::-1]


def _fewest_lines(counts: Sequence[int], width: int, cell: int, lines: int) -> int:
    """Return in how many lines, at least so many, sections have room beside each other; 0 where
    they never have.
    """
    room = (width - GAP - SECTION_GAP * (len(counts) - 1)) // cell
    tries = range(lines, max(lines, *counts) + 1)
    return next((n for n in tries if sum(_columns(count, n) for count in counts) <= room), 0)


class GridLayout:
    """The places of all tiles for one width of a window and one size of tiles."""

    def __init__(self, sections: Sequence[Section], width: int, side: int) -> None:
        self.placed: list[PlacedSection] = []
        self.count = 0
        self.height = GAP
        for beside, run in groupby(sections, lambda section: section.beside):
            if beside:
                self._place_beside(list(run), width, side + GAP)
                continue
            for section in run:
                cell = round(side * section.scale) + GAP
                columns = max(1, (width - GAP) // cell)
                # What is left over at the right makes every tile a little larger.
                cell = max(1, (width - GAP) // columns) if section.count > columns else cell
                top = self.height + (HEADING if section.title else 0)
                self._place(section, top, cell, columns)

    def _place(
        self, section: Section, top: int, cell: int, columns: int, left: int = GAP
    ) -> PlacedSection:
        placed = PlacedSection(section, self.count, top, cell, columns, left)
        self.placed.append(placed)
        self.count += section.count
        self.height = max(self.height, placed.bottom)
        return placed

    def _place_beside(self, sections: Sequence[Section], width: int, cell: int) -> None:
        rest = iter(sections)
        for many, lines in shelves([section.count for section in sections], width, cell):
            top, left = self.height + HEADING, GAP
            for section in islice(rest, many):
                columns = min(_columns(section.count, lines), max(1, (width - GAP) // cell))
                left = self._place(section, top, cell, columns, left).right + SECTION_GAP

    def rect(self, row: int) -> QRect:
        """Return the square of a tile; an empty one where there is no such tile."""
        place = self.of(row)
        if place is None:
            return QRect()
        line, column = divmod(row - place.first, place.columns)
        left, top = place.left + column * place.cell, place.top + line * place.cell
        return QRect(left, top, place.cell - GAP, place.cell - GAP)

    def of(self, row: int) -> PlacedSection | None:
        for place in self.placed:
            if place.first <= row < place.first + place.section.count:
                return place
        return None

    def row_at(self, point: QPoint) -> int:
        """Return the tile under a point, -1 for none."""
        for place in self.placed:
            across = place.left <= point.x() < place.right
            if across and place.top <= point.y() < place.bottom:
                line = (point.y() - place.top) // place.cell
                row = place.first + line * place.columns + (point.x() - place.left) // place.cell
                inside = row < place.first + place.section.count
                return row if inside and self.rect(row).contains(point) else -1
        return -1

    def section_at(self, point: QPoint) -> PlacedSection | None:
        return next((place for place in self.placed if place.box.contains(point)), None)

    def ranges(self, area: QRect) -> Iterator[tuple[int, int]]:
        """Yield the tiles that touch an area, as (first, last), line by line; whole lines
        as one.
        """
        for place in self.placed:
            lines = self._span(
                area.top() - place.top, area.bottom() - place.top, place.cell, place.lines
            )
            columns = self._span(
                area.left() - place.left, area.right() - place.left, place.cell, place.columns
            )
            if lines and columns:
                yield from self._of_lines(place, lines, columns)

    @staticmethod
    def _span(low: int, high: int, cell: int, count: int) -> range:
        first, last = max(0, low // cell), min(count - 1, high // cell)
        # The gap behind a tile belongs to nobody.
        if low >= 0 and low % cell >= cell - GAP:
            first += 1
        return range(first, last + 1) if high >= 0 else range(0)

    @staticmethod
    def _of_lines(place: PlacedSection, lines: range, columns: range) -> Iterator[tuple[int, int]]:
        end = place.first + place.section.count - 1
        if len(columns) == place.columns:
            start = place.first + lines.start * place.columns
            yield start, min(end, place.first + lines.stop * place.columns - 1)
            return
        for line in lines:
            start = place.first + line * place.columns + columns.start
            if start <= end:
                yield start, min(end, start + len(columns) - 1)

    def moved(self, row: int, across: int, down: int) -> int:
        """Return the tile that an arrow key leads to; stays within, and goes over to other
        sections.
        """
        if across:
            return min(max(row + across, 0), self.count - 1)
        rect = self.rect(row)
        for step in range(1, 4):
            beyond = rect.center().y() + down * (rect.height() * step + GAP + HEADING // step)
            found = self._nearest(rect.center().x(), beyond, row, down)
            if found != row:
                return found
        return row

    def _nearest(self, x: int, y: int, row: int, down: int) -> int:
        """Return the tile of the line at height `y` that is nearest to `x`."""
        level = [p for p in self.placed if p.section.count and p.top <= y < p.bottom]
        for place in sorted(level, key=lambda p: max(p.left - x, x - p.right, 0)):
            line = (y - place.top) // place.cell
            column = min(max((x - place.left) // place.cell, 0), place.columns - 1)
            end = place.first + place.section.count - 1
            found = min(place.first + line * place.columns + column, end)
            if (found - row) * down > 0:
                return found
        return row
