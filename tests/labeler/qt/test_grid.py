"""The grid under real key, mouse and drop events."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from person import (
    CONTROL,
    NONE,
    SHIFT,
    OpenWindow,
    Person,
    collect_messages,
    hover,
    settle,
    wait_until,
)
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


def own_steps(person: Person) -> list[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return [step.name for step in SampleTiles(dataset.db).list_steps()][
            4:
        ]  # without the creation of four classes


def test_selection_by_clicks_ranges_and_band(person: Person) -> None:
    view, port = person.view.view, person.view.view.viewport()
    QTest.keyClick(view, Key.Key_A, CONTROL)
    assert len(view.selected_rows()) == 60
    person.click(4)
    assert view.selected_rows() == [4]
    person.window.undo()
    assert len(view.selected_rows()) == 60
    assert own_steps(person) == []
    person.click(4)
    person.click(9, modifiers=SHIFT)
    assert view.selected_rows() == [4, 5, 6, 7, 8, 9]
    person.click(6, modifiers=CONTROL)
    person.click(20, modifiers=CONTROL)
    assert view.selected_rows() == [4, 5, 7, 8, 9, 20]
    QTest.keyClick(view, Key.Key_Escape)
    assert view.selected_rows() == []
    first, last = person.tile_center(0), person.tile_center(10)
    QTest.mousePress(port, Button.LeftButton, SHIFT, first)
    hover(port, first + QPoint(30, 30), Button.LeftButton)
    # Pressed with Shift, because a plain press on a tile begins a drag.
    view.mouse._draw_band(last)
    columns = view._grid.placed[0].columns
    QTest.mouseRelease(port, Button.LeftButton, SHIFT, last)
    line, column = divmod(10, columns)
    assert view.selected_rows() == sorted(
        r * columns + c for r in range(line + 1) for c in range(column + 1)
    )


def test_sweep_with_late_x11_repeats_is_one_step(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qt reports it as a release and a press at the same time, not as a repeat."""
    monkeypatch.setattr(QGuiApplication, "platformName", lambda: "xcb")
    view, key = person.view.view, person.keys["rei"]

    def send_key(kind: QEvent.Type, instant: int) -> None:
        event = QKeyEvent(kind, ord(key.upper()), NONE, key)
        event.setTimestamp(instant)
        QApplication.sendEvent(view, event)

    person.point(0)
    send_key(QEvent.Type.KeyPress, 1000)
    for row, instant in ((1, 1100), (2, 1140)):
        send_key(QEvent.Type.KeyRelease, instant)
        send_key(QEvent.Type.KeyPress, instant)
        person.point(row)
    assert view.held_key == key
    assert own_steps(person) == []
    send_key(QEvent.Type.KeyRelease, 1200)
    wait_until(lambda: not view.held_key)
    settle(person.window)
    assert own_steps(person) == ["Label 3 faces as rei"]
    with Dataset.open(person.window.worker.root) as dataset:
        assert {d.provenance for d in dataset.journal.iterate()} == {"by sweep"}


def test_keys_undo_and_redo_update_tiles_or_say_why_not(person: Person) -> None:
    messages = collect_messages(person.window)
    person.press(person.keys["rei"])
    assert "Point at a face first" in messages[-1]
    person.point(3)
    person.press("7")
    assert "No class has the key 7" in messages[-1]
    assert own_steps(person) == []
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


def tile_rects(person: Person) -> list[tuple[int, ...]]:
    view = person.view.view
    return [view.visualRect(view.tiles.index(n)).getRect() for n in range(60)]


def test_tiles_stay_while_others_write(person: Person) -> None:
    view, before = person.view.view, tile_rects(person)
    view.verticalScrollBar().setValue(40)
    moved = tile_rects(person)
    keys = list(person.truth)
    with Dataset.open(person.window.worker.root) as dataset:
        other = SortingSession(dataset)
        for key in keys[:20]:
            other.label(ids_of(other, [key]), "yuki")
            QApplication.processEvents()
    wait_until(lambda: person.window.worker.progress.counts.labelled == 20)
    settle(person.window)
    assert tile_rects(person) == moved
    view.verticalScrollBar().setValue(0)
    assert tile_rects(person) == before
    # Undo does not offer the other process's step.
    assert person.window.worker.progress.undo.name.startswith("Create class")


def test_two_windows_lose_no_decision(open_window: OpenWindow, faces: FaceSet) -> None:
    first, second = Person(open_window(faces.root), faces), Person(open_window(faces.root), faces)
    settle(first.window)
    settle(second.window)
    for row in range(30):
        first.send(row, first.true_class(row))
        second.send(59 - row, second.true_class(59 - row))
    settle(first.window)
    settle(second.window)
    assert labels(faces.root) == faces.truth
    for _ in range(30):
        first.window.worker.undo()
    settle(first.window)
    remaining = [name for name in labels(faces.root).values() if name]
    assert len(remaining) == 30
    wait_until(lambda: second.window.worker.progress.counts.labelled == 30)


def fill_disk(ballast: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def test_full_disk_delays_saving(
    open_window: OpenWindow, faces: FaceSet, small_disk: Callable[[str], Path]
) -> None:
    folder = small_disk("size=12m") / "faces"
    shutil.copytree(faces.root, folder)
    person = Person(open_window(folder), faces)
    waiting: list[str] = []
    person.window.worker.save_delayed.connect(waiting.append)
    ballast = folder.parent / "ballast"
    fill_disk(ballast)
    for row in range(40):
        person.send(row, "rei")
    wait_until(lambda: any("no space" in text for text in waiting))
    assert "not saved yet" in person.window.status.saved.text()
    ballast.unlink()
    wait_until(lambda: not person.window.worker.busy)
    person.window.close()
    assert list(labels(folder).values()).count("rei") == 40


def test_window_geometry_is_restored(open_window: OpenWindow, faces: FaceSet) -> None:
    window = open_window(faces.root, size=(780, 700))
    window.split.setSizes([190, 400, 190])
    sizes = window.split.sizes()
    window.close()
    again = LabelerWindow(faces.root)
    again.show()
    QApplication.processEvents()
    assert (again.width(), again.height()) == (780, 700)
    assert again.split.sizes() == sizes
    again.close()


def test_refused_decision_resets_tile(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise UsageError("there is no such sample", "look again")

    monkeypatch.setattr(SortingSession, "decide", refuse)
    person.send(0, "rei")
    assert person.view.model.state(0).mark == "sent"
    settle(person.window)
    assert person.view.model.state(0).mark == "in"
    assert "there is no such sample" in person.window.statusBar().currentMessage()
