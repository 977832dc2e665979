"""The field over the classes completes names, and names of classes can be read in narrow rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, hint
from person import Opened, Person, class_pages, settle, until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

Key = Qt.Key


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    person = Person(opened(few.root, size=(1280, 720)), few)
    settle(person.window)
    return person


def write(person: Person, text: str) -> None:
    person.press("/", "find")
    settle(person.window)  # the names are known by now
    QTest.keyClicks(person.window.focusWidget(), text)


def test_a_search_that_finds_classes_makes_none(person: Person) -> None:
    before, name = list(person.keys), next(iter(person.keys))
    person.point(0)
    write(person, name[:2])
    field = person.window.class_panel.field
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert (field.text(), list(person.keys)) == (name[:2], before)
    assert "is no class" in person.window.statusBar().currentMessage()
    QTest.keyClicks(field, "xyz")
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert name[:2] + "xyz" in person.keys


def test_the_highlighted_row_is_what_is_shown(person: Person) -> None:
    window, rail = person.window, person.window.class_panel.list
    one, other = list(person.keys)[:2]
    assert rail.place == ":queue"
    window.class_panel.chosen.emit(one)
    settle(window)
    assert (rail.place, highlighted(person)) == (one, one)
    window.worker.decide(lambda session: session.rename_class(one, "new name"))
    settle(window)
    until(lambda: highlighted(person) == "new name")
    window.worker.decide(lambda session: session.add_class("another"))  # other rows
    settle(window)
    places = window.view.bar.label  # type: ignore[attr-defined]
    places.setCurrentIndex(places.findData(other))
    settle(window)
    until(lambda: highlighted(person) == other)
    window.show_view("duplicates")
    settle(window)
    until(lambda: highlighted(person) == "")
    window.show_view("sorting")
    settle(window)
    until(lambda: highlighted(person) == other)


def highlighted(person: Person) -> str:
    """The row whose ground is painted in the colour of what is chosen."""
    rail = person.window.class_panel
    picture, wanted = rail.list.viewport().grab().toImage(), rail.list.palette().highlight().color()
    for number in range(rail.model.rowCount()):
        corner = rail.list.visualRect(rail.model.index(number)).topLeft() + QPoint(2, 2)
        if picture.pixelColor(corner) == wanted:
            row = rail.model.row(number)
            assert row is not None
            return row.target
    return ""


def test_the_class_of_a_page_is_highlighted(opened: Opened, few: FaceSet) -> None:
    hint(few, 1.0)
    person = Person(opened(few.root, "pages"), few)
    settle(person.window)
    view = class_pages(person)
    # A page of several classes is that of none.
    until(lambda: view.page is not None and highlighted(person) == (view.page.label or ""))
