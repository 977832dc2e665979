"""The grid of all views: a fixed layout, painted as far as it is visible.

Marks of a tile use shape, position and text; color is only an addition. The selection is stored as
ranges: all of 100,000 tiles is one range.
"""

import time
from collections.abc import Collection, Iterable
from math import isqrt
from typing import NamedTuple

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    QVariantAnimation,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFont,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QAbstractScrollArea, QListView

from labeler.qt import theme
from labeler.qt.grid.layout import GAP, HEADING_HEIGHT, INSET, GridLayout, PlacedSection
from labeler.qt.grid.model import Index, TileMark, TileModel, TilePrediction, TileState
from labeler.qt.images import ThumbnailLoader, draw_fitted
from labeler.qt.theme import Role, colour
from labeler.qt.translations import tr

Select = QItemSelectionModel.SelectionFlag


OUTLINE_WIDTH = 3
OPACITY_BY_MARK = {
    TileMark.IN: 1.0,
    TileMark.LIFTED: 0.45,
    TileMark.SENT: 0.35,
    TileMark.DONE: 0.35,
}
CAPTIONED_OPACITY = 0.7


class TileAppearance(NamedTuple):
    """Everything that determines how a tile is painted; `caption` is a line at its lower edge."""

    thumbnail: QPixmap | str | None
    state: TileState
    prediction: TilePrediction
    selected: bool
    pointed: bool
    caption: str = ""
    fills: bool = True
    """Whether the image fills the square, without the ends of its longer side."""


def paint_tile(
    painter: QPainter,
    rect: QRect,
    tile: TileAppearance,
    ground: QColor,
) -> None:
    """Paint a tile into its square, on `ground`; the painter's state is restored."""
    painter.save()
    if tile.prediction.count > 1:
        rect = _paint_stack_plates(painter, rect)
    painter.fillRect(rect, theme.backdrop())
    is_sent = tile.state.mark in (TileMark.SENT, TileMark.DONE)
    key = (tile.state.key or ("→" if is_sent else "")).title()
    # The caption already says which class a tile was sent to, so its key goes there.
    is_captioned = is_sent and tile.caption == tile.state.target != ""
    painter.setOpacity(
        CAPTIONED_OPACITY if is_captioned else OPACITY_BY_MARK[tile.state.mark]
    )
    painter.setPen(colour(Role.Text))
    if tile.fills:
        draw_filling(painter, rect, tile.thumbnail)
    else:
        draw_fitted(painter, rect, tile.thumbnail)

    painter.setOpacity(1.0)
    if tile.caption:
        _paint_caption(
            painter,
            rect,
            tile.caption,
            key if is_captioned else "",
        )

    theme.round_corners(painter, rect, ground, theme.TILE_RADIUS)
    badge = "✕" if tile.state.mark is TileMark.LIFTED else "" if is_captioned else key
    if badge:
        _paint_badge(painter, rect, badge)
    if tile.prediction.count > 1:
        _paint_count(painter, rect, str(tile.prediction.count))
    if tile.selected or tile.pointed:
        _paint_outline(painter, rect, selected=tile.selected)
    if tile.selected:
        _paint_tick(painter, rect)
    painter.restore()


def draw_filling(painter: QPainter, area: QRect, image: QPixmap | str | None) -> None:
    """Draw the middle of an image over a whole area, or text in its place."""
    if not isinstance(image, QPixmap):
        draw_fitted(painter, area, image)
        return
    keeps = Qt.AspectRatioMode.KeepAspectRatio
    source = QRect(QPoint(), area.size().scaled(image.size(), keeps))
    source.moveCenter(image.rect().center())
    painter.drawPixmap(area, image, source)


