"""Dragging tiles: onto a class, or out of the window as files.

However many are dragged, nothing is made of them until they are dropped: paths are asked for by
whoever takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QMetaType, QMimeData, QPoint, QRect, Qt, QUrl
from PySide6.QtGui import QDrag, QPainter, QPixmap

from labeler.qt.tile_painter import paint_tile

if TYPE_CHECKING:
    from labeler.qt.gesture_view import GestureView

TILES = "application/x-gleanset-tiles"
FILES = "text/uri-list"
PICTURE = 96
SHOWN = 3
BESIDE = 14


class TileMime(QMimeData):
    """What is dragged: samples (rows of the catalogue), and the way to their files."""

    def __init__(
        self, ids: Sequence[int], rows: Sequence[int], paths: Callable[[Sequence[int]], list[str]]
    ) -> None:
        super().__init__()
        self.ids = ids
        self.rows = rows
        self._paths = paths

    def formats(self) -> list[str]:
        """Ours first; files for everybody else."""
        return [TILES, FILES]

    def hasFormat(self, mime: str) -> bool:
        """Told without making anything."""
        return mime in (TILES, FILES)

    def retrieveData(self, mime: str, kind: QMetaType | QMetaType.Type) -> Any:
        """Called at the drop: now the files are looked up."""
        if mime == FILES:
            return [QUrl.fromLocalFile(path) for path in self._paths(self.ids)]
        return str(len(self.ids)).encode() if mime == TILES else None


def start_drag(view: GestureView, rows: Sequence[int]) -> None:
    """Drag tiles until they are dropped. Others may copy, and never move our files."""
    if getattr(view.window(), "dragging", False):
        return  # a large drag may still be ending
    mime = TileMime(view.tiles.ids(rows), rows, view.desk.paths)
    drag = QDrag(view)
    drag.setMimeData(mime)
    drag.setPixmap(drag_picture(view, rows))
    drag.setHotSpot(QPoint(-BESIDE, -BESIDE))  # what lies below the pointer stays readable
    view.window().dragging = True  # type: ignore[attr-defined]
    try:
        drag.exec(Qt.DropAction.CopyAction | Qt.DropAction.LinkAction, Qt.DropAction.CopyAction)
    finally:
        view.window().dragging = False  # type: ignore[attr-defined]


def drag_picture(view: GestureView, rows: Sequence[int]) -> QPixmap:
    """At most three faces and the number of all, whatever that is."""
    ratio = view.devicePixelRatioF()
    picture = QPixmap(round((PICTURE + 40) * ratio), round((PICTURE + 20) * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    for place, row in reversed(list(enumerate(rows[:SHOWN]))):
        look = view.look(row)._replace(selected=False, pointed=False)
        paint_tile(painter, QRect(place * 10, place * 6, PICTURE, PICTURE), look, view.palette())
    if len(rows) > 1:
        text = f"{len(view.tiles.ids(rows)):,}"
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        box = painter.fontMetrics().boundingRect(text).adjusted(-8, -4, 8, 4)
        box.moveBottomRight(QPoint(PICTURE + 36, PICTURE + 18))
        painter.fillRect(box, view.palette().highlight())
        painter.setPen(view.palette().highlightedText().color())
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    painter.end()
    return picture
