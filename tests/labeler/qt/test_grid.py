"""The grid under real key, mouse and drop events; its orders, filters and counts."""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels, propose, step_texts
from person import (
    CONTROL,
    NONE,
    SHIFT,
    OpenWindow,
    Person,
    collect_messages,
    hover,
    press,
    settle,
    shown_keys,
    wait_until,
)
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox
from sorting_model import ids_of

from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.errors import UsageError
from labeler.qt import keyboard, session_worker
from labeler.qt.grid.model import UNMARKED
from labeler.qt.views.grid import GridView
from labeler.qt.window import LabelerWindow
from labeler.sorting.grid_query import ALL_PLACES
from labeler.sorting.session import Place, SortingSession, StepKind

Key, Button = Qt.Key, Qt.MouseButton


def own_steps(person: Person) -> list[str]:
    return step_texts(person.window.worker.root)[
        4:
    ]  # without the creation of four classes


def test_selection_by_clicks_ranges_and_band(person: Person) -> None:
    view = person.view.view
    port = person.view.view.viewport()
    QTest.keyClick(view, Key.Key_A, CONTROL)
    assert len(view.selected_rows()) == 60
    person.click(4)
    assert view.selected_rows() == [4]
    person.click(9, modifiers=SHIFT)
    assert view.selected_rows() == [4, 5, 6, 7, 8, 9]
    person.click(6, modifiers=CONTROL)
    person.click(20, modifiers=CONTROL)
    assert view.selected_rows() == [4, 5, 7, 8, 9, 20]
    QTest.keyClick(view, Key.Key_Escape)
    assert view.selected_rows() == []
    first = person.tile_center(0)
    last = person.tile_center(10)
    QTest.mousePress(port, Button.LeftButton, SHIFT, first)
    # With Shift, because a plain press on a tile begins a drag.
    for point in (first + QPoint(30, 30), last):
        hover(port, point, Button.LeftButton, SHIFT)
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
    view = person.view.view
    key = person.keys["rei"]

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
    assert (view.held_key, own_steps(person)) == (key, [])
    send_key(QEvent.Type.KeyRelease, 1200)
    person.point(3)  # before the window knows that the key was not held on
    wait_until(lambda: not view.held_key)
    settle(person.window)
    assert own_steps(person) == ["Label 3 samples as rei"]
    with Dataset.open(person.window.worker.root) as dataset:
        assert {d.provenance for d in dataset.journal.iterate()} == {"by sweep"}
    person.point(0)
    send_key(QEvent.Type.KeyPress, 2000)
    send_key(QEvent.Type.KeyRelease, 2100)
    wait_until(lambda: "nothing changed" in person.status)
    person.window._open_place("rei")  # where no tile has a mark
    settle(person.window)
    for typed in (("/", *"REI", Key.Key_Return), (key,)):
        person.point(0)
        person.window.worker.show_message("")
        press(person.window, *typed)
        wait_until(lambda: person.status == "Already there: nothing changed")
        assert person.view.model.state(0).mark == "in"
    assert own_steps(person) == ["Label 3 samples as rei"]


@pytest.mark.parametrize(
    ("name", "gap", "counts"),
    [("LOQI", 100, (1, 0)), ("UMIKO", 1300, (0, 0)), ("OKA", 600, (0, 1))],
)
def test_name_typed_where_letters_are_commands(
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    gap: int,
    counts: tuple[int, int],
) -> None:
    monkeypatch.setattr(keyboard, "LETTER_GAP_MS", 250)
    codes = {"\r": Key.Key_Return, "\x1a": Key.Key_Z}
    time = 1000
    accepted = list[bool]()
    messages = collect_messages(person.window)
    pauses = [*[gap] * len(name), 2000, *[100] * 5]
    person.point(0)
    for key, pause in zip(f"{name}\r\rLOQ\x1a", pauses, strict=True):
        time += pause
        for kind in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            modifiers = CONTROL if key == "\x1a" else NONE
            code = codes.get(key) or Key(ord(key))
            event = QKeyEvent(kind, code, modifiers, key.lower())
            event.setTimestamp(time)
            QApplication.sendEvent(person.view.view, event)
        settle(person.window)
        if key == "\r":
            accepted.append("Refreshed" in messages)
            now = person.window.worker.progress.counts
            assert (now.later, now.other) == counts, "by the first letter alone"
    assert accepted == [False, True]
    assert "Taken for a name and ignored · /: type a name" in messages
    assert person.status.startswith("Undone")


