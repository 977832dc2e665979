"""The field over the classes completes names, and names of classes can be read in narrow rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet
from person import Opened, Person, settle
from PySide6.QtCore import Qt
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
