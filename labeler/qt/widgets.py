"""Helpers for layouts, buttons, labels, focus, accessibility and scrolling."""

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

TAB_FOCUS = Qt.FocusPolicy.TabFocus
MIN_TARGET_SIZE = 24
"""Pixels, WCAG 2.2 target size (minimum)."""

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit)
ARROW = " ▾"
Part = QWidget | QLayout | None
"""An element of a row or a column; None is a stretch."""

Margins = tuple[int, int, int, int]
NO_MARGINS: Margins = (0, 0, 0, 0)
HEAD: Margins = (6, 4, 6, 4)
"""Margins of the line above a view: left, top, right, bottom."""


def row_layout(*parts: Part, grows: Part = None, margins: Margins = NO_MARGINS) -> QHBoxLayout:
    """Return a row of parts; `grows` gets the remaining space."""
    row = QHBoxLayout()
    row.setContentsMargins(*margins)
    _fill(row, parts, grows)
    return row


def column_layout(*parts: Part, grows: Part = None) -> QVBoxLayout:
    """Return a column of parts; `grows` gets the remaining space."""
    column = QVBoxLayout()
    column.setContentsMargins(*NO_MARGINS)
    _fill(column, parts, grows)
    return column


def set_column(widget: QWidget, *parts: Part, grows: Part = None) -> QVBoxLayout:
    """Set a column of parts without gaps as the layout of a widget."""
    column = column_layout(*parts, grows=grows)
    column.setSpacing(0)
    widget.setLayout(column)
    return column


def _fill(layout: QBoxLayout, parts: tuple[Part, ...], grows: Part) -> None:
    for part in parts:
        stretch = 1 if part is grows else 0
        if isinstance(part, QWidget):
            layout.addWidget(part, stretch)
        elif isinstance(part, QLayout):
            layout.addLayout(part, stretch)
        else:
            layout.addStretch(1)


def button(text: str, act: Callable[[], object]) -> QPushButton:
    """Return a button that calls `act` when clicked."""
    push_button = QPushButton(text)
    push_button.clicked.connect(lambda checked=False: act())
    return push_button


def plain_label(text: str = "") -> QLabel:
    """Return a label that wraps plain text."""
    return QLabel(text, wordWrap=True, textFormat=Qt.TextFormat.PlainText)


def title_label() -> QLabel:
    """Return a label whose text does not widen the window."""
    label = QLabel()
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def hint_label(text: str = "") -> QLabel:
    """Return a label for the hints below a view."""
    # In one line it would widen the window.
    return QLabel(text, margin=6, wordWrap=True)


def name_part(part: QWidget, name: str) -> None:
    """Set the tooltip and the accessible name of a control."""
    part.setToolTip(name)
    part.setAccessibleName(name)


def timer(owner: QObject, act: Callable[[], object], milliseconds: int = 0) -> QTimer:
    """Return a single-shot timer that calls `act`."""
    single_shot = QTimer(owner, singleShot=True, interval=milliseconds)
    single_shot.timeout.connect(act)
    return single_shot


def choosing(
    parent: QWidget,
    title: str,
    begin: str = "",
    mode: QFileDialog.FileMode = QFileDialog.FileMode.Directory,
) -> QFileDialog:
    """Open a non-blocking dialog to choose a folder or files."""
    dialog = QFileDialog(parent, title, begin)
    dialog.setFileMode(mode)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()
    return dialog


class MenuButton(QToolButton):
    """Button that opens its menu, with an arrow after its text."""

    def __init__(self) -> None:
        super().__init__()
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def initStyleOption(self, option: QStyleOptionToolButton) -> None:
        # Qt paints its own arrow over the last letter.
        super().initStyleOption(option)
        option.features &= ~QStyleOptionToolButton.ToolButtonFeature.HasMenu
        option.text = self.text() + ARROW

    def sizeHint(self) -> QSize:
        return super().sizeHint() + QSize(self.fontMetrics().horizontalAdvance(ARROW), 0)


def announce(widget: QWidget, text: str) -> None:
    """Announce a text to a running screen reader."""
    if text and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


def enlarge_targets(widget: QWidget) -> None:
    """Give all controls in a widget the minimum target size."""
    for part in widget.findChildren(QWidget):
        if isinstance(part, CONTROLS) and not isinstance(part.parent(), CONTROLS):
            part.setMinimumHeight(max(part.minimumHeight(), MIN_TARGET_SIZE))


def keep_focus(widget: QWidget) -> None:
    """Focus buttons and combo boxes by Tab only: a click keeps the focus elsewhere."""
    for part in widget.findChildren(QWidget):
        if isinstance(part, (QAbstractButton, QComboBox)) and part.focusPolicy() & TAB_FOCUS:
            part.setFocusPolicy(TAB_FOCUS)


def tab_last(widget: QWidget) -> None:
    """Move a widget to the end of the tab order of its window."""
    last = widget.window().previousInFocusChain()
    while last is not None and (last is widget or not last.focusPolicy() & TAB_FOCUS):
        last = last.previousInFocusChain()
    if last is not None:
        QWidget.setTabOrder(last, widget)


SCROLL_EDGE = 24
"""Height in logical pixels of the areas at the edges that scroll."""

SCROLL_TICK_MS = 30
MIN_SCROLL, MAX_SCROLL = 3, 30


class EdgeScroll(QObject):
    """Scrolls an area while the mouse is at its edge, faster farther out.

    `edge` is the height of the scrolling area in logical pixels; 0: only outside of the widget.
    """

    def __init__(self, area: QAbstractScrollArea, edge: int = SCROLL_EDGE) -> None:
        super().__init__(area)
        self._area, self._edge = area, edge
        self._speed = 0
        self._timer = QTimer(self, interval=SCROLL_TICK_MS)
        self._timer.timeout.connect(self._tick)

    def hold(self, point: QPoint) -> None:
        """Report the position of the mouse in the viewport; scroll while it is at an edge."""
        self._speed = self._speed_at(point.y(), self._area.viewport().height())
        if not self._speed:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()

    def _speed_at(self, y: int, height: int) -> int:
        edge = min(self._edge, height // 4)
        depth = max(edge - y, 0) or min(height - 1 - edge - y, 0)  # positive at the top
        if not depth:
            return 0
        size = min(MAX_SCROLL, MIN_SCROLL + abs(depth) // 3)
        return -size if depth > 0 else size

    def stop(self) -> None:
        self._speed = 0
        self._timer.stop()

    def _tick(self) -> None:
        bar = self._area.verticalScrollBar()
        bar.setValue(bar.value() + self._speed)
