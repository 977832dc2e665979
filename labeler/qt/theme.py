"""The design: spacing, radii, type scale, colours of both themes, and states.

Every view takes its lengths and colours from here. The accent marks what a key or a drop acts on,
and the one button that Enter presses; everything else is neutral.
"""

import tomllib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from string import Template

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QGuiApplication,
    QPainter,
    QPainterPath,
    QPalette,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QApplication, QStyle, QWidget

Role = QPalette.ColorRole

# Gaps: within a control, between controls, around a card, around a page.
SPACE_S = 4
SPACE_M = 8
SPACE_L = 12
SPACE_XL = 24

TILE_RADIUS = 5
CONTROL_RADIUS = 7
CARD_RADIUS = 10
# Type scale: multiples of the desktop's font size for key caps, headings and titles.
SMALL = 0.88
HEADING = 1.1
TITLE = 1.5
MIN_TEXT_PIXELS = 10

MOTION_MS = 120
TRANSPARENT = QColor(0, 0, 0, 0)
SCHEMES = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
COLOURS = tomllib.loads(
    Path(__file__).with_name("colours.toml").read_text(encoding="utf-8")
)


def show_theme(name: str) -> None:
    """Apply the theme "light" or "dark" to all windows; '' follows the desktop.

    A desktop with high contrast keeps its own colours.
    """
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    hints = application.styleHints()
    application.setStyle("Fusion")
    application.setPalette(QPalette())
    hints.setColorScheme(SCHEMES.get(name, Qt.ColorScheme.Unknown))
    high_contrast = _desktop_asks("contrastPreference", "HighContrast")  # since Qt 6.10
    if name in SCHEMES or not high_contrast:
        dark = name == "dark" or (
            not name and hints.colorScheme() is Qt.ColorScheme.Dark
        )
        application.setPalette(_palette("dark" if dark else "light"))

    application.setStyleSheet(_style_sheet(is_dark(application.palette())))


def _desktop_asks(preference: str, value: str) -> bool:
    """Return whether a preference has a value; False in versions of Qt that cannot say."""
    accessibility = getattr(QGuiApplication.styleHints(), "accessibility", None)
    ask = None if accessibility is None else getattr(accessibility(), preference, None)
    return ask is not None and ask().name == value


def motion_ms() -> int:
    """Return how long a movement takes; 0 where the desktop asks for reduced motion."""
    duration = QApplication.style().styleHint(
        QStyle.StyleHint.SH_Widget_Animation_Duration
    )
    is_reduced = _desktop_asks("motionPreference", "ReducedMotion")  # since Qt 6.12
    return 0 if is_reduced else min(MOTION_MS, duration)


def is_dark(palette: QPalette) -> bool:
    """Return whether text is lighter than its background."""
    ground, text = palette.color(Role.Window), palette.color(Role.WindowText)
    return ground.lightness() < text.lightness()


def _palette(theme: str) -> QPalette:
    colours = COLOURS[theme]["palette"]
    palette = QPalette(
        QColor(colours["Base"]),
        QColor(colours["Window"]),
    )
    for role, value in colours.items():
        palette.setColor(QPalette.ColorRole[role], QColor(value))
    for role, value in COLOURS[theme]["disabled"].items():
        palette.setColor(
            QPalette.ColorGroup.Disabled, QPalette.ColorRole[role], QColor(value)
        )
    return palette


_STYLE = Path(__file__).with_name("style.qss")


def _style_sheet(dark: bool) -> str:
    colours = {
        "muted": muted_text(),
        "line": edge(),
        "hover": hovered(),
        "soft": lit(),
        "handle": blend(colour(Role.Window), colour(Role.Text), 0.36),
        "trough": backdrop(),
        "accent_hover": blend(
            colour(Role.Highlight), colour(Role.HighlightedText), 0.12
        ),
    }

    names = {name: mixed.name() for name, mixed in colours.items()}
    points = QApplication.font().pointSizeF()
    sizes = {
        "radius": CONTROL_RADIUS,
        "card": CARD_RADIUS,
        "small": points * SMALL,
        "heading": points * HEADING,
        "title": points * TITLE,
    }

    template = Template(_STYLE.read_text(encoding="utf-8"))
    return template.substitute(
        names,
        **sizes,
        **COLOURS["dark" if dark else "light"]["states"],
        folder=_STYLE.parent.as_posix(),
    )


def colour(role: Role) -> QColor:
    """Return the colour of a role in the theme that is shown."""
    return QGuiApplication.palette().color(role)


def blend(under: QColor, over: QColor, share: float) -> QColor:
    """Mix `share` of one colour into another."""
    return QColor.fromRgb(_mix(under.rgb(), over.rgb(), share))


@lru_cache(maxsize=256)
def _mix(under: int, over: int, share: float) -> int:
    # Colours as QRgb. Cached: every tile is painted with the same few.
    mixed = 0
    for shift in (16, 8, 0):
        a = under >> shift & 0xFF
        b = over >> shift & 0xFF
        mixed |= round(a + (b - a) * share) << shift
    return mixed


def _mixing(under: Role, over: Role, share: float) -> Callable[[], QColor]:
    return lambda: blend(colour(under), colour(over), share)


backdrop = _mixing(Role.Base, Role.Text, 0.14)
"""Background of bars, and of images: distinct from white paper and black hair."""

muted_text = _mixing(Role.Window, Role.WindowText, 0.72)
"""Secondary text, with a contrast of at least 4.5:1."""

