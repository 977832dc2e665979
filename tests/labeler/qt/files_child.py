"""What a file manager is to the labeler: it offers files, and takes some: run by `test_real_drag`.

The upper half drags the files named in `argv` (to copy or to move), the lower half takes what is
dropped. Each thing that happens is one line of JSON on stdout.
"""

from __future__ import annotations

import json
import sys

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag, QDragEnterEvent, QDragMoveEvent, QDropEvent, QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

Action = Qt.DropAction
PLACE, SIZE = (1100, 100), (300, 400)


def tell(**what: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Source(QLabel):
    """Drags files as soon as the mouse moves."""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Begin; what the other side made of it is told."""
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(path) for path in sys.argv[1:]])
        drag = QDrag(self)
        drag.setMimeData(mime)
        tell(done=drag.exec(Action.CopyAction | Action.MoveAction, Action.MoveAction).name)


class Sink(QLabel):
    """Takes files, and would rather move them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setAcceptDrops(True)
        self._places = set[tuple[int, int]]()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Everything is welcome."""
        event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802
        """Tell of the second place: the other side sends it once it knows that it is welcome."""
        event.acceptProposedAction()
        place = event.position().toPoint().toTuple()
        if len(self._places | {place}) == 2 > len(self._places):
            tell(welcome=True)
        self._places.add(place)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Tell what came."""
        tell(
            files=[url.toLocalFile() for url in event.mimeData().urls()],
            may_move=bool(event.possibleActions() & Action.MoveAction),
        )
        event.acceptProposedAction()


def main() -> None:
    """Show it until it is killed."""
    application = QApplication(sys.argv[:1])
    window = QWidget()
    column = QVBoxLayout(window)
    column.addWidget(Source("files to drag"))
    column.addWidget(Sink("drop here"))
    window.setGeometry(*PLACE, *SIZE)
    window.show()
    application.processEvents()
    tell(shown=True)
    application.exec()


if __name__ == "__main__":
    main()
