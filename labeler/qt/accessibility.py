"""Accessibility: announcements for screen readers, sizes of targets, the order of Tab."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QWidget


def announce(widget: QWidget, text: str) -> None:
    """Have a line read out, where a screen reader is running."""
    if text and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


TAB = Qt.FocusPolicy.TabFocus
SMALLEST = 24
"""WCAG 2.2, target size (minimum)."""

KINDS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit)


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
