"""What all parts of the window are built with: rows, columns, buttons, scrolling, accessibility."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QPoint, QSize, Qt, QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyleOptionToolButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

TAB = Qt.FocusPolicy.TabFocus
MIN_TARGET_SIZE = 24
"""WCAG 2.2, target size (minimum)."""

KINDS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit)
ARROW = " ▾"
Part = QWidget | QLayout | None
"""What stands in a row or a column; None is room that grows."""

Margins = tuple[int, int, int, int]
NO_MARGINS: Margins = (0, 0, 0, 0)
HEAD: Margins = (6, 4, 6, 4)
"""Left, top, right and bottom of the line above a view."""


def beside(*parts: Part, grows: Part = None, margins: Margins = NO_MARGINS) -> QHBoxLayout:
    """Return parts side by side; the one that `grows` gets the room that is left."""
    made = QHBoxLayout()
    made.setContentsMargins(*margins)
    _fill(made, parts, grows)
    return made


def below(*parts: Part, grows: Part = None) -> QVBoxLayout:
    """Return parts below each other; the one that `grows` gets the room that is left."""
    made = QVBoxLayout()
    made.setContentsMargins(*NO_MARGINS)
    _fill(made, parts, grows)
    return made


def pile(widget: QWidget, *parts: Part, grows: Part = None) -> QVBoxLayout:
    """Fill a widget with parts below each other, without gaps."""
    made = below(*parts, grows=grows)
    made.setSpacing(0)
    widget.setLayout(made)
    return made


def _fill(layout: QBoxLayout, parts: tuple[Part, ...], grows: Part) -> None:
    for part in parts:
        share = 1 if part is grows else 0
        if isinstance(part, QWidget):
            layout.addWidget(part, share)
        elif isinstance(part, QLayout):
            layout.addLayout(part, share)
        else:
            layout.addStretch(1)


def button(text: str, act: Callable[[], object]) -> QPushButton:
    """Return a button that acts when it is clicked."""
    made = QPushButton(text)
    made.clicked.connect(lambda checked=False: act())
    return made


def plain_label(text: str = "") -> QLabel:
    """Return a label that wraps its text, whatever signs are in it."""
    return QLabel(text, wordWrap=True, textFormat=Qt.TextFormat.PlainText)


def title_label() -> QLabel:
    """Return a label that makes no window wider, however much it says."""
    label = QLabel()
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def hint_label(text: str = "") -> QLabel:
    """Return the lines below a view that say what there is to do."""
    # In one line it would be the widest part of the window.
    return QLabel(text, margin=6, wordWrap=True)


def name_part(part: QWidget, name: str) -> None:
    """Say what a control is, by its tooltip and to screen readers."""
    part.setToolTip(name)
    part.setAccessibleName(name)


def timer(owner: QObject, act: Callable[[], object], milliseconds: int = 0) -> QTimer:
    """Return a timer that acts once, so long after it was started last."""
    made = QTimer(owner, singleShot=True, interval=milliseconds)
    made.timeout.connect(act)
    return made


def choosing(
    parent: QWidget,
    title: str,
    begin: str = "",
    mode: QFileDialog.FileMode = QFileDialog.FileMode.Directory,
) -> QFileDialog:
    """Show a dialog in which a folder, or files, are chosen; nothing waits for it."""
    dialog = QFileDialog(parent, title, begin)
    dialog.setFileMode(mode)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog


class MenuButton(QToolButton):
    """A click opens its menu. It says so behind its text: Qt paints its arrow over the text."""

    def __init__(self) -> None:
        super().__init__()
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def initStyleOption(self, option: QStyleOptionToolButton) -> None:
        """Leave the arrow out that lies over the last letter, and write one of our own."""
        super().initStyleOption(option)
        option.features &= ~QStyleOptionToolButton.ToolButtonFeature.HasMenu
        option.text = self.text() + ARROW

    def sizeHint(self) -> QSize:
        return super().sizeHint() + QSize(self.fontMetrics().horizontalAdvance(ARROW), 0)


def announce(widget: QWidget, text: str) -> None:
    """Have a line read out, where a screen reader is running."""
    if text and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


def enlarge_targets(widget: QWidget) -> None:
    """Make all controls in a widget at least so high; those inside other controls follow them."""
    for part in widget.findChildren(QWidget):
        if isinstance(part, KINDS) and not isinstance(part.parent(), KINDS):
            part.setMinimumHeight(max(part.minimumHeight(), MIN_TARGET_SIZE))


def keep_focus(widget: QWidget) -> None:
    """Let Tab alone bring the focus to buttons and choices: after a click, keys act as before."""
    for part in widget.findChildren(QWidget):
        if isinstance(part, (QAbstractButton, QComboBox)) and part.focusPolicy() & TAB:
            part.setFocusPolicy(TAB)


def tab_last(widget: QWidget) -> None:
    """Let Tab come to a widget after everything else in its window."""
    last = widget.window().previousInFocusChain()
    while last is not None and (last is widget or not last.focusPolicy() & TAB):
        last = last.previousInFocusChain()
    if last is not None:
        QWidget.setTabOrder(last, widget)


SCROLL_EDGE = 24
"""Logical pixels inside the upper and lower edge that scroll; farther out it is faster."""

SCROLL_TICK_MS = 30
MIN_SCROLL, MAX_SCROLL = 3, 30


class EdgeScroll(QObject):
    """Scrolls an area for as long as `hold` has said that the mouse is at its edge.

    `edge` is how far inside that begins, in logical pixels; 0 is beyond the area alone. Whoever
    follows what lies under the mouse listens to the scroll bar.
    """

    def __init__(self, area: QAbstractScrollArea, edge: int = SCROLL_EDGE) -> None:
        super().__init__(area)
        self._area, self._edge = area, edge
        self._speed = 0
        self._timer = QTimer(self, interval=SCROLL_TICK_MS)
        self._timer.timeout.connect(self._tick)

    def hold(self, point: QPoint) -> None:
        """Note where the mouse is, in the viewport; scroll while that is at an edge."""
        self._speed = self._speed_at(point.y(), self._area.viewport().height())
        if not self._speed:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()

    def _speed_at(self, y: int, height: int) -> int:
        edge = min(self._edge, height // 4)
        deep = max(edge - y, 0) or min(height - 1 - edge - y, 0)  # how far into it; above is +
        if not deep:
            return 0
        size = min(MAX_SCROLL, MIN_SCROLL + abs(deep) // 3)
        return -size if deep > 0 else size

    def stop(self) -> None:
        self._speed = 0
        self._timer.stop()

    def _tick(self) -> None:
        bar = self._area.verticalScrollBar()
        bar.setValue(bar.value() + self._speed)