edge = _mixing(Role.Window, Role.WindowText, 0.13)
"""Thin lines between parts."""

hovered = _mixing(Role.Base, Role.Text, 0.05)
"""Background of a control under the mouse."""

lit = _mixing(Role.Base, Role.Highlight, 0.14)
"""Background of a card or row that a key, a drop or Enter would change."""


def em(widget: QWidget, times: float) -> int:
    """Return a multiple of the height of a text line, in logical pixels."""
    return round(QFontMetrics(widget.font()).height() * times)


def scale_font(font: QFont, times: float, *, bold: bool = True) -> QFont:
    """Return a font of the type scale."""
    copy = QFont(font)
    copy.setPointSizeF(font.pointSizeF() * times)
    copy.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    return copy


def draw_card(painter: QPainter, rect: QRect, *, is_target: bool) -> QColor:
    """Draw a card, lit up as the target of a key or a drop; return its background."""
    ground = lit() if is_target else colour(Role.Base)
    pen = QPen(colour(Role.Highlight), 2) if is_target else QPen(edge(), 1)
    draw_frame(painter, rect, pen, ground, CARD_RADIUS)
    return ground


def key_width(metrics: QFontMetrics, key: str) -> int:
    """Return the width of a key cap."""
    return max(metrics.horizontalAdvance(key) + 2 * SPACE_S + 2, metrics.height() + 2)


ALIGN_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def draw_text(
    painter: QPainter,
    rect: QRect,
    text: str,
    pen: QColor | None = None,
    *,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignVCenter,
    elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
) -> int:
    """Draw a line of text, in grey without a `pen`; return its width.

    A text that is too long is drawn smaller, and if that is not enough, elided.
    """
    painter.save()
    if painter.fontMetrics().horizontalAdvance(text) > rect.width():
        font = painter.font()
        pixels = int(painter.fontInfo().pixelSize() * SMALL)
        font.setPixelSize(max(pixels, MIN_TEXT_PIXELS))
        painter.setFont(font)

    metrics = painter.fontMetrics()
    elided = metrics.elidedText(text, elide, rect.width())
    painter.setPen(pen or muted_text())
    painter.drawText(rect, align, elided)
    painter.restore()
    return metrics.horizontalAdvance(elided)


def draw_key(painter: QPainter, rect: QRect, key: str) -> None:
    """Draw a key cap at the left of a rectangle, in the font of the painter."""
    metrics = painter.fontMetrics()
    cap = QRect(0, 0, key_width(metrics, key), metrics.height() + 2)
    cap.moveCenter(rect.center())
    cap.moveLeft(rect.left())
    draw_frame(
        painter,
        cap,
        QPen(blend(edge(), colour(Role.Text), 0.16), 1),
        hovered(),
        SPACE_S,
    )
    painter.setPen(colour(Role.Text))
    painter.drawText(cap, Qt.AlignmentFlag.AlignCenter, key)


def round_corners(
    painter: QPainter, rect: QRect, ground: QColor, radius: float
) -> None:
    """Paint the corners of a square image in the colour around it."""
    ratio = painter.deviceTransform().m11()
    mask = _corner_mask(
        rect.width(),
        rect.height(),
        ground.rgb(),
        radius,
        ratio,
    )
    painter.drawPixmap(rect.topLeft(), mask)


@lru_cache(maxsize=64)
def _corner_mask(
    width: int, height: int, ground: int, radius: float, ratio: float
) -> QPixmap:
    # Cached: clipping each tile to a rounded path costs ten times as much.
    mask = QPixmap(QSize(round(width * ratio), round(height * ratio)))
    mask.setDevicePixelRatio(ratio)
    mask.fill(Qt.GlobalColor.transparent)
    path = QPainterPath()
    area = QRectF(0, 0, width, height)
    path.setFillRule(Qt.FillRule.OddEvenFill)
    path.addRect(area.adjusted(-1, -1, 1, 1))
    path.addRoundedRect(area, radius, radius)
    painter = QPainter(mask)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.fillPath(path, QColor.fromRgb(ground))
    painter.end()
    return mask


def draw_box(painter: QPainter, rect: QRect, width: int, image: QRect) -> None:
    """Draw a box in the highlight colour, with a border that is visible on any image.

    The border of a box at the edge of an image is within it, where nothing cuts it off.
    """
    # Half of the widest border is outside of the box.
    rect &= image.adjusted(3, 3, -3, -3)
    for role, thickness in ((Role.Base, width + 3), (Role.Highlight, width)):
        painter.setPen(QPen(colour(role), thickness))
        painter.drawRect(rect)


def focus_ring(painter: QPainter, rect: QRect, widget: QWidget) -> None:
    """Draw a frame around the widget that got the focus by the keyboard."""
    by_key = Qt.WidgetAttribute.WA_KeyboardFocusChange
    if widget.hasFocus() and widget.window().testAttribute(by_key):
        draw_frame(
            painter,
            rect,
            QPen(blend(edge(), colour(Role.Text), 0.25), 1),
            TRANSPARENT,
            CARD_RADIUS,
        )


def draw_frame(
    painter: QPainter, rect: QRect, pen: QPen, ground: QColor, radius: int
) -> None:
    """Draw a rounded frame within a rectangle."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(pen)
    painter.setBrush(ground)
    inset = pen.widthF() / 2
    frame = QRectF(rect).adjusted(inset, inset, -inset, -inset)
    painter.drawRoundedRect(frame, radius, radius)
