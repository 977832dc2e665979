"""Scrolling while something is held at the edge of an area: it goes on though the mouse rests."""

from __future__ import annotations

from PySide6.QtCore import QObject, QPoint, QTimer
from PySide6.QtWidgets import QAbstractScrollArea

EDGE = 24
"""Logical pixels inside the upper and lower edge that scroll; farther out it is faster."""

TICK_MS = 30
SLOWEST, FASTEST = 3, 30
"""Pixels in one tick, for an area that scrolls by pixels."""


class EdgeScroll(QObject):
    """Scrolls an area for as long as `hold` has said that the mouse is at its edge.

    `edge` is how far inside that begins, in logical pixels; 0 is beyond the area alone. Whoever
    follows what lies under the mouse listens to the scroll bar.
    """

    def __init__(self, area: QAbstractScrollArea, edge: int = EDGE) -> None:
        super().__init__(area)
        self._area, self._edge = area, edge
        self._speed = 0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
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
        size = min(FASTEST, SLOWEST + abs(deep) // 3)
        return -size if deep > 0 else size

    def stop(self) -> None:
        """Scroll no more."""
        self._speed = 0
        self._timer.stop()

    def _tick(self) -> None:
        bar = self._area.verticalScrollBar()
        bar.setValue(bar.value() + self._speed)
