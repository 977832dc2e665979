"""The grid under real key, mouse and drop events."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from person import CONTROL, NONE, SHIFT, Opened, Person, hover, messages, settle, until
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from sorting_model import ids_of

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Key, Button = Qt.Key, Qt.MouseButton


def steps(person: Person) -> list[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return [step.name for step in SampleTiles(dataset.db).list_steps()][
            4:
        ]  # four were for the classes


def test_a_key_with_nothing_pointed_at_says_so(person: Person) -> None:
    message = messages(person.window)
    person.press(person.keys["rei"], "key")
    person.press("7", "key")
    settle(person.window)
    assert "Point at a face first" in message[0]
    person.point(3)
    person.press("7", "key")
    assert "No class has the key 7" in message[-1]
    assert steps(person) == []


def test_a_click_that_costs_a_selection_is_taken_back(person: Person) -> None:
    view = person.view.view
    QTest.keyClick(view, Key.Key_A, CONTROL)
    assert len(view.selected_rows()) == 60
    person.click(7)
    assert view.selected_rows() == [7]
    person.window.undo()
    assert len(view.selected_rows()) == 60
    assert steps(person) == []


def test_ranges_and_inversion(person: Person) -> None:
    view = person.view.view
    person.click(4)
    person.click(9, modifiers=SHIFT)
    assert view.selected_rows() == [4, 5, 6, 7, 8, 9]
    person.click(6, modifiers=CONTROL)
    person.click(20, modifiers=CONTROL)
    assert view.selected_rows() == [4, 5, 7, 8, 9, 20]
    QTest.keyClick(view, Key.Key_I, CONTROL)
    assert len(view.selected_rows()) == 54
    QTest.keyClick(view, Key.Key_Escape)
    assert view.selected_rows() == []


def test_a_rubber_band_takes_what_it_touches(person: Person) -> None:
    view, port = person.view.view, person.view.view.viewport()
    first, last = person.place(0), person.place(10)
    QTest.mousePress(port, Button.LeftButton, SHIFT, first)
    hover(port, first + QPoint(30, 30), Button.LeftButton)
    # The press was with Shift: a plain press on a tile would be a drag.
    view.mouse._draw_band(last)
    columns = view._grid.placed[0].columns
    QTest.mouseRelease(port, Button.LeftButton, SHIFT, last)
    line, column = divmod(10, columns)
    assert view.selected_rows() == sorted(
        r * columns + c for r in range(line + 1) for c in range(column + 1)
    )


def test_hold_and_sweep_is_one_step(person: Person) -> None:
    view = person.view.view
    person.point(0)
    QTest.keyPress(view, person.keys["rei"])
    for row in (1, 2, 3, 2, 1):
        person.point(row)
    assert steps(person) == []
    QTest.keyRelease(view, person.keys["rei"])
    settle(person.window)
    assert steps(person) == ["Label 4 faces as rei"]
    with Dataset.open(person.window.worker.root) as dataset:
        assert {d.provenance for d in dataset.journal.iterate()} == {"by sweep"}


def test_on_x11_a_repeat_that_comes_late_ends_no_sweep(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qt shows it as a release and a press of one instant that are no repeats."""
    monkeypatch.setattr(QGuiApplication, "platformName", lambda: "xcb")
    view, key = person.view.view, person.keys["rei"]

    def happens(kind: QEvent.Type, instant: int) -> None:
        event = QKeyEvent(kind, ord(key.upper()), NONE, key)
        event.setTimestamp(instant)
        QApplication.sendEvent(view, event)

    person.point(0)
    happens(QEvent.Type.KeyPress, 1000)
    for row, instant in ((1, 1100), (2, 1140)):
        happens(QEvent.Type.KeyRelease, instant)
        happens(QEvent.Type.KeyPress, instant)
        person.point(row)
    assert view.held_key == key
    assert steps(person) == []
    happens(QEvent.Type.KeyRelease, 1200)
    until(lambda: not view.held_key)
    settle(person.window)
    assert steps(person) == ["Label 3 faces as rei"]


