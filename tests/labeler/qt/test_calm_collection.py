"""Old garbage is collected while nobody waits."""

from __future__ import annotations

import gc
import weakref

import pytest
from drawn_faces import FaceSet
from person import settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from labeler.qt import calm_collection
from labeler.qt.learning import Learning
from labeler.qt.program import Program


class Knot:
    """Something that only a search for garbage finds."""

    def __init__(self) -> None:
        self.itself = self


def test_old_garbage_goes_when_there_was_no_gesture_for_a_while(
    application: QApplication, few: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    before, program = gc.get_threshold(), Program(application)
    try:
        window = program.open(few.root)
        settle(window)
        knot = Knot()
        gc.collect()
        gone = weakref.ref(knot)
        del knot
        young = [[number] for number in range(200_000)]
        assert gone() is not None
        monkeypatch.setattr(calm_collection, "CALM_MS", 100)
        QTest.keyClick(window.view.home, Qt.Key.Key_Right)
        until(lambda: gone() is None)
        assert len(young) == 200_000
        window.close()
    finally:
        program.shut_down()
    assert gc.get_threshold() == before
