"""The grid layout: rows of equal squares in sections, found by arithmetic alone.

A hundred thousand tiles cost no more than a hundred. All lengths are logical pixels, from the top
left corner of the content.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple

from PySide6.QtCore import QPoint, QRect, QSize

from labeler.qt.theme import SPACE_M

GAP = 4
HEADING_HEIGHT = 34
INSET = SPACE_M
"""Between the edge of a card and its tiles, and between two cards."""

PORTRAIT_SCALE = 1.5
"""How much larger than a tile the portrait of a card is."""
MAX_PORTRAIT_SIDE = 128
"""On large screens, where tiles are larger than this, the portrait is as large as a tile."""

SECTION_GAP = 3 * INSET - GAP
MAX_LINE_DISTANCE = 1000
"""How far above or below a tile an arrow key looks for the next one."""
MIN_SECTION_COLUMNS = 2, 3  # of one tile, so that its name is readable, and of more
MAX_SHELF_SECTIONS = 8
MIN_PORTRAIT_COLUMNS = 4  # so that there is room for a name next to the portrait


@dataclass(frozen=True)
class Section:
    """`count` tiles under a heading ('' for none), scaled by `scale`; `key` is that of its class.

    A section with a heading is a card. Adjacent ones with `shares_shelf` are side by side (see
    `break_into_shelves`). `portrait` is the number of the tile that its heading shows large, -1 for
    none. A folded one shows its heading alone.
    """

    title: str
    count: int
    scale: float = 1.0
    shares_shelf: bool = False
    key: str = ""
    portrait: int = -1
    folded: bool = False

    def heading_height(self, cell: int) -> int:
        """Return the height of its heading above tiles with cells of a size."""
        if self.portrait < 0:
            return HEADING_HEIGHT * bool(self.title)
        return (
            max(cell, min(round(cell * PORTRAIT_SCALE), MAX_PORTRAIT_SIDE)) + 2 * INSET
        )

    def count_columns(self, lines: int) -> int:
        """Return how many columns its tiles need for a number of lines."""
        minimum, usual = MIN_SECTION_COLUMNS
        columns = min(max(self.count, minimum), usual)
        if self.portrait >= 0:
            columns = MIN_PORTRAIT_COLUMNS
        return max(-(-self.count // lines), columns)


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
        return 0 if self.section.folded else -(-self.section.count // self.columns)

    @property
    def bottom(self) -> int:
        return self.top + self.lines * self.cell

    @property
    def right(self) -> int:
        return self.left + self.columns * self.cell

    @property
    def portrait(self) -> QRect:
        """The square in its heading for a portrait."""
        place = self.box.topLeft() + QPoint(INSET, INSET)
        side = self.top - self.box.top() - 2 * INSET
        return QRect(place, QSize(side, side))


def break_into_shelves(
    sections: Sequence[Section], width: int, cell: int
) -> list[tuple[Sequence[Section], int]]:
    """Return the sections and the number of lines of tiles of each shelf.

    The sections keep their order; a shelf is at most `width` wide, and a cell is a tile with its
    gap. The total height of all shelves is minimal.
    """
    # `best[n]` is the height and the shelves of the lowest layout of the first n sections. It is
    # extended by every possible last shelf (dynamic programming).
    best: list[tuple[int, list[tuple[Sequence[Section], int]]]] = [(0, [])]
    for end in range(1, len(sections) + 1):
        options = []
        for start in range(max(0, end - MAX_SHELF_SECTIONS), end):
            shelf = sections[start:end]
            lines = _fit_lines(shelf, width, cell)
            # A section that does not fit even alone has one column.
            if not lines and len(shelf) == 1:
                lines = shelf[0].count
            if lines:
                height, shelves = best[start]
                # All sections of a shelf have headings of one height.
                height += lines * cell + shelf[0].heading_height(cell) + 2 * INSET
                options.append((height, [*shelves, (shelf, lines)]))

        # The last shelf is shorter in later options. `min` takes the first of equal heights, here
        # the layout with the fewest sections in its last shelf.
        best.append(min(reversed(options), key=itemgetter(0)))

    return best[-1][1]


def _fit_lines(sections: Sequence[Section], width: int, cell: int) -> int:
    """Return the smallest number of lines in which sections fit side by side, or 0."""
    room = (width - GAP - 2 * INSET - SECTION_GAP * (len(sections) - 1)) // cell
    for lines in range(1, max(section.count for section in sections) + 1):
        if sum(section.count_columns(lines) for section in sections) <= room:
            return lines
    return 0


class GridLayout:
    """The positions of all tiles for one width and one tile size."""

    def __init__(self, sections: Sequence[Section], width: int, side: int):
        self.placed: list[PlacedSection] = []
        self._side = side
        self._width = width
        self._last = next(reversed(sections), None)
        self._shared_width = width  # of the last card that has others beside it
        self.count = 0
        self.height = GAP
        for shares_shelf, run in groupby(sections, attrgetter("shares_shelf")):
            if shares_shelf:
                for shelf, lines in break_into_shelves(list(run), width, side + GAP):
                    self._place_shelf(shelf, lines)
            else:
                for section in run:
                    self._place_shelf([section], 0)

    def _place_shelf(self, sections: Sequence[Section], lines: int) -> None:
        """Place sections side by side, in a number of lines, or if it is 0 as wide as possible."""
        shelf = []
        left = GAP
        for section in sections:
            inset = INSET if section.title else 0
            cell = round(self._side * section.scale) + GAP
            room = self._width - GAP - 2 * inset
            columns = max(1, room // cell)
            if lines:
                columns = min(section.count_columns(lines), columns)
            elif section.count > columns:
                # Distribute the rest of the width over the tiles.
                cell = max(1, room // columns)

            top = self.height + section.heading_height(cell)
            shelf.append(
                PlacedSection(section, self.count, top, cell, columns, left + inset)
            )
            self.count += section.count
            left = shelf[-1].right + SECTION_GAP - INSET

        self._frame(shelf)

    def _frame(self, shelf: list[PlacedSection]) -> None:
        """Add the sections of a shelf, as high as the highest; they share the free width equally.

        One that is alone in its row, and those of the last row, become no wider than those above,
        unless they nearly fill the row.
        """
        is_card = bool(shelf[0].section.title)
        bottom = max(placed.bottom for placed in shelf) + (INSET - GAP) * is_card
        first, *others = shelf
        free = self._width - INSET - shelf[-1].right
        is_limited = shelf[-1].section is self._last or not others
        if is_limited and first.section.shares_shelf and free > first.cell:
            # What the cards lack to the width of those above.
            room = self._shared_width - 2 * INSET + GAP
            free = min(
                free, sum(max(0, room - card.columns * card.cell) for card in shelf)
            )
        for number, placed in enumerate(shelf):
            # The free width that the cards up to this one get, without it and with it.
            begin, end = (free * part // len(shelf) for part in (number, number + 1))
            left = placed.left + begin
            box = QRect(
                left - INSET * is_card,
                self.height,
                0,
                bottom - self.height,
            )
            # Less 1, because the right of a `QRect` is its last pixel.
            box.setRight(placed.right + end + INSET - GAP - 1)
            if others:
                self._shared_width = box.width()
            self.placed.append(placed._replace(left=left, box=box))
        self.height = bottom + INSET * is_card

    def rect(self, row: int) -> QRect:
        """Return the square of a tile, empty for a row that does not exist.

        In a folded section it is the square of the portrait.
        """
        placed = self.section_of(row)
        if placed is None or placed.section.folded:
            return placed.portrait if placed else QRect()
        line, column = divmod(row - placed.first, placed.columns)
        side = placed.cell - GAP
        return QRect(
            placed.left + column * placed.cell,
            placed.top + line * placed.cell,
            side,
            side,
        )

    def section_of(self, row: int) -> PlacedSection | None:
        return next((placed for placed in self.placed if row in placed.rows), None)

    def row_at(self, point: QPoint) -> int:
        """Return the tile at a point, -1 for none."""
        return min(self.list_rows(QRect(point, QSize(1, 1))), default=-1)

    def section_at(self, point: QPoint) -> PlacedSection | None:
        return next(
            (placed for placed in self.placed if placed.box.contains(point)), None
        )

    def list_rows(self, area: QRect) -> list[int]:
        """Return the tiles that touch an area."""
        return [
            row for first, last in self.rows_in(area) for row in range(first, last + 1)
        ]

    def rows_in(self, area: QRect) -> Iterator[tuple[int, int]]:
        """Yield the ranges (first, last) of tiles that touch an area."""
        for placed in self.placed:
            lines = self._find_cells(
                area.top() - placed.top,
                area.bottom() - placed.top,
                placed.cell,
                placed.lines,
            )

            columns = self._find_cells(
                area.left() - placed.left,
                area.right() - placed.left,
                placed.cell,
                placed.columns,
            )

            if lines and columns:
                yield from self._rows_of_lines(placed, lines, columns)

    @staticmethod
    def _find_cells(low: int, high: int, cell: int, count: int) -> range:
        """Return which of `count` lines or columns touch `low` to `high`, both inclusive.

        These are pixels from the first line or column, also negative ones.
        """
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
        """Yield the ranges (first, last) of tiles in these lines and columns of a section."""
        end = placed.rows.stop - 1
        # Whole lines follow each other, so they are one range.
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
            line = QRect(0, edge + down * distance, self._width, GAP)
            if rows := self.list_rows(line):
                # The tile on this line whose left edge is nearest to that of `row`.
                return min(rows, key=lambda other: abs(self.rect(other).x() - rect.x()))

        return row
