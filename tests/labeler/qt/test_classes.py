"""The class list: its field, menu, two-key codes and drops on rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import CONTROL, NONE, OpenWindow, Person, click, right_click, settle, wait_until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from gleanset import Dataset
from labeler.qt.grid.mouse import TileMimeData
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
    assert status_message(person) == ", … now the second key of a class"
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


def class_menu(person: Person, name: str) -> QMenu:
    panel = person.window.class_panel
    row = panel.model.row_of(name)
    index = panel.model.index(row)
    panel.list.scrollTo(index)
    right_click(panel.list.viewport(), panel.list.visualRect(index).center())
    menu = panel.list.findChildren(QMenu)[-1]
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


def test_grid_follows_rename_and_merge(person: Person) -> None:
    person.send(0, "rei")
    person.send(1, "hana")
    settle(person.window)
    person.window.class_panel.selected.emit("rei")
    settle(person.window)
    person.window.worker.decide(lambda session: session.rename_class("rei", "Ayanami"))
    settle(person.window)
    assert person.view.title.text() == "Ayanami · 1 face"
    person.window.worker.undo()
    settle(person.window)
    assert person.view.title.text() == "rei · 1 face"
    rows = person.window.class_panel.model
    rows.setData(rows.index(rows.row_of("rei")), "hana")
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


def test_class_list_scrolls_during_drag(person: Person) -> None:
    rows, mime = person.window.class_panel.list, TileMimeData(person.view.model.ids([3, 8]))
    copy, left, bar = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, rows.verticalScrollBar()
    bottom = QPoint(60, rows.viewport().height() - 6)
    for kind in (QDragEnterEvent, QDragMoveEvent):
        QApplication.sendEvent(rows.viewport(), kind(bottom, copy, mime, left, NONE))
    first = rows.drop_text
    wait_until(lambda: bar.value() > 150)  # no further event is sent
    row = person.window.class_panel.model.row(rows.indexAt(bottom).row())
    assert row is not None
    assert rows.drop_text == f"Drop 2 → {row.target}" != first
    drop = QDropEvent(QPointF(bottom), copy, mime, left, NONE)
    QApplication.sendEvent(rows.viewport(), drop)
    assert drop.dropAction() == copy
    settle(person.window)
    assert assigned_labels(person) == [row.target] * 2
    position = bar.value()
    for _ in range(20):
        QApplication.processEvents()
    assert (bar.value(), rows.drop_row) == (position, -1)
