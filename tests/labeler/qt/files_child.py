"""A stand-in for a file manager that drags files, run by `test_real_drag`.

It offers the files named in `argv` to copy or to move. Each event is one line of JSON on stdout.
"""

import json
import sys

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QDrag, QMouseEvent
from PySide6.QtWidgets import QApplication, QLabel

Action = Qt.DropAction
POSITION = (1100, 100)
SIZE = (300, 400)


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
        report(
            done=drag.exec(
                Action.CopyAction | Action.MoveAction, Action.MoveAction
            ).name
        )


def main() -> None:
    """Show the window until the process is killed."""
    application = QApplication(sys.argv[:1])
    window = Source("files to drag")
    window.setGeometry(*POSITION, *SIZE)
    window.show()
    application.processEvents()
    report(shown=True)
    application.exec()


if __name__ == "__main__":
    main()
