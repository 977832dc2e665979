"""The review view: lists, filters and keys."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import Opened, Person, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from sorting_model import by_id

from gleanset import Dataset
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.runs import LabelIssue, LabelIssues
from labeler.qt.views.review import ReviewView
from labeler.sorting.session import SortingSession

Key = Qt.Key
WRONG = 5


@pytest.fixture
def reviewed(few: FaceSet) -> FaceSet:
    """All labelled, five of them wrongly, which a prelabeling and a search for doubts know."""
    names = few.names
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        given = dict(few.truth)
        for key in list(given)[:WRONG]:
            given[key] = names[(names.index(given[key]) + 1) % len(names)]
        session.file_each(by_id(session, given), "all with a page")
        Proposals(dataset.db).replace(
            [
                PrelabelledSample(
                    key, place, (Proposal(who, 0.9 - place / 1000),), outlier=place / 100
                )
                for place, (key, who) in enumerate(few.truth.items())
            ],
            {},
        )
        LabelIssues(dataset.db).replace(
            [LabelIssue(key, given[key], few.truth[key], 0.9, 0.5, "t") for key in list(given)[:2]]
        )
    return few


def shown(person: Person, wall: str) -> ReviewView:
    view = person.window.view
    assert isinstance(view, ReviewView)
    settle(person.window)
    view.bar.wall.setCurrentIndex(view.bar.wall.findData(wall))
    view.reload()
    settle(person.window)
    return view


def keys_of(view: ReviewView) -> list[str]:
    until(lambda: all(view.model.tile(row) for row in range(view.model.rowCount())))
    return [view.model.tile(row).key for row in range(view.model.rowCount())]


def test_outliers_come_first_in_each_class(opened: Opened, reviewed: FaceSet) -> None:
    person = Person(opened(reviewed.root, "review"), reviewed)
    view = shown(person, "outliers")
    assert view.model.rowCount() == 60
    assert [section.title.split("  ")[0] for section in view.model.sections] == reviewed.names
    order, given = list(reviewed.truth), labels(reviewed.root)
    result, first = keys_of(view), 0
    for section in view.model.sections:
        part = result[first : first + section.count]
        assert len({given[key] for key in part}) == 1
        assert part == sorted(part, key=order.index, reverse=True)
        first += section.count


def test_enter_takes_the_suggestion_and_k_keeps_the_label(
    opened: Opened, reviewed: FaceSet
) -> None:
    person = Person(opened(reviewed.root, "review"), reviewed)
    view = shown(person, "model")
    result = keys_of(view)
    assert set(result) == set(list(reviewed.truth)[:WRONG])
    assert view.view.caption(0).startswith(f"→ {reviewed.truth[result[0]]} 9")
    person.point(0)
    person.enter()
    person.point(1)
    person.press("k", "keep")
    settle(person.window)
    now = labels(reviewed.root)
    assert now[result[0]] == reviewed.truth[result[0]]
    assert now[result[1]] != reviewed.truth[result[1]]
    assert view.model.rowCount() == WRONG  # nothing moves before the next look
    view.reload()
    settle(person.window)
    assert set(keys_of(view)) == set(result[2:])
    person.window.undo()
    person.undo()
    view.reload()
    settle(person.window)
    assert labels(reviewed.root)[result[0]] != reviewed.truth[result[0]]
    assert result[0] in keys_of(view)


def test_filters_narrow_the_wall(opened: Opened, reviewed: FaceSet) -> None:
    person = Person(opened(reviewed.root, "review"), reviewed)
    view = shown(person, "all")
    assert view.model.rowCount() == 60
    QTest.keyClicks(view.bar.text, "0007")
    until(lambda: view.model.rowCount() == 1)
    assert keys_of(view) == [list(reviewed.truth)[7]]
    view.bar.text.setText("no such title %_")
    until(lambda: view.model.rowCount() == 0)
    assert "No faces match" in view.empty.title.text()
    view.bar.text.clear()
    person.window.class_panel.selected.emit(reviewed.names[0])
    given = labels(reviewed.root)
    wanted = {key for key, label in given.items() if label == reviewed.names[0]}
    until(lambda: view.model.rowCount() == len(wanted))
    assert set(keys_of(view)) == wanted
