"""Colours and sizes, all derived from the palette and the font: light, dark and large alike."""

from __future__ import annotations

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPalette, QPen
from PySide6.QtWidgets import QApplication, QWidget

Role = QPalette.ColorRole
BUTTON_AND_WINDOW = {
    "light": (QColor(239, 239, 239), QColor(239, 239, 239)),
    "dark": (QColor(52, 54, 58), QColor(34, 36, 40)),
}
"""From these Qt makes all others, where a platform has no light and dark of its own."""


def blend(under: QColor, over: QColor, share: float) -> QColor:
    """Mix `share` of one colour into another."""
    pairs = ((under.red(), over.red()), (under.green(), over.green()), (under.blue(), over.blue()))
    return QColor(*(round(a + (b - a) * share) for a, b in pairs))


def backdrop(palette: QPalette) -> QColor:
    """Return what pictures lie on: a grey that lets neither light nor dark hair drown."""
    return blend(palette.color(Role.Base), palette.color(Role.Text), 0.3)


def muted_text(palette: QPalette) -> QColor:
    """Text of less weight, still at 4.5 : 1 on the window."""
    return blend(palette.color(Role.Window), palette.color(Role.WindowText), 0.72)


def edge(palette: QPalette) -> QColor:
    """Thin lines between parts."""
    return blend(palette.color(Role.Window), palette.color(Role.WindowText), 0.18)


def show_theme(name: str) -> None:
    """Show all windows "light" or "dark"; with an empty name as the desktop does."""
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
    application.styleHints().setColorScheme(schemes.get(name, Qt.ColorScheme.Unknown))
    if name not in schemes:
        application.setPalette(QPalette())
    elif is_dark(application.palette()) != (name == "dark"):
        # A platform without a theme of its own does not heed it.
        palette = QPalette(*BUTTON_AND_WINDOW[name])
        if name == "dark":  # by itself it would be black
            palette.setColor(Role.Base, palette.color(Role.Window).darker(125))
        application.setPalette(palette)


def is_dark(palette: QPalette) -> bool:
    """Return whether text is lighter than what it is written on."""
    return palette.color(Role.WindowText).lightness() > palette.color(Role.Window).lightness()


def em(widget: QWidget, times: float = 1.0) -> int:
    """Return so many times the height of a line of text, in logical pixels."""
    return round(QFontMetrics(widget.font()).height() * times)


def focus_ring(painter: QPainter, rect: QRect, palette: QPalette, *, focused: bool) -> None:
    """A frame that says that keys go here; in text colour, which every ground contrasts with."""
    if focused:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(palette.color(Role.Text), 2))
        painter.drawRect(rect.adjusted(1, 1, -1, -1))
