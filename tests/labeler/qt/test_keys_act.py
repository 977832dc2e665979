"""Every key acts or says why not; names are not commands; the focus returns."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, hint, labels
from person import KEYS, NONE, VIEW_NAMES, Opened, Person, ready, settle, until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu

from labeler.qt.keyboard import shortcut_sections
from labeler.qt.window import LabelerWindow

Key, Button = Qt.Key, Qt.MouseButton
PRINTABLE = "abcdefghijklmnopqrstuvwxyz1234567890/?,.;'[]-="
FUNCTION = [Key(Key.Key_F1 + number) for number in range(12)]


def press(window: LabelerWindow, *keys: Qt.Key | str) -> None:
    """As a desktop does: to the window, which knows who has the focus."""
    for key in keys:
        QTest.keyClick(window.windowHandle(), key)
        QApplication.processEvents()
    settle(window)


def move(window: LabelerWindow, place: QPoint) -> None:
    QTest.mouseMove(window.windowHandle(), place)
    QApplication.processEvents()


def place_of(person: Person, row: int) -> QPoint:
    """The middle of a tile, in the window."""
    return person.view.view.viewport().mapTo(person.window, person.place(row))


def click_rail(
    window: LabelerWindow, target: str, button: Qt.MouseButton = Button.LeftButton
) -> QPoint:
    rail = window.class_panel
    number = next(n for n in range(rail.model.rowCount()) if rail.model.row(n).target == target)
    there = rail.list.visualRect(rail.model.index(number)).center()
    place = rail.list.viewport().mapTo(window, there)
    QTest.mouseClick(window.windowHandle(), button, NONE, place)
    QApplication.processEvents()
    settle(window)
    return place


def said(window: LabelerWindow) -> str:
    return window.statusBar().currentMessage()


def on_faces(person: Person) -> bool:
    return person.window.focusWidget() is person.view.view


def test_keys_act_after_a_name_in_the_rail(person: Person) -> None:
    window = person.window
    move(window, place_of(person, 3))
    press(window, "/", *"nagisa", Key.Key_Return)
    assert on_faces(person)
    assert person.view.model.state(3).target == "nagisa"
    move(window, place_of(person, 4))
    press(window, person.keys["rei"])
    assert person.view.model.state(4).target == "rei"


def test_a_name_goes_to_the_face_it_was_begun_for(person: Person) -> None:
    """Though the mouse moves on while it is typed."""
    window = person.window
    move(window, place_of(person, 3))
    press(window, "n", *"nag")
    move(window, place_of(person, 9))
    press(window, *"isa", Key.Key_Return)
    assert person.view.model.state(3).target == "nagisa"
    assert person.view.model.state(9).target == ""
    assert person.view.view.point == 9


def highlighted(window: LabelerWindow) -> list[str]:
    """The classes and places whose rows have the colour of the selection."""
    model, view = window.class_panel.model, window.class_panel.list
    pixels = view.viewport().grab().toImage()
    colour = view.palette().color(QPalette.ColorRole.Highlight)
    rows = [row for number in range(model.rowCount()) if (row := model.row(number))]
    corners = [view.visualRect(model.index(number)).topLeft() for number in range(len(rows))]
    return [
        row.target
        for row, corner in zip(rows, corners, strict=True)
        if pixels.pixelColor((corner + QPoint(1, 1)) * pixels.devicePixelRatio()) == colour
    ]


def test_the_row_of_the_place_that_is_shown_is_highlighted(person: Person) -> None:
    window = person.window
    for name in ("rei", "hana"):
        click_rail(window, name)
        assert highlighted(window) == [name]
    window.worker.decide(lambda session: session.rename_class("hana", "Hana K."))
    settle(window)
    assert highlighted(window) == ["Hana K."]
    window.show_view("statistics")
    settle(window)
    assert highlighted(window) == []
    window.show_view("grid")
    settle(window)
    assert highlighted(window) == ["Hana K."]


def test_keys_act_after_a_click_in_the_rail_its_menu_and_a_new_name(person: Person) -> None:
    window = person.window
    move(window, place_of(person, 0))
    press(window, person.keys["rei"])
    click_rail(window, "rei")
    assert person.view.model.rowCount() == 1
    assert on_faces(person)
    click_rail(window, "rei", Button.RightButton)
    place = window.class_panel.list.mapToGlobal(window.class_panel.list.rect().center())
    window.class_panel.list.setCurrentIndex(window.class_panel.model.index(0))
    asked = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, place)
    QApplication.sendEvent(window.class_panel.list, asked)
    until(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    QTest.keyClick(QApplication.activePopupWidget(), Key.Key_Escape)
    until(lambda: QApplication.activePopupWidget() is None)
    assert on_faces(person)
    window.activateWindow()  # without a desktop nobody gives that back
    until(window.isActiveWindow)
    press(window, Key.Key_F2)  # in the grid it renames the class that is shown
    field = window.focusWidget()
    assert isinstance(field, QLineEdit)
    assert field.text() == "rei"
    field.selectAll()
    press(window, *"ayanami", Key.Key_Return)
    assert "ayanami" in person.keys
    assert on_faces(person)
    press(window, Key.Key_Right, "q")
    assert set(labels(window.worker.root).values()) == {None}


def test_letters_before_a_page_has_come_name_nothing_unseen(unnamed: Person) -> None:
    """They stay in the field, and are no commands on the page that comes."""
    view, window = ready(unnamed), unnamed.window
    first = view.page
    assert first is not None
    while view.view.unmarked(range(len(first.tiles))):
        press(window, *"mio", Key.Key_Return)
    sorted_by_then = unnamed.sorted
    view.header.name.setFocus()
    QTest.keyClick(window.windowHandle(), "r")
    view.file_page()  # as its button does
    for letter in "ol":  # r is nothing, o and l are commands
        QTest.keyClick(window.windowHandle(), letter)
    until(lambda: view.page is not None and view.page is not first)
    for letter in "lo":
        QTest.keyClick(window.windowHandle(), letter)
    settle(window)
    assert view.header.name.text() == "rollo"
    assert unnamed.sorted == sorted_by_then
    ready(unnamed)
    press(window, Key.Key_Return)
    assert "typed before" in said(window).lower()
    assert unnamed.sorted == sorted_by_then
    press(window, Key.Key_Return)
    assert "rollo" in unnamed.keys


def test_the_face_under_a_mouse_at_rest_is_pointed_at(opened: Opened, few: FaceSet) -> None:
    hint(few, 0.97)
    person = Person(opened(few.root, "pages"), few)
    view = ready(person)
    move(person.window, place_of(person, 2))
    press(person.window, Key.Key_Return)
    ready(person)
    assert view.view.point >= 0
    other = next(name for name in person.keys if view.page and name != view.page.label)
    press(person.window, person.keys[other])
    assert view.model.state(view.view.point).target == other


@pytest.mark.parametrize("name", VIEW_NAMES)
def test_every_key_acts_or_says_why(opened: Opened, few: FaceSet, name: str) -> None:
    hint(few, 0.97)
    window = opened(few.root, name, (1000, 640))
    result: list[str] = []
    window.worker.message.connect(lambda text, bad: result.append(text))
    for key in (*PRINTABLE, *FUNCTION, Key.Key_Backspace, *KEYS):
        window.sheet.hide()
        window.show_view(name)
        window.view.focus_home()
        settle(window)
        before, steps = seen(window), window.worker.progress.saved if window.worker.progress else 0
        result.clear()
        press(window, key)
        after = window.worker.progress.saved if window.worker.progress else 0
        assert result or window.sheet.isVisible() or seen(window) != before or after != steps, key
    assert not any("bug in Gleanset" in text for text in result)


def seen(window: LabelerWindow) -> bytes:
    """What is on the screen, without the status bar."""
    picture = window.grab(window.centralWidget().geometry()).toImage()
    return bytes(picture.constBits())


ROOT = Path(__file__).parents[3]


def test_the_docs_name_the_same_keys() -> None:
    page = (ROOT / "docs" / "labeling.md").read_text(encoding="utf-8")
    part = page.split("## All keys")[1].split("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    wanted = [line for name, keys in shortcut_sections() for line in ([name, ""], *map(list, keys))]
    assert [row if len(row) == 2 else [row[0].strip(" |"), ""] for row in rows] == wanted
