"""Painting of one tile: marks use shape, position and text; color is only an addition."""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import QPoint, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPalette, QPen, QPixmap

from labeler.qt.grid.model import TileMark, TilePrediction, TileState
from labeler.qt.images import BrokenThumbnail, draw_fitted
from labeler.qt.theme import TILE_RADIUS, backdrop, blend, draw_disc, round_corners

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


def paint_tile(
    painter: QPainter, rect: QRect, tile: TileAppearance, palette: QPalette, ground: QColor
) -> None:
    """Paint a tile into its square, on `ground`; the painter's state is restored."""
    painter.save()
    if tile.prediction.count > 1:
        rect = _paint_stack_plates(painter, rect, palette)
    painter.fillRect(rect, backdrop(palette))
    is_sent = tile.state.mark in (TileMark.SENT, TileMark.DONE)
    key = (tile.state.key or ("→" if is_sent else "")).upper()
    is_captioned = is_sent and tile.caption == tile.state.target != ""
    painter.setOpacity(CAPTIONED_OPACITY if is_captioned else OPACITY_BY_MARK[tile.state.mark])
    painter.setPen(palette.color(Role.Text))
    draw_fitted(painter, rect, tile.thumbnail)
    painter.setOpacity(1.0)
    if tile.caption:
        _paint_caption(painter, rect, tile.caption, key if is_captioned else "", palette)
    round_corners(painter, rect, ground, TILE_RADIUS)
    badge = "✕" if tile.state.mark is TileMark.LIFTED else "" if is_captioned else key
    if badge:
        _paint_badge(painter, rect, badge, palette)
    if tile.prediction.count > 1:
        _paint_count(painter, rect, str(tile.prediction.count), palette)
    if tile.selected or tile.pointed:
        _paint_outline(painter, rect, palette, selected=tile.selected)
    if tile.selected:
        _paint_tick(painter, rect, palette)
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


def _paint_badge(painter: QPainter, rect: QRect, text: str, palette: QPalette) -> None:
    side = max(22, min(rect.width(), rect.height()) * 2 // 5)
    disc = draw_disc(painter, rect, side, palette.color(Role.Text), palette.color(Role.Base))
    _set_bold_font(painter, round(side * (0.56 if len(text) == 1 else 0.44)))
    painter.setPen(palette.color(Role.Base))
    painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, text)


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
    corner = QRect(rect.left() + 5, rect.top() + 5, side, side)
    colours = palette.color(Role.Highlight), palette.color(Role.HighlightedText)
    disc = draw_disc(painter, corner, side, *colours)
    _set_bold_font(painter, round(side * 0.62))
    painter.setPen(palette.color(Role.HighlightedText))
    painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, "✓")


def _paint_outline(painter: QPainter, rect: QRect, palette: QPalette, *, selected: bool) -> None:
    """Paint a frame with a gap, so that it is visible on any image."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    outer = palette.color(Role.Highlight if selected else Role.Text)
    for inset, colour, width in ((1.5, outer, OUTLINE_WIDTH), (3.5, palette.color(Role.Base), 1)):
        painter.setPen(QPen(colour, width))
        frame = QRectF(rect).adjusted(inset, inset, -inset, -inset)
        painter.drawRoundedRect(frame, TILE_RADIUS - 1, TILE_RADIUS - 1)


def _set_bold_font(painter: QPainter, pixels: int) -> None:
    font = QFont(painter.font())
    font.setPixelSize(pixels)
    font.setBold(True)
    painter.setFont(font)
