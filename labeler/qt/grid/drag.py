"""Dragging tiles: onto a class, or out of the window as files.

However many are dragged, nothing is made of them until they are dropped: paths are asked for by
whoever takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QMetaType, QMimeData, QPoint, QRect, Qt, QUrl
from PySide6.QtGui import QDrag, QPainter, QPixmap

from labeler.qt.grid.painter import paint_tile
from labeler.qt.grid.tile_view import TileView

TILES = "application/x-gleanset-tiles"
FILES = "text/uri-list"
PICTURE = 96
SHOWN = 3
BESIDE = 14

Paths = Callable[[Sequence[int]], list[str]]
"""The files of samples, by their ids."""


class TileMimeData(QMimeData):
    """What is dragged: samples by their ids, and the way to their files."""

    def __init__(self, ids: Sequence[int], paths: Paths) -> None:
        super().__init__()
        self.ids = ids
        self._paths = paths

    def formats(self) -> list[str]:
        """Return ours first; files for everybody else."""
        return [TILES, FILES]

    def hasFormat(self, mime: str) -> bool:
        """Tell it without making anything."""
        return mime in (TILES, FILES)

    def retrieveData(self, mime: str, kind: QMetaType | QMetaType.Type) -> Any:
        """Look the files up: called at the drop."""
        if mime == FILES:
            return [QUrl.fromLocalFile(path) for path in self._paths(self.ids)]
        return str(len(self.ids)).encode() if mime == TILES else None


class TileDrag:
    """Drags tiles, one drag at a time in the whole program: Qt has one mouse."""

    under_way = False

    @classmethod
    def start(cls, view: TileView, rows: Sequence[int], paths: Paths) -> None:
        """Drag tiles until they are dropped. Others may copy, and never move our files."""
        if cls.under_way:
            return  # a large drag may still be ending
        drag = QDrag(view)
        drag.setMimeData(TileMimeData(view.tiles.ids(rows), paths))
        drag.setPixmap(drag_picture(view, rows))
        drag.setHotSpot(QPoint(-BESIDE, -BESIDE))  # what lies below the pointer stays readable
        cls.under_way = True
        try:
            drag.exec(Qt.DropAction.CopyAction | Qt.DropAction.LinkAction, Qt.DropAction.CopyAction)
        finally:
            cls.under_way = False


def drag_picture(view: TileView, rows: Sequence[int]) -> QPixmap:
    """Return a picture of at most three faces and the number of all, whatever that is."""
    ratio = view.devicePixelRatioF()
    picture = QPixmap(round((PICTURE + 40) * ratio), round((PICTURE + 20) * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    for place, row in reversed(list(enumerate(rows[:SHOWN]))):
        plain = view.appearance(row)._replace(selected=False, pointed=False)
        paint_tile(painter, QRect(place * 10, place * 6, PICTURE, PICTURE), plain, view.palette())
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
