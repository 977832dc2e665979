"""Painting of one tile: marks use shape, position and text; color is only an addition."""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPalette, QPen, QPixmap

from labeler.qt.grid.model import TileMark, TilePrediction, TileState
from labeler.qt.images import BrokenThumbnail, draw_fitted
from labeler.qt.theme import backdrop, blend

Role = QPalette.ColorRole
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

    thumbnail: QPixmap | BrokenThumbnail | None
    state: TileState
    prediction: TilePrediction
    selected: bool
    pointed: bool
    caption: str = ""


def paint_tile(painter: QPainter, rect: QRect, tile: TileAppearance, palette: QPalette) -> None:
    """Paint a tile into its square; the painter's state is restored."""
    painter.save()
    if tile.prediction.count > 1:
        rect = _paint_stack_plates(painter, rect, palette)
    painter.fillRect(rect, blend(backdrop(palette), palette.color(Role.Text), 0.12))
    is_sent = tile.state.mark in (TileMark.SENT, TileMark.DONE)
    key = (tile.state.key or ("→" if is_sent else "")).upper()
    is_captioned = is_sent and tile.caption == tile.state.target != ""
    painter.setOpacity(CAPTIONED_OPACITY if is_captioned else OPACITY_BY_MARK[tile.state.mark])
    painter.setPen(palette.color(Role.Text))
    draw_fitted(painter, rect, tile.thumbnail)
    painter.setOpacity(1.0)
    if tile.state.mark is TileMark.LIFTED:
        _paint_lifted(painter, rect, palette)
    if key and not is_captioned:
        _paint_key(painter, rect, key, palette)
    if tile.prediction.count > 1:
        _paint_count(painter, rect, str(tile.prediction.count), palette)
    if tile.caption:
        _paint_caption(painter, rect, tile.caption, key if is_captioned else "", palette)
    if tile.selected:
        _paint_tick(painter, rect, palette)
    if tile.selected or tile.pointed:
        _paint_outline(painter, rect, palette, pointed=tile.pointed)
    painter.restore()


def _paint_stack_plates(painter: QPainter, rect: QRect, palette: QPalette) -> QRect:
    step = max(3, rect.width() // 32)
    for number in (2, 1):
        plate = QRect(
            rect.left() + number * step,
            rect.top() + (2 - number) * step,
            rect.width() - 2 * step,
            rect.height() - 2 * step,
        )
        painter.fillRect(plate, blend(backdrop(palette), palette.color(Role.Text), 0.5))
        painter.setPen(palette.color(Role.Base))
        painter.drawRect(plate.adjusted(0, 0, -1, -1))
    return rect.adjusted(0, 2 * step, -2 * step, 0)


def _paint_lifted(painter: QPainter, rect: QRect, palette: QPalette) -> None:
    for colour, width in ((Role.Base, 6), (Role.Text, 3)):
        painter.setPen(QPen(palette.color(colour), width))
        painter.drawLine(rect.topLeft() + QPoint(4, 4), rect.bottomRight() - QPoint(4, 4))


def _paint_key(painter: QPainter, rect: QRect, key: str, palette: QPalette) -> None:
    side = max(22, min(rect.width(), rect.height()) * 2 // 5)
    box = QRectF(0, 0, side, side)
    box.moveCenter(QRectF(rect).center())
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(palette.color(Role.Base), 2))
    painter.setBrush(palette.color(Role.Text))
    painter.drawRoundedRect(box, 6, 6)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    _set_bold_font(painter, round(side * 0.62))
    painter.setPen(palette.color(Role.Base))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, key)


def _paint_count(painter: QPainter, rect: QRect, text: str, palette: QPalette) -> None:
    _set_bold_font(painter, max(12, rect.height() // 8))
    box = painter.fontMetrics().boundingRect(f" {text} ").adjusted(-3, -1, 3, 1)
    box.moveTopRight(rect.topRight() + QPoint(-3, 3))
    painter.fillRect(box, palette.color(Role.Text))
    painter.setPen(palette.color(Role.Base))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _paint_caption(painter: QPainter, rect: QRect, text: str, mark: str, palette: QPalette) -> None:
    """Paint a line at the lower edge: the key if there is room for it, then the name."""
    font = QFont(painter.font())
    font.setBold(False)
    font.setPixelSize(min(painter.fontInfo().pixelSize(), max(10, rect.height() // 6)))
    painter.setFont(font)
    metrics = painter.fontMetrics()
    room = OUTLINE_WIDTH + 1  # keep text clear of the outline
    line = QRect(
        rect.left(),
        rect.bottom() - metrics.height() - room - 1,
        rect.width(),
        metrics.height() + room + 2,
    )
    painter.fillRect(line, palette.color(Role.Base))
    painter.setPen(palette.color(Role.Text))
    caption = caption_text(metrics, text, mark, line.width() - 8 - room)
    painter.drawText(line.adjusted(4 + room, 0, -4, -room), Qt.AlignmentFlag.AlignVCenter, caption)


def caption_text(metrics: QFontMetrics, name: str, mark: str, width: int) -> str:
    """Return the beginning of a name that fits, after its key if there is room for both."""
    full_text = f"{mark} {name}".strip()
    fits = metrics.horizontalAdvance(full_text) <= width
    return full_text if fits else metrics.elidedText(name, Qt.TextElideMode.ElideRight, width)


def _paint_tick(painter: QPainter, rect: QRect, palette: QPalette) -> None:
    side = max(18, rect.height() // 6)
    box = QRect(rect.left() + 4, rect.top() + 4, side, side)
    painter.fillRect(box, palette.color(Role.Highlight))
    _set_bold_font(painter, round(side * 0.8))
    painter.setPen(palette.color(Role.HighlightedText))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "✓")


def _paint_outline(painter: QPainter, rect: QRect, palette: QPalette, *, pointed: bool) -> None:
    """Paint the highlight in a frame of text color, since it may be as grey as the background."""
    painter.setPen(QPen(palette.color(Role.Text), 2))
    painter.drawRect(rect.adjusted(1, 1, -1, -1))
    inner = rect.adjusted(2, 2, -2, -2)
    half = OUTLINE_WIDTH // 2 + 1
    painter.setPen(QPen(palette.color(Role.Highlight), OUTLINE_WIDTH))
    painter.drawRect(inner.adjusted(half - 1, half - 1, -half, -half))
    if pointed:
        painter.setPen(QPen(palette.color(Role.Base), 1))
        painter.drawRect(
            inner.adjusted(OUTLINE_WIDTH, OUTLINE_WIDTH, -OUTLINE_WIDTH - 1, -OUTLINE_WIDTH - 1)
        )


def _set_bold_font(painter: QPainter, pixels: int) -> None:
    font = QFont(painter.font())
    font.setPixelSize(pixels)
    font.setBold(True)
    painter.setFont(font)
