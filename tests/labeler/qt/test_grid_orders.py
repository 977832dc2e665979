"""Orders, filters and counts of the grid under real keys."""

from __future__ import annotations

import re

import pytest
from drawn_faces import FaceSet, propose
from person import CONTROL, OpenWindow, Person, settle, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox
from sorting_model import ids_of

from gleanset import Dataset
from gleanset.db.proposals import Proposals
from labeler.qt.views.grid import GridView
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture
def person(open_window: OpenWindow, faces: FaceSet) -> Person:
    propose(faces, 0.9)
    return Person(open_window(faces.root), faces)


def grid_view(person: Person) -> GridView:
    view = person.window.view
    assert isinstance(view, GridView)
    return view


def shown_keys(person: Person) -> list[str]:
    model = grid_view(person).model
    wait_until(lambda: all(model.tile(row) for row in range(model.rowCount())))
    return [model.tile(row).key for row in range(model.rowCount())]


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
    view, panel = grid_view(person), person.window.class_panel.model
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


def undo(person: Person) -> None:
    QTest.keyClick(grid_view(person).view, Key.Key_Z, CONTROL)
    settle(person.window)


def test_undone_faces_reappear(person: Person) -> None:
    before = shown_keys(person)
    assert check_counts(person) == 60
    for row in (2, 3, 40):
        person.send(row, "rei")
    assert check_counts(person) == 57
    person.enter()  # reloads: labelled faces leave
    assert check_counts(person) == grid_view(person).model.rowCount() == 57
    person.send(5, "hana")  # stays in place until reloaded
    assert check_counts(person) == 56
    undo(person)
    assert check_counts(person) == 57
    for remaining in (58, 59, 60):
        undo(person)
        assert check_counts(person) == remaining
    assert shown_keys(person) == before
    assert grid_view(person).model.states == {}


def test_faces_of_other_process_are_announced(person: Person) -> None:
    person.send(0, "rei")
    person.enter()
    first = shown_keys(person)
    with Dataset.open(person.window.worker.root) as dataset:
        session = SortingSession(dataset)
        session.decide(ids_of(session, list(person.truth)[:1]), ":queue")
    wait_until(lambda: "1 new:" in grid_view(person).title.text())
    assert check_counts(person) == 60
    assert shown_keys(person) == first
    person.enter()
    assert check_counts(person) == grid_view(person).model.rowCount() == 60
    assert "new:" not in grid_view(person).title.text()


def test_prediction_order_has_section_per_class(person: Person) -> None:
    view = grid_view(person)
    choose(view.order, "proposal")
    settle(person.window)
    titles = [section.title for section in view.model.sections]
    assert [title.split("?")[0] for title in titles] == sorted(person.keys)
    with Dataset.open(person.window.worker.root) as dataset:
        predicted = {row.sample: row.proposals[0].label for row in Proposals(dataset.db).iterate()}
    shown, first = shown_keys(person), 0
    for section in view.model.sections:
        part = shown[first : first + section.count]
        assert {predicted[key] for key in part} == {section.title.split("?")[0]}
        first += section.count
    person.send(3, "rei")
    person.enter()
    undo(person)
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
    assert shown_keys(person) == [list(person.truth)[7]]
    person.send(0, "rei")
    settle(person.window)
    assert view.title.text() == "Not sorted yet · 0 of 59 faces"
    person.enter()
    assert view.empty.title.text() == "No faces match the filters"
    assert view.empty.isVisible()
    undo(person)
    assert view.title.text() == "Not sorted yet · 1 of 60 faces"
    assert view.model.rowCount() == 1
    QTest.mouseClick(
        view.filter_button, Qt.MouseButton.LeftButton
    )  # hides the filters and clears them
    wait_until(lambda: view.model.rowCount() == 60)
    assert check_counts(person) == 60
