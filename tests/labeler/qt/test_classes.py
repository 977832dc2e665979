"""The class list: its field, menu, two-key codes and drops on rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import CONTROL, NONE, OpenWindow, Person, click, right_click, settle, wait_until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from gleanset.settings import SETTINGS_FILE
from labeler.classes import ClassEditor
from labeler.qt.classes.panel import ClassListView, ClassMenu
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.views.grid import GridView
from labeler.sorting.grid_query import ALL_PLACES
from labeler.sorting.keys import CLASS_KEYS, KEYS
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture
def person(open_window: OpenWindow, faces: FaceSet) -> Person:
    """Open the grid with more classes than there are single keys."""
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        for number in range(len(KEYS) + 8):
            session.add_class(f"extra {number:02}")
    return Person(open_window(faces.root, size=(1280, 720)), faces)


def class_of_code(person: Person, code: str) -> str:
    return next(name for name, key in person.keys.items() if key == code)


def status_message(person: Person) -> str:
    return person.window.statusBar().currentMessage()


def assigned_labels(person: Person) -> list[str]:
    return [name for name in labels(person.window.worker.root).values() if name]


def test_two_key_code_labels_face(person: Person) -> None:
    assert list(person.keys.values()) == list(CLASS_KEYS[: len(person.keys)])
    person.point(3)
    person.press(",")
    assert f"2 {class_of_code(person, ',2')}" in status_message(person)
    assert assigned_labels(person) == []
    person.press("2")
    settle(person.window)
    assert assigned_labels(person) == [class_of_code(person, ",2")]
    assert person.view.model.state(3).key == ",2"
    person.point(4)
    person.press("2")  # without the comma it is another class's key
    settle(person.window)
    assert sorted(assigned_labels(person)) == sorted(
        [class_of_code(person, ",2"), class_of_code(person, "2")]
    )


def class_menu(person: Person, name: str) -> ClassMenu:
    panel = person.window.class_panel
    row = panel.model.row_of(name)
    index = panel.model.index(row)
    panel.list.scrollTo(index)
    right_click(panel.list.viewport(), panel.list.visualRect(index).center())
    menu = panel.list.findChildren(ClassMenu)[-1]
    assert menu.isVisible()
    return menu


def test_class_deletion_is_undone(person: Person) -> None:
    for row in range(3):
        person.send(row, "rei")
    settle(person.window)
    key = person.keys["rei"]
    person.enter()
    click(class_menu(person, "rei"), "Delete: 3 faces")
    settle(person.window)
    assert "rei" not in person.keys
    assert assigned_labels(person) == []
    assert status_message(person) == "Delete class rei: 3 faces back to the queue"
    assert "60" in person.view.title.text()
    QTest.keyClick(person.view.view, Key.Key_Z, CONTROL)
    settle(person.window)
    assert person.keys["rei"] == key
    assert assigned_labels(person) == ["rei"] * 3
    assert "57" in person.view.title.text()


def test_grid_is_filtered_by_series(person: Person) -> None:
    for row, name in enumerate(("rei", "rei", "hana")):
        person.send(row, name)
    settle(person.window)
    with Dataset.open(person.window.worker.root) as dataset:
        ClassEditor(dataset).set_show("rei", "Night  Train")
    person.window.worker.refresh()
    settle(person.window)
    view = person.view
    assert isinstance(view, GridView)
    view.enter()
    settle(person.window)
    view.filter_button.setChecked(True)
    view.bar.show_of.setCurrentText("Night Train")
    view.open_place(ALL_PLACES)
    settle(person.window)
    assert view.model.rowCount() == 2
    assert {view.model.tile(row).label for row in range(2)} == {"rei"}  # type: ignore[union-attr]


def test_grid_follows_rename_and_merge(person: Person) -> None:
    person.send(0, "rei")
    person.send(1, "hana")
    settle(person.window)
    click(class_menu(person, "rei"), "Show faces")
    settle(person.window)
    person.window.worker.decide(lambda session: session.rename_class("rei", "Ayanami"))
    settle(person.window)
    assert person.view.title.text() == "Ayanami · 1 face"
    person.window.worker.undo()
    settle(person.window)
    assert person.view.title.text() == "rei · 1 face"
    person.window.worker.decide(lambda session: session.merge_class("rei", "hana"))
    settle(person.window)
    assert person.view.title.text() == "hana · 2 faces"
    assert person.view.model.rowCount() == 2


def search_classes(person: Person, text: str) -> None:
    person.press("/")
    settle(person.window)  # until the names are loaded
    QTest.keyClicks(person.window.focusWidget(), text)


def test_search_with_matches_creates_no_class(person: Person) -> None:
    before, name = list(person.keys), next(iter(person.keys))
    person.point(0)
    search_classes(person, name[:2])
    field = person.window.class_panel.field
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert (field.text(), list(person.keys)) == (name[:2], before)
    assert "No class is named" in person.window.statusBar().currentMessage()
    QTest.keyClicks(field, "xyz")
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert name[:2] + "xyz" in person.keys


COPY = Qt.DropAction.CopyAction


class ClassListDrag:
    """Two faces dragged over the class list, as the desktop's events report it."""

    def __init__(self, person: Person) -> None:
        self.class_list: ClassListView = person.window.class_panel.list
        self._mime = TileMimeData(person.view.model.ids([3, 8]), person.window.worker.paths)
        self._at = QPoint()

    def move_to(self, point: QPoint) -> None:
        self._at = point
        for kind in (QDragEnterEvent, QDragMoveEvent):
            event = kind(point, COPY, self._mime, Qt.MouseButton.LeftButton, NONE)
            QApplication.sendEvent(self.class_list.viewport(), event)

    def drop(self) -> Qt.DropAction:
        button = Qt.MouseButton.LeftButton
        event = QDropEvent(QPointF(self._at), COPY, self._mime, button, NONE)
        event.setDropAction(Qt.DropAction.IgnoreAction)
        QApplication.sendEvent(self.class_list.viewport(), event)
        return event.dropAction()

    @property
    def highlighted(self) -> str:
        row = self.class_list.model().row(self.class_list.drop_row)
        return row.target if row else ""

    @property
    def under_mouse(self) -> str:
        row = self.class_list.model().row(self.class_list.indexAt(self._at).row())
        return row.target if row else ""

    @property
    def scroll_position(self) -> int:
        return self.class_list.verticalScrollBar().value()


