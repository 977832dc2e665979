"""Orders, filters and counts of the grid under real keys."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from drawn_faces import FaceSet, propose
from person import CONTROL, Opened, Person, settle, until
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
def person(opened: Opened, few: FaceSet) -> Person:
    propose(few, 0.9)
    return Person(opened(few.root), few)


def grid(person: Person) -> GridView:
    view = person.window.view
    assert isinstance(view, GridView)
    return view


def keys_shown(person: Person) -> list[str]:
    model = grid(person).model
    until(lambda: all(model.tile(row) for row in range(model.rowCount())))
    return [model.tile(row).key for row in range(model.rowCount())]


def choose(box: QComboBox, data: object) -> None:
    """Choose an entry by keys alone."""
    box.setFocus()
    wanted = box.findData(data)
    assert wanted >= 0
    QTest.keyClick(box, Key.Key_Home)
    for _ in range(wanted):
        QTest.keyClick(box, Key.Key_Down)
    assert box.currentData() == data


def agree(person: Person) -> int:
    """Title, rail, status bar and catalogue say the same; the count of the place that is shown."""
    settle(person.window)
    view, rail = grid(person), person.window.class_panel.model
    message = re.search(r"· ([\d,]+)", view.title.text())
    shown = int(message[1].replace(",", "")) if message else 0
    rows = [rail.row(number) for number in range(rail.rowCount())]
    counts = {row.target: row.count for row in rows if row}
    if view.place in counts:
        assert shown == counts[view.place], view.title.text()
    with Dataset.open(person.window.worker.root) as dataset:
        there = SortingSession(dataset).tiles.get_counts()
    assert counts[":queue"] == there.pending
    assert {row.name: row.count for row in there.classes}.items() <= counts.items()
    done = there.total - there.pending - there.later
    assert person.window.status.sorted.text() == f"{done} of {there.total} sorted"
    return shown


def undo(person: Person) -> None:
    QTest.keyClick(grid(person).view, Key.Key_Z, CONTROL)
    settle(person.window)


def test_undone_faces_come_back_at_once(person: Person) -> None:
    before = keys_shown(person)
    assert agree(person) == 60
    for row in (2, 3, 40):
        person.send(row, "rei")
    assert agree(person) == 57
    person.enter()  # the place is read anew: they are gone
    assert agree(person) == grid(person).model.rowCount() == 57
    person.send(5, "hana")  # stands where it was
    assert agree(person) == 56
    undo(person)
    assert agree(person) == 57
    for left in (58, 59, 60):
        undo(person)
        assert agree(person) == left
    assert keys_shown(person) == before
    assert grid(person).model.states == {}


def test_another_program_moves_nothing_and_is_told_of(person: Person) -> None:
    person.send(0, "rei")
    person.enter()
    first = keys_shown(person)
    with Dataset.open(person.window.worker.root) as dataset:
        other = SortingSession(dataset)
        other.to(ids_of(other, list(person.truth)[:1]), ":queue")
    until(lambda: "1 new:" in grid(person).title.text())
    assert agree(person) == 60
    assert keys_shown(person) == first
    person.enter()
    assert agree(person) == grid(person).model.rowCount() == 60
    assert "new:" not in grid(person).title.text()


def test_order_by_proposal_has_a_section_for_each(person: Person) -> None:
    view = grid(person)
    choose(view.order, "proposal")
    settle(person.window)
    titles = [section.title for section in view.model.sections]
    assert [title.split("?")[0] for title in titles] == sorted(person.keys)
    with Dataset.open(person.window.worker.root) as dataset:
        message = {
            key: standing.proposals[0].label
            for key, standing in Proposals(dataset.db).get_many(list(person.truth)).items()
        }
    shown, first = keys_shown(person), 0
    for section in view.model.sections:
        part = shown[first : first + section.count]
        assert {message[key] for key in part} == {section.title.split("?")[0]}
        first += section.count
    QTest.mouseClick(view.reverse, Qt.MouseButton.LeftButton)
    settle(person.window)
    assert view.model.rowCount() == 60
    person.send(3, "rei")
    person.enter()
    undo(person)
    assert agree(person) == view.model.rowCount() == 60
    assert len(view.model.sections) == len(titles)


def test_filters_by_keys_alone(person: Person) -> None:
    view = grid(person)
    assert not view.bar.isVisible()
    QTest.keyClick(view.view, Key.Key_F, CONTROL)
    assert view.bar.isVisible()
    QTest.keyClicks(person.window.focusWidget(), "0007")
    until(lambda: view.model.rowCount() == 1)
    assert view.title.text() == "Not sorted yet · 1 of 60 faces"
    assert keys_shown(person) == [list(person.truth)[7]]
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
    )  # put away: nothing is asked for
    until(lambda: view.model.rowCount() == 60)
    assert agree(person) == 60


def test_look_alikes_are_side_by_side(opened: Opened, few: FaceSet) -> None:
    """By descriptors alone: neighbours are of one class more often."""
    person, truth = Person(opened(few.root), few), few.truth
    before = [truth[key] for key in keys_shown(person)]
    choose(grid(person).order, "likeness")
    until(grid(person).is_settled)
    settle(person.window)
    after = [truth[key] for key in keys_shown(person)]
    assert sorted(after) == sorted(before)
    assert alike(after) >= 1.3 * alike(before)


def alike(names: list[str]) -> int:
    return sum(one == other for one, other in pairwise(names))
