"""The class list: its field, menu, two-key codes and drops on rows."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import CONTROL, NONE, Opened, Person, click, right_click, settle, until
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu

from gleanset import Dataset
from gleanset.settings import SETTINGS_FILE
from labeler.qt.classes.panel import ClassListView, ClassMenu
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.views.grid import GridView
from labeler.sorting.grid_query import ALL_PLACES
from labeler.sorting.keys import CLASS_KEYS, KEYS
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    """With more classes than there are single keys."""
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        for number in range(len(KEYS) + 8):
            session.add_class(f"extra {number:02}")
    return Person(opened(few.root, size=(1280, 720)), few)


def coded(person: Person, code: str) -> str:
    return next(name for name, key in person.keys.items() if key == code)


def said(person: Person) -> str:
    return person.window.statusBar().currentMessage()


def named(person: Person) -> list[str]:
    return [name for name in labels(person.window.worker.root).values() if name]


def test_every_class_has_a_key_and_a_code_sends(person: Person) -> None:
    assert list(person.keys.values()) == list(CLASS_KEYS[: len(person.keys)])
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
        menu for menu in class_menu(person, "rei").findChildren(QMenu) if menu.title() == "Series"
    )
    shows.popup(person.window.mapToGlobal(QPoint(60, 60)))
    QTest.keyClicks(shows.findChild(QLineEdit), "Night  Train")
    QTest.keyClick(shows.findChild(QLineEdit), Key.Key_Return)
    settle(person.window)
    assert said(person) == "Set the show of rei to Night Train"
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
    person.undo()
    assert {row.show for row in person.window.worker.progress.counts.classes} == {None}


def test_the_grid_follows_a_rename_and_a_merge(person: Person) -> None:
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


def names(person: Person) -> list[str]:
    model = person.window.class_panel.model
    rows = [model.row(number) for number in range(model.rowCount())]
    return [row.target for row in rows if row and row.is_class]


def test_classes_are_sorted_and_stay_so(opened: Opened, person: Person) -> None:
    own = names(person)
    assert own == list(person.keys)
    person.window.class_panel.sort.click()
    settle(person.window)
    assert names(person) == sorted(own, key=str.casefold)
    assert list(person.keys) == own  # keys are as before
    person.window.close()
    again = opened(person.window.worker.root).class_panel
    first = again.model.row(0)
    assert (again.sort.isChecked(), first and first.target) == (True, min(own, key=str.casefold))
    again.sort.click()
    assert not again.model.is_sorted_by_name


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
    assert "No class is named" in person.window.statusBar().currentMessage()
    QTest.keyClicks(field, "xyz")
    QTest.keyClick(field, Key.Key_Return)
    settle(person.window)
    assert name[:2] + "xyz" in person.keys


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


def test_a_key_of_two_classes_in_the_file_is_reported(opened: Opened, few: FaceSet) -> None:
    (few.root / SETTINGS_FILE).write_text('[keys]\nrei = "1"\nhana = "1"\n')
    person = Person(opened(few.root), few)
    assert said(person).endswith("gives key 1 to several classes (rei, hana): rei has it")
    assert person.keys["rei"] == "1" != person.keys["hana"]
    person.point(0)
    person.press("1", "key")
    settle(person.window)
    assert named(person) == ["rei"]
