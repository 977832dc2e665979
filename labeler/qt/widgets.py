"""What all parts of the window are built with: rows and columns, small buttons, accessibility."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QSize, Qt, QTimer
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QSizePolicy,
    QStyleOptionToolButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

TAB = Qt.FocusPolicy.TabFocus
SMALLEST = 24
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


def title_label() -> QLabel:
    """Return a label that makes no window wider, however much it says."""
    label = QLabel()
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def hint_label(text: str = "") -> QLabel:
    """Return the lines below a view that say what there is to do."""
    label = QLabel(text)
    label.setMargin(6)
    label.setWordWrap(True)  # in one line it would be the widest part of the window
    return label


def name_part(part: QWidget, name: str) -> None:
    """Say what a control is, by its tooltip and to screen readers."""
    part.setToolTip(name)
    part.setAccessibleName(name)


def timer(owner: QObject, act: Callable[[], object], milliseconds: int = 0) -> QTimer:
    """Return a timer that acts once, so long after it was started last."""
    made = QTimer(owner)
    made.setSingleShot(True)
    made.setInterval(milliseconds)
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
        """Return the size with room for the arrow."""
        return super().sizeHint() + QSize(self.fontMetrics().horizontalAdvance(ARROW), 0)


def announce(widget: QWidget, text: str) -> None:
    """Have a line read out, where a screen reader is running."""
    if text and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


def enlarge_targets(widget: QWidget) -> None:
    """Make all controls in a widget at least so high; those inside other controls follow them."""
    for part in widget.findChildren(QWidget):
        if isinstance(part, KINDS) and not isinstance(part.parent(), KINDS):
            part.setMinimumHeight(max(part.minimumHeight(), SMALLEST))


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
