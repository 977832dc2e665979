"""The window in a process of its own that reports positions, run by `test_real_drag`.

Each line on stdin is a command, each answer one line of JSON on stdout.
"""

import json
import sys
import threading
from pathlib import Path

from person import settle
from PySide6.QtCore import QObject, QPoint, Signal
from PySide6.QtWidgets import QWidget

from labeler.qt.app import make_application
from labeler.qt.window import LabelerWindow


class Answerer(QObject):
    """A receiver that executes the commands on the window's thread."""

    received = Signal(str)

    def __init__(self, window: LabelerWindow) -> None:
        super().__init__()
        self.window = window
        self.received.connect(self.answer)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self.received.emit(line.strip())

    def answer(self, line: str) -> None:
        """Execute one command and print its result."""
        word, _, rest = line.partition(" ")
        result = getattr(self, f"do_{word}")(rest)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()

    def do_tile(self, rest: str) -> list[int]:
        """Return the centre of a tile on the screen."""
        view = self.window.view.view  # type: ignore[attr-defined]
        return screen_position(
            view.viewport(), view.visualRect(view.tiles.index(int(rest))).center()
        )

    def do_class(self, rest: str) -> list[int]:
        """Return the centre of the row of a class on the screen."""
        panel = self.window.class_panel
        row = panel.model.row_of(rest)
        return screen_position(
            panel.list.viewport(),
            panel.list.visualRect(panel.model.index(row)).center(),
        )

    def do_saved(self, rest: str) -> str:
        """Wait until all is saved; return the name of the undo step."""
        settle(self.window)
        last = self.window.worker.progress
        return last.undo.operation.text() if last and last.undo else ""

    def do_question(self, _: str) -> bool:
        """Return whether the dialog about dropped files can be answered."""
        dialog = self.window.drops.dialog
        return (
            dialog is not None
            and dialog.isVisible()
            and dialog.start_button.isEnabled()
        )

    def do_drop_text(self, rest: str) -> str:
        """Return the text of the highlighted row of the class panel."""
        return self.window.class_panel.list.drop_text


def screen_position(widget: QWidget, point: QPoint) -> list[int]:
    """Map a point of a widget to the screen."""
    position = widget.mapToGlobal(point)
    return [position.x(), position.y()]


def main(root: Path) -> None:
    """Show the window until it is closed."""
    application = make_application()
    window = LabelerWindow(root, "grid")
    window.resize(1000, 860)
    window.move(0, 0)
    window.show()
    settle(window)
    answerer = Answerer(window)
    answerer.received.emit("saved")
    application.exec()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
