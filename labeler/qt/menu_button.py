"""A button that opens a menu, and says so behind its text: Qt paints its arrow over the text."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QStyleOptionToolButton, QToolButton

ARROW = " ▾"


class MenuButton(QToolButton):
    """A click opens its menu."""

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
