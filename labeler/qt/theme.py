"""Colours and sizes, derived from the palette and the font; the light and the dark theme."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPalette, QPen
from PySide6.QtWidgets import QApplication, QWidget

Role = QPalette.ColorRole
Group = QPalette.ColorGroup


SCHEMES = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
_DARK = {
    Role.Window: 0x2B2D31,
    Role.WindowText: 0xE6E6E6,
    Role.Base: 0x1E1F22,
    Role.AlternateBase: 0x26282C,
    Role.Text: 0xE6E6E6,
    Role.Button: 0x383B41,
    Role.ButtonText: 0xE6E6E6,
    Role.Light: 0x50545C,
    Role.Midlight: 0x44484F,
    Role.Mid: 0x5A5F67,
    Role.Dark: 0x17181B,
    Role.Shadow: 0x0C0D0E,
    Role.Highlight: 0x2F6FC4,
    Role.Accent: 0x2F6FC4,
    Role.HighlightedText: 0xFFFFFF,
    Role.ToolTipBase: 0x383B41,
    Role.ToolTipText: 0xE6E6E6,
    Role.PlaceholderText: 0x9A9A9A,
    Role.BrightText: 0xFFFFFF,
    Role.Link: 0x7AB0FF,
}
_FAINT = 0x8A8A8A


def show_theme(name: str) -> None:
    """Apply the theme "light" or "dark" to all windows; '' follows the desktop.

    The colors come from the desktop, or are our own if it has no such colour scheme.
    """
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    application.setPalette(QPalette())
    application.styleHints().setColorScheme(SCHEMES.get(name, Qt.ColorScheme.Unknown))
    if name in SCHEMES and is_dark(application.palette()) != (name == "dark"):
        light = application.style().standardPalette()
        application.setPalette(_dark_palette() if name == "dark" else light)


def is_dark(palette: QPalette) -> bool:
    """Return whether text is lighter than its background."""
    ground, text = palette.color(Role.Window), palette.color(Role.WindowText)
    return ground.lightness() < text.lightness()


def _dark_palette() -> QPalette:
    palette = QPalette()
    for role, colour in _DARK.items():
        palette.setColor(role, QColor(colour))
    for role in (Role.WindowText, Role.Text, Role.ButtonText):
        palette.setColor(Group.Disabled, role, QColor(_FAINT))
    return palette


def blend(under: QColor, over: QColor, share: float) -> QColor:
    """Mix `share` of one colour into another."""
    return QColor.fromRgb(_blended(under.rgb(), over.rgb(), share))


@lru_cache(maxsize=256)
def _blended(under: int, over: int, share: float) -> int:
    # Colours as QRgb. Cached: every tile is painted with the same few.
    mixed = 0
    for shift in (16, 8, 0):
        a, b = under >> shift & 0xFF, over >> shift & 0xFF
        mixed |= round(a + (b - a) * share) << shift
    return mixed


def backdrop(palette: QPalette) -> QColor:
    """Return the background of images, distinct from white paper and black hair."""
    return blend(palette.color(Role.Base), palette.color(Role.Text), 0.14)


def trough(palette: QPalette) -> QColor:
    """Return the background of bars."""
    return blend(palette.color(Role.Base), palette.color(Role.Text), 0.2)


def muted_text(palette: QPalette) -> QColor:
    """Return the colour of secondary text, with a contrast of at least 4.5:1."""
    return blend(palette.color(Role.Window), palette.color(Role.WindowText), 0.72)


def edge(palette: QPalette) -> QColor:
    """Return the colour of thin lines between parts."""
    return blend(palette.color(Role.Window), palette.color(Role.WindowText), 0.18)


def em(widget: QWidget, times: float = 1.0) -> int:
    """Return a multiple of the height of a text line, in logical pixels."""
    return round(QFontMetrics(widget.font()).height() * times)


def larger(font: QFont, times: float, *, bold: bool = True) -> QFont:
    """Return a scaled font."""
    scaled = QFont(font)
    scaled.setPointSizeF(font.pointSizeF() * times)
    scaled.setBold(bold)
    return scaled


def draw_box(painter: QPainter, rect: QRect, palette: QPalette, width: int) -> None:
    """Draw a box in the highlight colour, with a border that is visible on any image."""
    for role, thickness in ((Role.Base, width + 3), (Role.Highlight, width)):
        painter.setPen(QPen(palette.color(role), thickness))
        painter.drawRect(rect)


def focus_ring(painter: QPainter, rect: QRect, palette: QPalette, *, focused: bool) -> None:
    """Draw a frame around the widget that has the keyboard focus."""
    if focused:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(blend(backdrop(palette), palette.color(Role.Text), 0.6), 2))
        painter.drawRect(rect.adjusted(1, 1, -1, -1))
