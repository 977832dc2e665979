"""The grid layout: rows of equal squares in sections, found by arithmetic alone.

A hundred thousand tiles cost no more than a hundred. All lengths are logical pixels, from the top
left corner of the content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

from PySide6.QtCore import QPoint, QRect, QSize

from labeler.qt.theme import SPACE_M

GAP = 4
HEADING_HEIGHT = 34
INSET = SPACE_M
"""Between the edge of a card and its tiles, and between two cards."""

CARD_HEIGHT = HEADING_HEIGHT + 2 * INSET - GAP
SECTION_GAP = 3 * INSET - GAP
ANY_WIDTH, MAX_LINE_DISTANCE = 100_000, 1000
MIN_SECTION_COLUMNS = 2, 3  # of one tile, so that its name is readable, and of more


@dataclass(frozen=True)
class Section:
    """`count` tiles under a heading ('' for none), scaled by `scale`; `key` is that of its class.

    A section with a heading is a card. Adjacent ones with `shares_shelf` are side by side (see
    `break_into_shelves`).
    """

    title: str
    count: int
    scale: float = 1.0
    shares_shelf: bool = False
    key: str = ""


class PlacedSection(NamedTuple):
    """A section with its first tile, the top left corner of its tiles, their grid and its card."""

    section: Section
    first: int
    top: int
    cell: int
    columns: int
    left: int = GAP
    box: QRect = QRect()

    @property
    def rows(self) -> range:
        return range(self.first, self.first + self.section.count)

    @property
    def lines(self) -> int:
        return -(-self.section.count // self.columns)

    @property
    def bottom(self) -> int:
        return self.top + self.lines * self.cell

    @property
    def right(self) -> int:
        return self.left + self.columns * self.cell

    def framed(self, right: int, bottom: int) -> PlacedSection:
        """Return the section in a card that ends at a place."""
        top = self.top - (HEADING_HEIGHT if self.section.title else 0)
        left = self.left - (INSET if self.section.title else 0)
        return self._replace(box=QRect(left, top, right - left, bottom - top))


def _shelf_columns(count: int, lines: int) -> int:
    minimum, usual = MIN_SECTION_COLUMNS
    return max(-(-count // lines), min(max(count, minimum), usual))


def break_into_shelves(
    counts: Sequence[int], width: int, cell: int
) -> list[tuple[int, int]]:
    """Return the numbers of sections and of lines of each shelf.

    `counts` are the tiles of the sections, which keep their order; a shelf is at most `width` wide.
    A section joins the shelf before it unless a shelf of its own takes less height.
    """
    shelves: list[tuple[int, int]] = []
    for end, count in enumerate(counts, 1):
        own_lines = _fit_lines([count], width, cell) or count
        if shelves:
            size, lines = shelves[-1]
            joint_lines = _fit_lines(counts[end - size - 1 : end], width, cell)
            if 0 < joint_lines * cell <= (lines + own_lines) * cell + CARD_HEIGHT:
                shelves[-1] = size + 1, joint_lines
                continue
        shelves.append((1, own_lines))
    return shelves


def _fit_lines(counts: Sequence[int], width: int, cell: int) -> int:
    """Return the smallest number of lines in which sections fit side by side, or 0."""
    room = (width - GAP - 2 * INSET - SECTION_GAP * (len(counts) - 1)) // cell
    return next(
        (
            lines
            for lines in range(1, max(counts) + 1)
            if sum(_shelf_columns(count, lines) for count in counts) <= room
        ),
        0,
    )


class GridLayout:
    """The positions of all tiles for one width and one tile size."""

    def __init__(self, sections: Sequence[Section], width: int, side: int):
        self.placed: list[PlacedSection] = []
        self.count, self.height = 0, GAP
        for shares_shelf, run in groupby(
            sections, lambda section: section.shares_shelf
        ):
            if shares_shelf:
                self._place_in_shelves(list(run), width, side + GAP)
                continue
            for section in run:
                inset = INSET if section.title else 0
                cell = round(side * section.scale) + GAP
                room = width - GAP - 2 * inset
                columns = max(1, room // cell)
                # Distribute the rest of the width over the tiles.
                cell = max(1, room // columns) if section.count > columns else cell
                top = self.height + (HEADING_HEIGHT if section.title else 0)
                placed = self._place(section, top, cell, columns, GAP + inset)
                self._frame([placed], width - GAP)

    def _place(
        self, section: Section, top: int, cell: int, columns: int, left: int
    ) -> PlacedSection:
        placed = PlacedSection(section, self.count, top, cell, columns, left)
        self.count += section.count
        return placed

    def _frame(self, line: list[PlacedSection], right: int) -> None:
        """Add cards side by side: all as high as the highest, the last one up to the right."""
        is_card = bool(line[0].section.title)
        bottom = max(placed.bottom for placed in line) + (INSET - GAP) * is_card
        ends = [*(placed.right + INSET - GAP for placed in line[:-1]), right]
        self.placed += [
            placed.framed(end, bottom) for placed, end in zip(line, ends, strict=True)
        ]
        self.height = bottom + INSET * is_card

    def _place_in_shelves(
        self, sections: Sequence[Section], width: int, cell: int
    ) -> None:
        remaining = iter(sections)
        for size, lines in break_into_shelves(
            [section.count for section in sections], width, cell
        ):
            top = self.height + HEADING_HEIGHT
            left = GAP + INSET
            shelf = list[PlacedSection]()
            for section in islice(remaining, size):
                limit = max(1, (width - GAP - 2 * INSET) // cell)
                columns = min(_shelf_columns(section.count, lines), limit)
                shelf.append(self._place(section, top, cell, columns, left))
                left = shelf[-1].right + SECTION_GAP
            self._frame(shelf, width - GAP)

    def rect(self, row: int) -> QRect:
        """Return the square of a tile; an empty one if the tile does not exist."""
        placed = self.section_of(row)
        if placed is None:
            return QRect()
        line, column = divmod(row - placed.first, placed.columns)
        left, top = placed.left + column * placed.cell, placed.top + line * placed.cell
        return QRect(left, top, placed.cell - GAP, placed.cell - GAP)

    def section_of(self, row: int) -> PlacedSection | None:
        return next((placed for placed in self.placed if row in placed.rows), None)

    def row_at(self, point: QPoint) -> int:
        """Return the tile at a point, -1 for none."""
        touched = self.rows_in(QRect(point, QSize(1, 1)))
        return next((first for first, _ in touched), -1)

    def section_at(self, point: QPoint) -> PlacedSection | None:
        return next(
            (placed for placed in self.placed if placed.box.contains(point)), None
        )

    def rows_in(self, area: QRect) -> Iterator[tuple[int, int]]:
        """Yield the ranges (first, last) of tiles that touch an area."""
        for placed in self.placed:
            lines = self._touched_cells(
                area.top() - placed.top,
                area.bottom() - placed.top,
                placed.cell,
                placed.lines,
            )
            columns = self._touched_cells(
                area.left() - placed.left,
                area.right() - placed.left,
                placed.cell,
                placed.columns,
            )
            if lines and columns:
                yield from self._rows_of_lines(placed, lines, columns)

    @staticmethod
    def _touched_cells(low: int, high: int, cell: int, count: int) -> range:
        first = max(0, low // cell)
        last = min(count - 1, high // cell)
        # The gap after a tile belongs to no tile.
        if low >= 0 and low % cell >= cell - GAP:
            first += 1
        return range(first, last + 1) if high >= 0 else range(0)

    @staticmethod
    def _rows_of_lines(
        placed: PlacedSection, lines: range, columns: range
    ) -> Iterator[tuple[int, int]]:
        end = placed.rows.stop - 1
        if len(columns) == placed.columns:
            start = placed.first + lines.start * placed.columns
            yield start, min(end, placed.first + lines.stop * placed.columns - 1)
            return
        for line in lines:
            start = placed.first + line * placed.columns + columns.start
            if start <= end:
                yield start, min(end, start + len(columns) - 1)

    def neighbour(self, row: int, across: int, down: int) -> int:
        """Return the tile that an arrow key leads to, across sections."""
        if across:
            return min(max(row + across, 0), self.count - 1)
        rect = self.rect(row)
        edge = rect.bottom() if down > 0 else rect.top()
        for distance in range(GAP, MAX_LINE_DISTANCE, GAP):
            line = QRect(0, edge + down * distance, rect.right() + ANY_WIDTH, GAP)
            ranges = self.rows_in(line)
            rows = [other for first, last in ranges for other in range(first, last + 1)]
            if rows:
                # The nearest one beside the column of this tile.
                return min(rows, key=lambda other: abs(self.rect(other).x() - rect.x()))
        return row
