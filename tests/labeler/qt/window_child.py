"""A window that labels its faces by keys until it is killed, run by `test_closing`."""

import os
import sys
from pathlib import Path

from person import settle
from PySide6.QtTest import QTest

from labeler.qt.app import make_application
from labeler.qt.grid.tile_view import Select
from labeler.qt.window import LabelerWindow


def main(root: Path) -> None:
    """Write one byte to stdout after each saved step."""
    make_application()
    window = LabelerWindow(root)
    window.show()
    settle(window)
    window.worker.stepped.connect(lambda step: os.write(1, b"."))
    view = window.view.view  # type: ignore[attr-defined]
    for row in range(view.tiles.rowCount()):
        view.select_ranges([(row, row)], Select.ClearAndSelect)
        QTest.keyClick(view, "1")
        settle(window)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