def _paint_stack_plates(painter: QPainter, rect: QRect) -> QRect:
    """Paint the plate behind a stack; return the smaller square that is left for its image."""
    step = max(3, rect.width() // 32)
    ground = theme.blend(theme.backdrop(), colour(Role.Text), 0.5)
    pen = QPen(colour(Role.Base), 1)
    theme.draw_frame(
        painter,
        rect.adjusted(2 * step, 0, 0, -2 * step),
        pen,
        ground,
        theme.TILE_RADIUS,
    )
    return rect.adjusted(0, 2 * step, -2 * step, 0)


def _paint_badge(painter: QPainter, rect: QRect, text: str) -> None:
    side = max(22, min(rect.width(), rect.height()) * 2 // 5)
    disc = QRectF(0, 0, side, side)
    disc.moveCenter(QRectF(rect).center())
    # Keys of two characters need smaller ones to fit the disc.
    pixels = round(side * (0.56 if len(text) == 1 else 0.4))
    _paint_disc(
        painter,
        disc,
        text,
        pixels,
        colour(Role.Text),
        colour(Role.Base),
    )


def _paint_count(painter: QPainter, rect: QRect, text: str) -> None:
    _set_font(painter, max(12, rect.height() // 8), bold=True)
    box = painter.fontMetrics().boundingRect(f" {text} ").adjusted(-3, -1, 3, 1)
    box.moveTopRight(rect.topRight() + QPoint(-3, 3))
    painter.fillRect(box, colour(Role.Text))
    painter.setPen(colour(Role.Base))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _paint_caption(painter: QPainter, rect: QRect, name: str, key: str) -> None:
    """Paint a line at the lower edge: the key, then as much of the name as fits."""
    _set_font(
        painter,
        min(
            painter.fontInfo().pixelSize(),
            max(theme.MIN_TEXT_PIXELS, rect.height() // 6),
        ),
        bold=False,
    )

    room = OUTLINE_WIDTH + 1  # keep text clear of the outline
    height = painter.fontMetrics().height() + room
    line = QRect(
        rect.left(),
        rect.bottom() - height - 1,
        rect.width(),
        height + 2,
    )
    painter.fillRect(line, colour(Role.Base))
    line.adjust(room, 0, -room, -room)
    theme.draw_text(
        painter,
        line,
        f"{key} {name}".strip(),
        colour(Role.Text),
    )


def _paint_tick(painter: QPainter, rect: QRect) -> None:
    side = max(18, rect.height() // 6)
    disc = QRectF(rect.left() + 5, rect.top() + 5, side, side)
    colours = colour(Role.Highlight), colour(Role.HighlightedText)
    _paint_disc(painter, disc, "✓", round(side * 0.62), *colours)


def _paint_disc(
    painter: QPainter, disc: QRectF, text: str, pixels: int, fill: QColor, line: QColor
) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(line, 2))
    painter.setBrush(fill)
    painter.drawEllipse(disc)
    _set_font(painter, pixels, bold=True)
    painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, text)


def _paint_outline(painter: QPainter, rect: QRect, *, selected: bool) -> None:
    """Paint a frame with a gap, so that it is visible on any image."""
    outer = Role.Highlight if selected else Role.Text
    for role, width in ((outer, OUTLINE_WIDTH), (Role.Base, 1)):
        theme.draw_frame(
            painter,
            rect,
            QPen(colour(role), width),
            theme.TRANSPARENT,
            theme.TILE_RADIUS - 1,
        )
        rect = rect.adjusted(width, width, -width, -width)


def _set_font(painter: QPainter, pixels: int, *, bold: bool) -> None:
    font = QFont(painter.font())
    font.setPixelSize(pixels)
    font.setBold(bold)
    painter.setFont(font)


DEFAULT_SIDE = 104
ZOOM_FACTOR = 1.15
STEPS_PER_WHEEL_NOTCH = 3
MAX_SHAPE = 2.0
"""Images are loaded larger so that their shorter side fills a tile, up to this shape."""

MIN_SEEN_PART = 0.75
"""The part of a tile that has to be painted at once before it counts as seen."""


class TileView(QListView):
    """Tiles in sections; a list to screen readers. Subclasses add mouse and keyboard.

    `pointed` (row, -1) follows the mouse or the keyboard, whichever moved last; `arranged` is
    emitted when tiles move, by layout or scrolling.
    """

    pointed = Signal(int)
    painted = Signal(list)
    """Tiles that were painted for the first time since they are shown."""
    arranged = Signal()
    resized = Signal()
    min_side = 48
    max_side = 480
    """Of tiles, in logical pixels."""

    def __init__(self, model: TileModel, thumbs: ThumbnailLoader):
        super().__init__()
        self.side = DEFAULT_SIDE
        self.point = -1
        self._grid = GridLayout((), 1, self.side)
        self._thumbs = thumbs
        self._missing: dict[str, list[QRect]] = {}
        """Where each sample's image is missing until it is loaded."""
        self.tiles = model
        self.seen_samples: dict[int, float] = {}
        """When each of the shown samples was first painted with its image, in seconds."""
        self._earlier: dict[int, QPoint] = {}
        self._motion = QVariantAnimation(self, startValue=0.0, endValue=1.0)
        self._motion.valueChanged.connect(lambda: self.viewport().update())
        self.setModel(model)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Faces"))
        model.sections_changed.connect(self._on_model_shown)
        thumbs.ready.connect(self._on_thumbnail_ready)

    def _on_model_shown(self) -> None:
        self.seen_samples.clear()
        self._missing.clear()
        self.clear_point()
        self.lay_out()
        self.verticalScrollBar().setValue(0)

    def lay_out(self) -> None:
        """Compute the layout again, for another width, size or content."""
        self._grid = GridLayout(
            self.tiles.sections,
            self.viewport().width(),
            self.side,
        )
        bar = self.verticalScrollBar()
        height = self.viewport().height()
        bar.setRange(0, max(0, self._grid.height - height))
        bar.setEnabled(self._grid.height > height)  # an idle one is not painted
        # PgDn scrolls by the height minus half a line. Of the last line on the screen, either more
        # than half was visible, and has been seen, or less, and all of it is on the next screen.
        line = max((placed.cell for placed in self._grid.placed), default=self.side)
        step = max(height - line // 2 - GAP, height // 4, 1)
        bar.setPageStep(step)
        bar.setSingleStep(max(1, min(self.side, step // STEPS_PER_WHEEL_NOTCH)))
        self.viewport().update()
        self.arranged.emit()

    def set_side(self, side: int) -> None:
        """Set the side of a tile in logical pixels; the tile at the top stays there."""
        side = min(max(side, self.min_side), self.max_side)
        if side != self.side:
            top = self._grid.row_at(QPoint(GAP + 1, self.verticalOffset() + GAP + 1))
            self.side = side
            self.lay_out()
            if top > 0:
                self.look_from(top)

    def zoom(self, factor: float) -> None:
        """Change the tile size until it visibly differs: columns absorb smaller steps."""
        width = self._grid.rect(0).width()
        side = 0
        while width and self._grid.rect(0).width() == width and self.side != side:
            side = self.side
            self.set_side(round(side * factor))

    def fit_page(self) -> None:
        """Use the largest tiles with which everything is visible; scroll if there are none."""
        size = self.viewport().size()
        sections = self.tiles.sections
        area = size.width() * size.height() // max(1, self.tiles.rowCount())
        # No larger tile can fit: this side would fill the area without any gap or heading. Steps of
        # 4 pixels save layouts.
        sides = range(min(self.max_side, isqrt(area)), self.min_side, -4)
        fitting = (
            candidate
            for candidate in sides
            if GridLayout(sections, size.width(), candidate).height <= size.height()
        )

        self.side = next(fitting, self.min_side)
        self.lay_out()

    def capacity(self, side: int) -> int:
        """Return how many tiles of a side are visible at once, in one section."""
        size = self.viewport().size()
        cell = side + GAP
        return ((size.width() - GAP) // cell) * ((size.height() - GAP) // cell)

    def select_ranges(self, ranges: Iterable[tuple[int, int]], command: Select) -> None:
        selection = QItemSelection()
        for first, last in ranges:
            selection.select(
                self.tiles.index(first),
                self.tiles.index(last),
            )
        self.selectionModel().select(selection, command)

    def selected_rows(self) -> list[int]:
        selection = self.selectionModel().selection()
        parts = (selection.at(number) for number in range(selection.size()))
        ranges = (range(part.top(), part.bottom() + 1) for part in parts)
        return sorted({row for rows in ranges for row in rows if row >= 0})

    def selectAll(self) -> None:
        if self.tiles.rowCount():
            self.select_ranges(
                [(0, self.tiles.rowCount() - 1)],
                Select.ClearAndSelect,
            )

    def in_sight(self) -> list[int]:
        """Return the tiles that are visible now, by more than an edge."""
        area = (
            self.viewport()
            .rect()
            .translated(
                0,
                self.verticalOffset(),
            )
        )
        rows = self._grid.list_rows(area)
        return [row for row in rows if self._is_visible(self._grid.rect(row), area)]

    def _is_visible(self, rect: QRect, area: QRect) -> bool:
        """Return whether an area shows nearly all of a tile, or as much as fits the window."""
        if area.contains(rect):
            return True
        visible = rect.intersected(area).size()
        required = self.viewport().size().boundedTo(rect.size()) * MIN_SEEN_PART
        return visible.boundedTo(required) == required

    def unseen(self, rows: Iterable[int]) -> list[int]:
        """Return the tiles that were not painted since they are shown."""
        return [row for row in rows if self.tiles.id(row) not in self.seen_samples]

    def look_from(self, row: int) -> None:
        self.verticalScrollBar().setValue(self._grid.rect(row).top() - GAP)

    # -- what Qt asks of every item view

    def doItemsLayout(self) -> None:
        """Lay out by arithmetic, without a list of positions."""
        self.lay_out()

    def updateGeometries(self) -> None:
        """Do nothing: `lay_out` sets the scroll bars."""

    def visualRect(self, index: Index) -> QRect:
        rect = self._grid.rect(index.row()) if index.isValid() else QRect()
        return rect.translated(0, -self.verticalOffset())

    def indexAt(self, point: QPoint) -> QModelIndex:
        row = self._grid.row_at(point + QPoint(0, self.verticalOffset()))
        return self.tiles.index(row) if row >= 0 else QModelIndex()

    def scrollTo(
        self,
        index: Index,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        """Scroll only as far as necessary, whatever the `hint` of Qt."""
        rect = self.visualRect(index)
        height = self.viewport().height()
        bar = self.verticalScrollBar()
        if rect.top() < GAP:
            bar.setValue(bar.value() + rect.top() - GAP)
        elif rect.bottom() > height - GAP:
            bar.setValue(bar.value() + rect.bottom() - height + GAP)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Repaint everything: a list view would look for items that it has not laid out."""
        self.viewport().update()
        self.arranged.emit()

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Do not select a tile on focus, as Qt would."""
        QAbstractScrollArea.focusInEvent(self, event)
        self.viewport().update()

    def setSelection(self, rect: QRect, command: Select) -> None:
        area = rect.normalized().translated(0, self.verticalOffset())
        self.select_ranges(self._grid.rows_in(area), command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        """Return the whole viewport, to be repainted when any `selection` changes."""
        return QRegion(self.viewport().rect())

    def section_rows(self, row: int) -> range:
        placed = self._grid.section_of(row)
        return placed.rows if placed else range(0)

    def section_at(self, point: QPoint) -> range:
        """Return the tiles of the section whose box contains a point of the viewport."""
        placed = self._grid.section_at(point + QPoint(0, self.verticalOffset()))
        return placed.rows if placed else range(0)

    def movable_rows(self, point: QPoint) -> list[int]:
        """Return the tiles that a drag or a menu of their card is for; none here."""
        return []

    def move_over(self, row: int) -> None:
        """React to the mouse over a tile, -1 for none; a plain view does nothing."""

    def click_tile(self, row: int) -> None:
        """Select a tile."""
        self.select_ranges([(row, row)], Select.ClearAndSelect)

    def click_outside(self, place: QPoint) -> None:
        """React to a click on no tile; only headings of cards do."""

    def lit_sections(self) -> Collection[int]:
        """Return the first tiles of the sections that are lit as targets; none here."""
        return ()

    def set_point(self, row: int) -> None:
        """Point at a tile; -1 for none."""
        if row != self.point:
            self._repaint(self.point)
            self._repaint(row)
            self.point = row
            self.pointed.emit(row)

    def clear_point(self) -> None:
        """Point at no tile, because others are shown."""
        self.set_point(-1)

    def detail_row(self) -> int:
        """Return the tile for the details panel; -1 for the one that it shows."""
        return self.point

    def _repaint(self, row: int) -> None:
        if 0 <= row < self.tiles.rowCount():
            self.update(self.tiles.index(row))

    def target_rows(self) -> list[int]:
        """Return what a key acts on: the selection, or else the tile under the pointer."""
        return self.selected_rows() or (
            [self.point] if 0 <= self.point < self.tiles.rowCount() else []
        )

    def expand_targets(self, row: int) -> list[int]:
        """Return the tiles that are affected by acting on one; it alone here."""
        return [row]

    # -- painting

    def places(self) -> dict[int, QPoint]:
        """Return where the visible tiles are, by their samples."""
        return {
            self.tiles.id(row): self.visualRect(self.tiles.index(row)).topLeft()
            for row in self.in_sight()
        }

    def slide_from(self, places: dict[int, QPoint]) -> None:
        """Move tiles to where they belong from where their samples were before."""
        if places.keys() & self.places().keys() and (duration := theme.motion_ms()):
            self._earlier = places
            self._motion.setDuration(duration)
            self._motion.start()

    def _sliding(self, row: int, rect: QRect) -> QRect:
        # The place of a tile in the viewport, on its way while tiles move.
        before = self._earlier.get(self.tiles.id(row))
        if (
            before is None
            or self._motion.state() is not QVariantAnimation.State.Running
        ):
            return rect
        return rect.translated(
            (before - rect.topLeft()) * (1 - self._motion.currentValue())
        )

    def _on_thumbnail_ready(self, key: str) -> None:
        # Many are loaded between two frames: repaint only their tiles, once.
        for rect in self._missing.pop(key, ()):
            self.viewport().update(rect.translated(0, -self.verticalOffset()))

    def thumbnail(self, row: int, rect: QRect) -> QPixmap | str | None:
        """Return the image of a tile for a square of the grid, which is painted again with it."""
        tile = self.tiles.tile(row)
        if tile is None:
            return None
        box = tile.region.region.box
        # The shorter side of a face that is not square fills the square.
        shape = max(box.width, box.height) / max(1, min(box.width, box.height))
        ratio = self.devicePixelRatioF() * min(shape, MAX_SHAPE)
        image = self._thumbs.get(tile.region, rect.width(), ratio)
        if image is not None:
            return image
        self._missing.setdefault(tile.key, []).append(rect)
        return self._thumbs.get_any(tile.region)

    def caption(self, row: int) -> str:
        """Return the line at the lower edge of a tile; empty in a plain grid."""
        return ""

    def appearance(self, row: int) -> TileAppearance:
        is_selected = self.selectionModel().isRowSelected(row, QModelIndex())
        return TileAppearance(
            self.thumbnail(row, self._grid.rect(row)),
            self.tiles.state(row),
            self.tiles.prediction(row),
            is_selected,
            row == self.point,
            self.caption(row),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        offset = self.verticalOffset()
        painter.fillRect(event.rect(), colour(Role.Window))
        area = event.region().translated(0, offset)
        grounds = self._paint_cards(painter, area.boundingRect(), offset)
        new_rows = []
        # Repaint only the tiles that have changed.
        rows = (row for part in area for row in self._grid.list_rows(part))  # type: ignore[attr-defined]
        for row in sorted({*rows}):
            rect = self._grid.rect(row)
            appearance = self.appearance(row)
            placed = self._grid.section_of(row)
            ground = grounds.get(
                placed.first if placed else -1,
                colour(Role.Window),
            )
            paint_tile(
                painter,
                self._sliding(row, rect.translated(0, -offset)),
                appearance,
                ground,
            )
            painted = area.intersected(rect).boundingRect()
            is_new = self.tiles.id(row) not in self.seen_samples
            tile = self.tiles.tile(row)
            # An image of another size, shown until this one is loaded, does not count.
            is_loaded = tile is not None and rect not in self._missing.get(tile.key, ())
            # Only what a person could see whole may be labelled by a key.
            if is_new and is_loaded and self._is_visible(rect, painted):
                self.seen_samples[self.tiles.id(row)] = time.monotonic()
                new_rows.append(row)

        theme.focus_ring(painter, self.viewport().rect(), self)
        painter.end()
        if new_rows:
            self.painted.emit(new_rows)

    def _paint_cards(
        self, painter: QPainter, area: QRect, offset: int
    ) -> dict[int, QColor]:
        """Paint the cards of an area; return their backgrounds by their first tiles."""
        grounds = {}
        lit_sections = self.lit_sections()
        for placed in self._grid.placed:
            if placed.section.title and placed.box.intersects(area):
                lit = placed.first in lit_sections
                box = placed.box.translated(0, -offset)
                ground = theme.draw_card(painter, box, is_target=lit)
                grounds[placed.first] = ground
                line = QRect(
                    box.topLeft(),
                    QSize(box.width(), HEADING_HEIGHT),
                )
                line.adjust(INSET + 2, 0, -INSET - 2, 0)
                self.paint_heading(painter, line, placed, ground)

        painter.setFont(self.font())
        return grounds

    def paint_heading(
        self, painter: QPainter, line: QRect, placed: PlacedSection, ground: QColor
    ) -> None:
        """Paint the heading of a card: the key, the name, and the rest of it in grey.

        `ground`, the background of the card, is for subclasses that paint images on it.
        """
        key = placed.section.key.title()
        name, _, note = placed.section.title.partition("  ·  ")
        if key:
            painter.setFont(theme.scale_font(self.font(), theme.SMALL))
            theme.draw_key(painter, line, key)
            line.setLeft(
                line.left()
                + theme.key_width(painter.fontMetrics(), key)
                + theme.SPACE_M
            )

        painter.setFont(theme.scale_font(self.font(), 1.0))
        name_width = theme.draw_text(
            painter,
            line,
            name,
            colour(Role.Text),
        )
        line.setLeft(line.left() + name_width + theme.SPACE_M)
        painter.setFont(self.font())
        theme.draw_text(painter, line, note)

    def resizeEvent(self, event: QResizeEvent) -> None:
        QAbstractItemView.resizeEvent(self, event)
        self.lay_out()
        self.resized.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom with Ctrl and the wheel; the wheel alone scrolls and never turns a page."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(ZOOM_FACTOR if event.angleDelta().y() > 0 else 1 / ZOOM_FACTOR)
            event.accept()
        else:
            super().wheelEvent(event)
