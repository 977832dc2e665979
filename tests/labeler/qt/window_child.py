"""A window that presses its own keys until it is killed, run by `test_kill_window`."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from person import settle
from PySide6.QtTest import QTest
from sorting_model import Book, random_gesture

from gleanset.db.views import EVERYWHERE, OrderedSamples
from labeler.qt.app import make_application
from labeler.qt.grid.tile_view import Select
from labeler.qt.window import LabelerWindow
from labeler.sorting.grid_query import ALL_PLACES


def main(root: Path, samples: int, seed: int) -> None:
    """Make random gestures; write one byte to stdout after each saved one."""
    make_application()
    window = LabelerWindow(root)
    window.show()
    settle(window)
    view = window.view.view  # type: ignore[attr-defined]
    window.view.open_place(ALL_PLACES)  # type: ignore[attr-defined]
    settle(window)
    # All samples, in the order of their numbers, wherever they are by now.
    window.worker.ask(
        lambda session: OrderedSamples(session.dataset.db).list_rows(EVERYWHERE).ids,
        window.view.model.show,  # type: ignore[attr-defined]
    )
    settle(window)
    letters = {":not a face": "\b", ":other": "o", ":later": "l", ":queue": "q"}
    dice, book = random.Random(seed), Book(dict.fromkeys(range(samples), ""))
    window.worker.stepped.connect(lambda done: os.write(1, b"."))
    os.write(1, b"!")
    while True:
        gesture = random_gesture(dice, samples)
        if not book.may(gesture):
            continue
        book.play(gesture)
        if gesture.kind == "to":
            ranges = [(row, row) for row in gesture.samples]
            view.select_ranges(ranges, Select.ClearAndSelect)
            keys = window.worker.progress.keys if window.worker.progress else {}
            QTest.keyClick(view, keys.get(gesture.target) or letters[gesture.target])
        else:
            (window.worker.undo if gesture.kind == "undo" else window.worker.redo)()
        settle(window)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
