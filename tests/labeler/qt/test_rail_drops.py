"""A drop goes to the row that is lit, and lit is what lies under the mouse, however it came there.

The rail is longer than the window; the mouse rests while it scrolls beneath.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, add_classes, copied, labels
from person import NONE, SIZES, Opened, Person, settle, until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler.classes import ClassEditor
from labeler.qt.classes.rail import ClassListView
from labeler.qt.grid.drag import TileMimeData

CLASSES = 40
COPY = Qt.DropAction.CopyAction


class Held:
    """Two faces that are held over the rail, as a desktop tells a window of it."""

    def __init__(self, person: Person) -> None:
        self.rail: ClassListView = person.window.class_panel.list
        self._mime = TileMimeData(person.view.model.ids([3, 8]), person.window.worker.paths)
        self._at = QPoint()

    def over(self, point: QPoint) -> None:
        self._at = point
        for kind in (QDragEnterEvent, QDragMoveEvent):
            event = kind(point, COPY, self._mime, Qt.MouseButton.LeftButton, NONE)
            QApplication.sendEvent(self.rail.viewport(), event)

    def let_go(self) -> Qt.DropAction:
        button = Qt.MouseButton.LeftButton
        event = QDropEvent(QPointF(self._at), COPY, self._mime, button, NONE)
        event.setDropAction(Qt.DropAction.IgnoreAction)
        QApplication.sendEvent(self.rail.viewport(), event)
        return event.dropAction()

    def leave(self) -> None:
        QApplication.sendEvent(self.rail.viewport(), QDragLeaveEvent())

    @property
    def lit(self) -> str:
        row = self.rail.model().row(self.rail.drop_row)
        return row.target if row else ""

    @property
    def beneath(self) -> str:
        row = self.rail.model().row(self.rail.indexAt(self._at).row())
        return row.target if row else ""

    @property
    def far(self) -> int:
        return self.rail.verticalScrollBar().value()


@pytest.fixture(scope="module")
def of_many_classes(drawn_few: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """The faces with a rail that is longer than a window; copy it, do not change it."""
    faces = copied(drawn_few, tmp_path_factory.mktemp("rail") / "d")
    add_classes(faces.root, [f"class {number:02}" for number in range(CLASSES)])
    return faces


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def person(
    request: pytest.FixtureRequest, opened: Opened, of_many_classes: FaceSet, tmp_path: Path
) -> Person:
    few = copied(of_many_classes, tmp_path / "few", named=False)
    person = Person(opened(few.root, size=request.param), few)
    settle(person.window)
    return person


def held_names(person: Person) -> set[str]:
    return {name for name in labels(person.window.worker.root).values() if name}


def test_the_rail_scrolls_on_while_the_mouse_rests_and_takes_the_drop_where_it_is_lit(
    person: Person,
) -> None:
    held = Held(person)
    bottom = QPoint(60, held.rail.viewport().height() - 6)
    held.over(bottom)
    first = held.lit
    until(lambda: held.far > 150)  # nothing is sent to the window meanwhile
    assert held.lit == held.beneath != first
    lit = held.lit
    assert held.rail.drop_text == f"Drop 2 → {lit}"
    assert held.let_go() == COPY
    settle(person.window)
    assert held_names(person) == {lit}
    still = held.far
    for _ in range(20):
        QApplication.processEvents()
    assert held.far == still
    assert held.rail.drop_row == -1


def test_a_drop_from_another_view_brings_back_no_class_that_is_gone(person: Person) -> None:
    """The window looks twice a second at what others do; a hand may be quicker."""
    window, held = person.window, Held(person)
    ids, gone = person.view.model.ids([3, 8]), "class 03"
    window.show_view("numbers")
    settle(window)
    said: list[str] = []
    window.worker.message.connect(lambda text, bad: said.append(text))
    with Dataset.open(window.worker.root) as dataset:
        ClassEditor(dataset).delete(gone)
        held.rail.tiles_dropped.emit(ids, gone)
        settle(window)
        assert gone not in dataset.classes.names()
    assert held_names(person) == set()
    assert any("is no class any more" in text for text in said)