def test_keys_undo_and_redo_update_tiles_or_say_why_not(person: Person) -> None:
    messages = collect_messages(person.window)
    person.press(person.keys["rei"])
    assert "Point at a face first" in messages[-1]
    person.point(3)
    person.press("7")
    assert "No class has the key 7" in messages[-1]
    for first, second, name in ((",", "1", ",1"), (",", Key.Key_Delete, ",DEL")):
        person.press(first)
        person.press(second)
        assert messages[-1] == f"No class has the key {name}"
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
    person.redo()
    assert person.view.model.state(1) == ("sent", person.keys["hana"], "hana")
    person.point(2)
    person.press(".")  # no class has a key that begins with it
    settle(person.window)
    other = ("sent", "O", "other")
    reject = ("sent", "Del", "not a face")
    assert person.view.model.state(2) == other
    person.point(2)
    person.press(Key.Key_Delete)
    for change, expected in (
        (person.undo, other),
        (person.redo, reject),
        (person.undo, other),
    ):
        change()
        assert person.view.model.state(2) == expected


def test_tiles_show_stored_class_after_class_was_changed(person: Person) -> None:
    hana, rei = (("sent", person.keys[name], name) for name in ("hana", "rei"))
    view = person.view
    decide = person.window.worker.decide
    waiting = ("sent", "Q", "queue")
    person.window.class_panel.selected.emit(ALL_PLACES)
    settle(person.window)
    for row, name in enumerate(("hana", "rei")):
        person.send(row, name)
    for change, expected in (
        (lambda: decide(lambda session: session.rename_class("hana", "rei")), rei),
        (person.undo, hana),
        (lambda: decide(lambda session: session.delete_class("hana")), waiting),
        (person.undo, hana),
        (person.redo, waiting),
    ):
        change()
        settle(person.window)
        assert [view.model.state(row) for row in (0, 1)] == [expected, rei]
    person.undo()
    decide(lambda session: session.rename_class("hana", "rei"))
    person.window.class_panel.selected.emit("rei")
    settle(person.window)
    person.undo()
    assert [view.model.state(row) for row in (0, 1)] == [("done", *hana[1:]), UNMARKED]


def tile_rects(person: Person) -> list[tuple[int, ...]]:
    view = person.view.view
    return [view.visualRect(view.tiles.index(n)).getRect() for n in range(60)]


def test_tiles_stay_while_others_write(person: Person) -> None:
    view = person.view.view
    before = tile_rects(person)
    view.verticalScrollBar().setValue(40)
    moved = tile_rects(person)
    keys = list(person.truth)
    with Dataset.open(person.window.worker.root) as dataset:
        other = SortingSession(dataset)
        for key in keys[:20]:
            other.decide(ids_of(other, [key]), "yuki")
            QApplication.processEvents()
    wait_until(lambda: person.window.worker.progress.counts.total_labelled == 20)
    settle(person.window)
    assert tile_rects(person) == moved
    view.verticalScrollBar().setValue(0)
    assert tile_rects(person) == before
    # Undo does not offer the other process's step.
    assert person.window.worker.progress.undo.operation.text().startswith(
        "Create class"
    )


def test_two_windows_lose_no_decision(open_window: OpenWindow, faces: FaceSet) -> None:
    first, second = (
        Person(open_window(faces.root), faces),
        Person(open_window(faces.root), faces),
    )
    settle(first.window)
    settle(second.window)
    for row in range(30):
        first.send(row, first.true_class(row))
        second.send(59 - row, second.true_class(59 - row))
    settle(first.window)
    settle(second.window)
    assert labels(faces.root) == faces.truth
    for _ in range(30):
        first.window.worker.take_back(StepKind.UNDO)
    settle(first.window)
    remaining = [name for name in labels(faces.root).values() if name]
    assert len(remaining) == 30
    wait_until(lambda: second.window.worker.progress.counts.total_labelled == 30)


