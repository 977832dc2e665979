"""A stand-in for a file manager that drags and receives files, run by `test_real_drag`.

The upper half drags the files named in `argv` (to copy or to move), the lower half receives what
is dropped. Each event is one line of JSON on stdout.
"""

from __future__ import annotations

import json
import sys

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag, QDragEnterEvent, QDragMoveEvent, QDropEvent, QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel, QVBoxLayout, QWidget

Action = Qt.DropAction
POSITION, SIZE = (1100, 100), (300, 400)


def report(**what: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Source(QLabel):
    """A label that starts dragging files when the mouse moves."""

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Start the drag and print the action that the target chose."""
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(path) for path in sys.argv[1:]])
        drag = QDrag(self)
        drag.setMimeData(mime)
        report(done=drag.exec(Action.CopyAction | Action.MoveAction, Action.MoveAction).name)


class Sink(QLabel):
    """A label that accepts dropped files and prefers to move them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setAcceptDrops(True)
        self._positions = set[tuple[int, int]]()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Accept everything."""
        event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:  # noqa: N802
        """Report the second position: it arrives only after the drag was accepted."""
        event.acceptProposedAction()
        position = event.position().toPoint().toTuple()
        if len(self._positions | {position}) == 2 > len(self._positions):
            report(welcome=True)
        self._positions.add(position)

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Report what was dropped."""
        report(
            files=[url.toLocalFile() for url in event.mimeData().urls()],
            may_move=bool(event.possibleActions() & Action.MoveAction),
        )
        event.acceptProposedAction()


def main() -> None:
    """Show the window until the process is killed."""
    application = QApplication(sys.argv[:1])
    window = QWidget()
    column = QVBoxLayout(window)
    column.addWidget(Source("files to drag"))
    column.addWidget(Sink("drop here"))
    window.setGeometry(*POSITION, *SIZE)
    window.show()
    application.processEvents()
    report(shown=True)
    application.exec()


if __name__ == "__main__":
    main()
