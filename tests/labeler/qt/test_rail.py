"""The field over the classes completes names, and names of classes can be read in narrow rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import Opened, Person, settle
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from labeler.qt.classes.rail import in_two_lines

Key = Qt.Key


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    person = Person(opened(few.root, size=(1280, 720)), few)
    settle(person.window)
    return person


def classes_shown(person: Person) -> list[str]:
    model = person.window.class_panel.model
    rows = [model.row(number) for number in range(model.rowCount())]
    return [row.name for row in rows if row and row.is_class]


def write(person: Person, text: str) -> None:
    person.press("/", "find")
    settle(person.window)  # the names are known by now
    QTest.keyClicks(person.window.focusWidget(), text)


def test_a_name_completes_itself_and_the_list_shows_what_was_typed(person: Person) -> None:
    field, name = person.window.class_panel.field, next(iter(person.keys))
    person.point(0)
    write(person, name[0])
    assert field.text() == name[0]
    assert classes_shown(person) == [one for one in person.keys if name[0] in one]
    QTest.keyClick(field, Key.Key_Tab)
    taken = field.text()
    assert taken == name
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert [label for label in labels(person.window.worker.root).values() if label] == [taken]
    assert classes_shown(person) == list(person.keys)
    assert person.window.focusWidget() is person.view.view


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


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("suzukaze_aoba", ["suzukaze_", "aoba"]),
        ("Ayanami Rei", ["Ayanami", "Rei"]),
        ("Jean-Pierre", ["Jean-", "Pierre"]),
        ("涼宮・ハルヒ", ["涼宮・", "ハルヒ"]),
    ],
)
def test_a_name_that_is_too_long_breaks_where_its_words_part(
    application: QApplication, name: str, lines: list[str]
) -> None:
    metrics = QFontMetrics(QFont(application.font()))
    width = max(metrics.horizontalAdvance(line) for line in lines) + 2
    assert in_two_lines(metrics, name, width).split("\n") == lines
    assert in_two_lines(metrics, name, metrics.horizontalAdvance(name)) == name