def test_full_disk_delays_saving(
    open_window: OpenWindow, faces: FaceSet, small_disk: Callable[[str], Path]
) -> None:
    folder = small_disk("size=12m") / "faces"
    shutil.copytree(faces.root, folder)
    person = Person(open_window(folder), faces)
    waiting: list[str] = []
    person.window.worker.save_delayed.connect(waiting.append)
    ballast = folder.parent / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    for row in range(40):
        person.send(row, "rei")
    wait_until(lambda: any("no space" in text for text in waiting))
    assert "not saved yet" in person.window.status.saved.text()
    ballast.unlink()
    wait_until(lambda: not person.window.worker.busy)
    person.window.close()
    assert list(labels(folder).values()).count("rei") == 40


def test_reason_of_late_save_is_true(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that waits for the window's own work is not another program's fault."""
    monkeypatch.setattr(session_worker, "SAVE_DELAY_SECONDS", 0.1)
    waiting: list[str] = []
    worker = person.window.worker
    worker.save_delayed.connect(waiting.append)
    worker.ask(lambda session: time.sleep(1.5))
    QTest.qWait(800)
    assert waiting == [], "nothing waits to be saved"
    person.send(0, "rei")
    wait_until(lambda: bool(waiting))
    assert waiting[0] == "the next page is computed first"
    settle(person.window)
    assert person.window.status.saved.text() == "saved"


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


def test_refused_decision_resets_tile(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise UsageError("there is no such sample", "look again")

    monkeypatch.setattr(SortingSession, "decide", refuse)
    person.send(0, "rei")
    assert person.view.model.state(0).mark == "sent"
    settle(person.window)
    assert person.view.model.state(0).mark == "in"
    assert "There is no such sample" in person.status


@pytest.fixture
def person(open_window: OpenWindow, faces: FaceSet) -> Person:
    propose(faces, 0.9)
    return Person(open_window(faces.root), faces)


def grid_view(person: Person) -> GridView:
    return person.window.view


def choose(box: QComboBox, data: object) -> None:
    """Choose an entry with the keyboard."""
    box.setFocus()
    index = box.findData(data)
    assert index >= 0
    QTest.keyClick(box, Key.Key_Home)
    for _ in range(index):
        QTest.keyClick(box, Key.Key_Down)
    assert box.currentData() == data


def check_counts(person: Person) -> int:
    """Check that title, class list, status bar and catalogue agree; return the title's count."""
    settle(person.window)
    view = grid_view(person)
    panel = person.window.class_panel.model
    match = re.search(r"· ([\d,]+)", view.title.text())
    shown = int(match[1].replace(",", "")) if match else 0
    rows = [panel.row(number) for number in range(panel.rowCount())]
    counts = {row.target: row.count for row in rows if row}
    if view.place in counts:
        assert shown == counts[view.place], view.title.text()
    with Dataset.open(person.window.worker.root) as dataset:
        counted = SortingSession(dataset).tiles.get_counts()
    assert counts[":queue"] == counted.pending
    assert {row.name: row.count for row in counted.classes}.items() <= counts.items()
    decided = counted.total - counted.pending - counted.later
    assert person.window.status.sorted.text() == f"{decided} of {counted.total} sorted"
    return shown


def test_undone_faces_reappear(person: Person) -> None:
    before = shown_keys(person.view)
    assert check_counts(person) == 60
    for row in (2, 3, 40):
        person.send(row, "rei")
    assert check_counts(person) == 57
    person.enter()  # reloads: labelled faces leave
    assert check_counts(person) == grid_view(person).model.rowCount() == 57
    person.send(5, "hana")  # stays in place until reloaded
    assert check_counts(person) == 56
    person.undo()
    assert check_counts(person) == 57
    for remaining in (58, 59, 60):
        person.undo()
        assert check_counts(person) == remaining
    assert (shown_keys(person.view), grid_view(person).model.states) == (before, {})


def test_undo_keeps_scroll(open_window: OpenWindow, faces: FaceSet) -> None:
    person = Person(open_window(faces.root, "grid", (620, 330)), faces)
    person.send(2, "rei")
    person.enter()  # the labelled face leaves
    view = person.view.view
    view.verticalScrollBar().setValue(view.verticalScrollBar().maximum() // 2)
    QApplication.processEvents()
    (sample, place), *_ = view.places().items()
    person.undo()
    settle(person.window)
    assert view.tiles.rowCount() == 60
    row = view.tiles.row_of(sample)
    assert view.visualRect(view.tiles.index(row)).top() == place.y()


def test_zoom_shows_no_blank_tiles(person: Person) -> None:
    view = person.view.view
    before = view.appearance(0).thumbnail
    assert isinstance(before, QPixmap)
    view.zoom(1.3)
    rows = view.in_sight()
    assert all(isinstance(view.appearance(row).thumbnail, QPixmap) for row in rows)
    assert view.appearance(0).thumbnail.size() == before.size()  # enlarged meanwhile
    view.seen_samples.clear()
    view.grab()
    assert view.unseen(rows[:1])
    settle(person.window)
    wait_until(lambda: view.appearance(0).thumbnail.width() > before.width())
    wait_until(lambda: not view.unseen(rows[:1]))


def test_undo_selects_no_faces(person: Person) -> None:
    view, details = person.view.view, person.window.details
    person.click(4)
    person.click(6, modifiers=SHIFT)
    person.point(5)
    person.press(Key.Key_Delete)
    settle(person.window)
    assert view.selected_rows() == []
    wait_until(lambda: "Not a face" in details._about.text())
    person.undo()
    wait_until(lambda: "Not a face" not in details._about.text())
    person.point(9)
    person.press(Key.Key_Delete)
    settle(person.window)
    assert [view.tiles.state(row).mark for row in (4, 9)] == ["in", "sent"], (
        "only what is meant"
    )
    person.window.class_panel.selected.emit(Place.REJECT.target)
    settle(person.window)
    person.point(0)
    wait_until(lambda: "Not a face" in details._about.text())


def test_faces_of_other_process_are_announced(person: Person) -> None:
    person.send(0, "rei")
    person.enter()
    first = shown_keys(person.view)
    with Dataset.open(person.window.worker.root) as dataset:
        session = SortingSession(dataset)
        session.decide(ids_of(session, list(person.truth)[:1]), ":queue")
    wait_until(lambda: "1 new:" in grid_view(person).title.text())
    assert (check_counts(person), shown_keys(person.view)) == (60, first)
    person.enter()
    assert check_counts(person) == grid_view(person).model.rowCount() == 60
    assert "new:" not in grid_view(person).title.text()


def test_prediction_order_has_section_per_class(person: Person) -> None:
    view = grid_view(person)
    choose(view.choice, "proposal")
    settle(person.window)
    titles = [section.title for section in view.model.sections]
    assert [title.split("?")[0] for title in titles] == sorted(person.keys)
    with Dataset.open(person.window.worker.root) as dataset:
        predicted = {
            row.sample: row.proposals[0].label
            for row in Proposals(dataset.db).iterate()
        }
    shown = shown_keys(person.view)
    first = 0
    for section in view.model.sections:
        part = shown[first : first + section.count]
        assert {predicted[key] for key in part} == {section.title.split("?")[0]}
        first += section.count
    person.send(3, "rei")
    person.enter()
    person.undo()
    assert check_counts(person) == view.model.rowCount() == 60
    assert len(view.model.sections) == len(titles)


def test_filters_work_by_keyboard(person: Person) -> None:
    view = grid_view(person)
    assert not view.bar.isVisible()
    QTest.keyClick(view.view, Key.Key_F, CONTROL)
    assert view.bar.isVisible()
    QTest.keyClicks(person.window.focusWidget(), "0007")
    wait_until(lambda: view.model.rowCount() == 1)
    assert view.title.text() == "Not sorted yet · 1 of 60 faces"
    assert shown_keys(person.view) == [list(person.truth)[7]]
    person.send(0, "rei")
    settle(person.window)
    assert view.title.text() == "Not sorted yet · 0 of 59 faces"
    person.enter()
    assert view.empty.title.text() == "No faces match the filters"
    assert view.empty.isVisible()
    person.undo()
    assert view.title.text() == "Not sorted yet · 1 of 60 faces"
    assert view.model.rowCount() == 1
    # Hides the filters and clears them.
    QTest.mouseClick(view.filter_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: view.model.rowCount() == 60)
    assert check_counts(person) == 60