def label_set(person: Person) -> set[str]:
    return {name for name in labels(person.window.worker.root).values() if name}


def test_class_list_scrolls_during_drag(person: Person) -> None:
    drag = ClassListDrag(person)
    bottom = QPoint(60, drag.class_list.viewport().height() - 6)
    drag.move_to(bottom)
    first = drag.highlighted
    wait_until(lambda: drag.scroll_position > 150)  # no further event is sent
    assert drag.highlighted == drag.under_mouse != first
    highlighted = drag.highlighted
    assert drag.class_list.drop_text == f"Drop 2 → {highlighted}"
    assert drag.drop() == COPY
    settle(person.window)
    assert label_set(person) == {highlighted}
    position = drag.scroll_position
    for _ in range(20):
        QApplication.processEvents()
    assert drag.scroll_position == position
    assert drag.class_list.drop_row == -1


def test_key_of_two_classes_belongs_to_the_first(open_window: OpenWindow, faces: FaceSet) -> None:
    (faces.root / SETTINGS_FILE).write_text('[keys]\nrei = "1"\nhana = "1"\n')
    person = Person(open_window(faces.root), faces)
    assert person.keys["rei"] == "1" != person.keys["hana"]
    person.point(0)
    person.press("1")
    settle(person.window)
    assert assigned_labels(person) == ["rei"]
