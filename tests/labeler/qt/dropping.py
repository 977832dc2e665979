"""Files that are dropped on a widget, with the events that a desktop sends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from person import NONE
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QWidget


def drop_files(
    widget: QWidget, paths: Sequence[Path | str], point: QPoint | None = None
) -> QDropEvent:
    """Hold files over a widget and let them go, by default over its middle."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    where, copy, left = point or widget.rect().center(), Qt.DropAction.CopyAction, Qt.MouseButton
    for kind in (QDragEnterEvent, QDragMoveEvent):
        QApplication.sendEvent(widget, kind(where, copy, mime, left.LeftButton, NONE))
    event = QDropEvent(QPointF(where), copy, mime, left.LeftButton, NONE)
    QApplication.sendEvent(widget, event)
    return event
