"""Codes of two keys, redo, and what is done with classes by menu, under real events."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import CONTROL, Opened, Person, click, right_click, settle
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QMenu

from gleanset import Dataset
from labeler.qt.classes.menu import ClassMenu
from labeler.qt.views.sorting import SortingView
from labeler.sorting.grid_rows import ALL_PLACES
from labeler.sorting.keys import CODES, KEYS
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    """With more classes than there are single keys."""
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        for number in range(len(KEYS) + 8):
            session.add_class(f"extra {number:02}")
    person = Person(opened(few.root, size=(1280, 720)), few)
    settle(person.window)
    return person


def coded(person: Person, code: str) -> str:
    return next(name for name, key in person.keys.items() if key == code)


def said(person: Person) -> str:
    return person.window.statusBar().currentMessage()


def named(person: Person) -> list[str]:
    return [name for name in labels(person.window.worker.root).values() if name]


def test_every_class_has_a_key_and_a_code_sends(person: Person) -> None:
    assert list(person.keys.values()) == list(CODES[: len(person.keys)])
    person.point(3)
    person.press(",", "key")
    assert f"2 {coded(person, ',2')}" in said(person)
    assert named(person) == []
    person.press("2", "key")
    settle(person.window)
    assert named(person) == [coded(person, ",2")]
    assert person.view.model.state(3).key == ",2"
    person.point(4)
    person.press("2", "key")  # by itself it is another class
    settle(person.window)
    assert sorted(named(person)) == sorted([coded(person, ",2"), coded(person, "2")])


def class_menu(person: Person, name: str) -> ClassMenu:
    rail = person.window.class_panel
    row = next(n for n in range(rail.model.rowCount()) if rail.model.row(n).target == name)
    index = rail.model.index(row)
    rail.list.scrollTo(index)
    right_click(rail.list.viewport(), rail.list.visualRect(index).center())
    menu = rail.list.findChildren(ClassMenu)[-1]
    assert menu.isVisible()
    return menu


def test_a_class_is_deleted_and_comes_back(person: Person) -> None:
    for row in range(3):
        person.send(row, "rei")
    settle(person.window)
    key = person.keys["rei"]
    person.enter()
    settle(person.window)
    click(class_menu(person, "rei"), "Delete: 3 faces")
    settle(person.window)
    assert "rei" not in person.keys
    assert named(person) == []
    assert said(person) == "Delete class rei: 3 faces back to the queue"
    assert "60" in person.view.title.text()
    QTest.keyClick(person.view.view, Key.Key_Z, CONTROL)
    settle(person.window)
    assert person.keys["rei"] == key
    assert named(person) == ["rei"] * 3
    assert "57" in person.view.title.text()


def test_a_class_gets_a_show_and_the_grid_is_filtered_by_it(person: Person) -> None:
    for row, name in enumerate(("rei", "rei", "hana")):
        person.send(row, name)
    settle(person.window)
    shows = next(
        menu for menu in class_menu(person, "rei").findChildren(QMenu) if menu.title() == "Of show"
    )
    shows.popup(person.window.mapToGlobal(QPoint(60, 60)))
    QTest.keyClicks(shows.findChild(QLineEdit), "Night  Train")
    QTest.keyClick(shows.findChild(QLineEdit), Key.Key_Return)
    settle(person.window)
    assert said(person) == "rei is of Night Train"
    view = person.view
    assert isinstance(view, SortingView)
    view.enter()
    settle(person.window)
    view.more.setChecked(True)
    view.bar.show_of.setCurrentText("Night Train")
    view.open_place(ALL_PLACES)
    settle(person.window)
    assert view.model.rowCount() == 2
    assert {view.model.tile(row).label for row in range(2)} == {"rei"}  # type: ignore[union-attr]
    person.window.undo()
    settle(person.window)
    assert {row.show for row in person.window.worker.last.counts.classes} == {None}


def test_the_grid_follows_a_rename_and_a_merge(person: Person) -> None:
    person.send(0, "rei")
    person.send(1, "hana")
    settle(person.window)
    click(class_menu(person, "rei"), "Show its faces")
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


def names(person: Person) -> list[str]:
    model = person.window.class_panel.model
    rows = [model.row(number) for number in range(model.rowCount())]
    return [row.target for row in rows if row and row.is_class]


def sort_by(person: Person, text: str) -> None:
    menu = person.window.class_panel.sort.menu()
    menu.popup(person.window.mapToGlobal(QPoint(40, 60)))
    click(menu, text)
    settle(person.window)


def test_classes_are_sorted_and_stay_so(opened: Opened, person: Person) -> None:
    own = names(person)
    assert own == list(person.keys)
    for row in range(3):
        person.send(row, "yuki")
    person.send(4, "extra 05")
    settle(person.window)
    sort_by(person, "By name")
    assert names(person) == sorted(own)
    sort_by(person, "By number")
    assert names(person)[:2] == ["yuki", "extra 05"]
    sort_by(person, "Last used")
    assert names(person)[:2] == ["extra 05", "yuki"]
    person.send(6, "rei")
    settle(person.window)
    assert names(person)[0] == "rei"
    assert list(person.keys) == own  # keys are as before
    person.window.close()
    again = opened(person.window.worker.root)
    settle(again)
    assert again.class_panel.model.order == "recent"
    model = again.class_panel.model
    assert model.row(0).target == "rei"
    sort_by(Person(again, FaceSet(person.window.worker.root, person.truth)), "In their own")


def test_no_row_moves_while_somebody_holds_it(person: Person) -> None:
    sort_by(person, "By number")
    model = person.window.class_panel.model
    model.holds = lambda: True
    before = names(person)
    for row in range(3):
        person.send(row, before[-1])
    settle(person.window)
    assert names(person) == before
    model.holds = lambda: False
    person.send(5, before[-1])
    settle(person.window)
    assert names(person)[0] == before[-1]
