"""Two pictures in one place, one after the other, at the same size: what differs, moves."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRect, Qt, QTimer
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

from gleanset.db.measures import SampleRegion
from labeler.qt.grid.thumbnails import BrokenThumbnail, ThumbnailLoader
from labeler.qt.theme import backdrop, em

BLINK_MS = 500


class BlinkComparison(QWidget):
    """Lies over its parent until a key or a click; B or Space turns by hand from then on.

    Nothing is shown before both pictures are there: the one before is never taken for one of
    these.
    """

    def __init__(self, parent: QWidget, thumbs: ThumbnailLoader) -> None:
        super().__init__(parent)
        self._thumbs = thumbs
        self._over = parent
        self._pair: tuple[tuple[SampleRegion, str], ...] = ()
        self.second = False
        self.setAccessibleName(self.tr("Two copies in turn"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._timer = QTimer(self)
        self._timer.setInterval(BLINK_MS)
        self._timer.timeout.connect(self.turn)
        thumbs.ready.connect(self._came)
        parent.installEventFilter(self)
        self.hide()

    def show_pair(self, one: tuple[SampleRegion, str], other: tuple[SampleRegion, str]) -> None:
        """Show two samples in turn, each with a line of text."""
        self._pair, self.second = (one, other), False
        self.setGeometry(self._over.rect())
        self.show()
        self.raise_()
        self.setFocus()
        self._timer.start()

    def turn(self) -> None:
        """Show the other one."""
        if self.pictures() is not None:
            self.second = not self.second
            self.update()

    def pictures(self) -> list[QPixmap | BrokenThumbnail] | None:
        """Return both pictures, or None while one of them comes."""
        found = [self._thumbs.get(seen, 512) for seen, _ in self._pair]
        there = [one for one in found if one is not None]
        return there if len(there) == len(found) else None

    def _came(self, key: str) -> None:
        if self.isVisible():
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint one of the two, as large as there is room, and which it is."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop(self.palette()))
        painter.setPen(self.palette().text().color())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        line = em(self, 2)
        area = self.rect().adjusted(line, line, -line, -2 * line)
        text = QRect(0, self.height() - 2 * line, self.width(), 2 * line)
        both = self.pictures()
        if both is None:
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "…")
            return
        found, words = both[self.second], self._pair[self.second][1]
        if isinstance(found, BrokenThumbnail):
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, f"⚠ {found.reason}")
        else:
            size = found.size().scaled(area.size(), Qt.AspectRatioMode.KeepAspectRatio)
            place = QRect(area.topLeft(), size)
            place.moveCenter(area.center())
            painter.drawPixmap(place, found)
        mark = ("●○", "○●")[self.second]
        painter.drawText(text, Qt.AlignmentFlag.AlignCenter, f"{mark}   {words}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Turn by hand with B and Space; end it with every other key."""
        if event.key() in (Qt.Key.Key_B, Qt.Key.Key_Space):
            self._timer.stop()
            self.turn()
        else:
            self.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """End it with a click."""
        self.end()

    def end(self) -> None:
        """Put it away."""
        self._timer.stop()
        self.hide()
        self._over.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay as large as the parent."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.setGeometry(self._over.rect())
        return False
