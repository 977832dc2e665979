"""A small histogram: how many proposals there are in each tenth of confidence."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from labeler.qt.theme import em, muted_text, trough
from labeler.sorting.page_layout import TENTHS

BAR, GAP = 6, 1
"""Of a bar at its narrowest, and between two, in logical pixels."""


class ConfidenceBars(QWidget):
    """Ten bars, the surest at the right; the part of each that is shown below is in colour.

    It says its counts by its tooltip and to screen readers, and is hidden without any.
    """

    def __init__(self, *, wide: bool = False) -> None:
        super().__init__()
        self.counts: tuple[int, ...] = ()
        self.shown: tuple[int, ...] = ()
        grows = QSizePolicy.Policy.Expanding if wide else QSizePolicy.Policy.Fixed
        self.setSizePolicy(grows, grows)
        self._lines = 4.0 if wide else 1.5
        self.hide()

    def sizeHint(self) -> QSize:
        """Return the narrowest bars side by side."""
        return QSize(TENTHS * (BAR + GAP) + GAP, em(self, self._lines))

    def minimumSizeHint(self) -> QSize:
        """Return the same."""
        return self.sizeHint()

    def show_counts(self, title: str, counts: Sequence[int], shown: Sequence[int] = ()) -> None:
        """Show ten counts; `shown` are those of what is to be seen below, `title` says of whom."""
        self.counts, self.shown = tuple(counts), tuple(shown)
        words = [
            self.tr("{low}–{high} %: {count}").format(
                low=10 * tenth, high=10 * tenth + 10, count=f"{count:,}"
            )
            for tenth, count in reversed(list(enumerate(counts)))
            if count
        ]
        text = self.tr("How sure the proposals are")
        self.setToolTip("\n".join([title or text, *words]))
        self.setAccessibleName(f"{text}: {title}" if title else text)
        self.setAccessibleDescription(", ".join(words))
        self.setVisible(any(counts))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint bars on a line; whatever is there is at least a pixel high."""
        painter, palette = QPainter(self), self.palette()
        most, line = max((*self.counts, 1)), self.height() - 2
        painter.fillRect(0, line, self.width(), 1, trough(palette))
        wide = (self.width() - GAP) / TENTHS
        for tenth, count in enumerate(self.counts):
            left, right = round(GAP + tenth * wide), round((tenth + 1) * wide)
            for number, colour in (
                (count, muted_text(palette)),
                (self.shown[tenth] if self.shown else 0, palette.highlight().color()),
            ):
                high = max(1, round(number / most * (line - 1))) if number else 0
                painter.fillRect(QRect(left, line - high, max(1, right - left), high), colour)