def test_undo_and_redo_show_on_the_tiles(person: Person) -> None:
    person.send(0, "rei")
    person.send(1, "hana")
    settle(person.window)
    bar = person.window.status.undo
    assert bar.text() == "Undo: Label 1 face as hana"
    QTest.mouseClick(bar, Button.LeftButton)
    settle(person.window)
    assert person.view.model.state(1).mark == "in"
    assert bar.text() == "Undo: Label 1 face as rei"
    person.window.worker.redo()
    settle(person.window)
    assert person.view.model.state(1).mark == "sent"


def rects(person: Person) -> list[tuple[int, ...]]:
    view = person.view.view
    return [view.visualRect(view.tiles.index(n)).getRect() for n in range(60)]


def test_nothing_moves_while_others_write(person: Person) -> None:
    view, before = person.view.view, rects(person)
    view.verticalScrollBar().setValue(40)
    moved = rects(person)
    keys = list(person.truth)
    with Dataset.open(person.window.worker.root) as dataset:
        other = SortingSession(dataset)
        for key in keys[:20]:
            other.file(ids_of(other, [key]), "yuki")
            QApplication.processEvents()
    until(lambda: person.window.worker.progress.counts.labelled == 20)
    settle(person.window)
    assert rects(person) == moved
    view.verticalScrollBar().setValue(0)
    assert rects(person) == before
    # Somebody else's step is not ours to undo.
    assert person.window.worker.progress.undo.name.startswith("Create class")


def test_two_windows_lose_nothing(opened: Opened, few: FaceSet) -> None:
    one, two = Person(opened(few.root), few), Person(opened(few.root), few)
    settle(one.window)
    settle(two.window)
    for row in range(30):
        one.send(row, one.who(row))
        two.send(59 - row, two.who(59 - row))
    settle(one.window)
    settle(two.window)
    assert labels(few.root) == few.truth
    for _ in range(30):
        one.window.worker.undo()
    settle(one.window)
    left = [name for name in labels(few.root).values() if name]
    assert len(left) == 30
    until(lambda: two.window.worker.progress.counts.labelled == 30)


def fill(ballast: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def test_a_full_disk_keeps_the_decision_until_there_is_room(
    opened: Opened, few: FaceSet, small_disk: Callable[[str], Path]
) -> None:
    folder = small_disk("size=12m") / "few"
    shutil.copytree(few.root, folder)
    person = Person(opened(folder), few)
    waiting: list[str] = []
    person.window.worker.save_delayed.connect(waiting.append)
    ballast = folder.parent / "ballast"
    fill(ballast)
    for row in range(40):
        person.send(row, "rei")
    until(lambda: any("no space" in text for text in waiting))
    assert "not saved yet" in person.window.status.saved.text()
    ballast.unlink()
    until(lambda: not person.window.worker.busy)
    person.window.close()
    assert list(labels(folder).values()).count("rei") == 40


def test_the_window_remembers_its_place(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root, size=(780, 700))
    window.split.setSizes([190, 400, 190])
    sizes = window.split.sizes()
    window.close()
    again = LabelerWindow(few.root)
    again.show()
    QApplication.processEvents()
    assert (again.width(), again.height()) == (780, 700)
    assert again.split.sizes() == sizes
    again.close()


def test_only_the_place_that_was_asked_for_last_is_shown(person: Person) -> None:
    view, shown = person.window.view, []
    person.view.model.sections_changed.connect(lambda: shown.append(person.view.model.rowCount()))
    for place in ("rei", ":later", ":queue"):
        view.open_place(place)
    settle(person.window)
    assert shown == [60]


def test_a_tile_whose_decision_was_refused_is_not_shown_as_sent(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise UsageError("there is no such sample", "look again")

    monkeypatch.setattr(SortingSession, "to", refuse)
    person.send(0, "rei")
    assert person.view.model.state(0).mark == "sent"
    settle(person.window)
    assert person.view.model.state(0).mark == "in"
    assert "there is no such sample" in person.window.statusBar().currentMessage()
