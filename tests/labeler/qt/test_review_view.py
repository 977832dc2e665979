"""The review view: lists, filters and keys."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, labels
from person import OpenWindow, Person, settle, wait_until
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
def labelled_faces(faces: FaceSet) -> FaceSet:
    """Label all faces, five of them wrongly, with predictions and label issues that show it."""
    names = faces.names
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        given_labels = dict(faces.truth)
        for key in list(given_labels)[:WRONG]:
            given_labels[key] = names[(names.index(given_labels[key]) + 1) % len(names)]
        session.label_each(by_id(session, given_labels), "all with a page")
        Proposals(dataset.db).replace(
            [
                PrelabelledSample(
                    key, place, (Proposal(label, 0.9 - place / 1000),), outlier=place / 100
                )
                for place, (key, label) in enumerate(faces.truth.items())
            ],
            {},
        )
        LabelIssues(dataset.db).replace(
            [
                LabelIssue(key, given_labels[key], faces.truth[key], 0.9, 0.5, "t")
                for key in list(given_labels)[:2]
            ]
        )
    return faces


def show_list(person: Person, wall: str) -> ReviewView:
    view = person.window.view
    assert isinstance(view, ReviewView)
    settle(person.window)
    view.wall.setCurrentIndex(view.wall.findData(wall))
    view.reload()
    settle(person.window)
    return view


def shown_keys(view: ReviewView) -> list[str]:
    wait_until(lambda: all(view.model.tile(row) for row in range(view.model.rowCount())))
    return [view.model.tile(row).key for row in range(view.model.rowCount())]


def test_outliers_come_first_and_filters_narrow(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view = show_list(person, "outliers")
    assert view.model.rowCount() == 60
    assert [section.title.split("  ")[0] for section in view.model.sections] == labelled_faces.names
    order, given_labels = list(labelled_faces.truth), labels(labelled_faces.root)
    shown, first = shown_keys(view), 0
    for section in view.model.sections:
        part = shown[first : first + section.count]
        assert len({given_labels[key] for key in part}) == 1
        assert part == sorted(part, key=order.index, reverse=True)
        first += section.count
    # Filters narrow the list.
    QTest.keyClicks(view.bar.text, "0007")
    wait_until(lambda: view.model.rowCount() == 1)
    assert shown_keys(view) == [list(labelled_faces.truth)[7]]
    view.bar.text.setText("no such title %_")
    wait_until(lambda: view.model.rowCount() == 0)
    assert "No faces match" in view.empty.title.text()
    view.bar.text.clear()
    person.window.class_panel.selected.emit(labelled_faces.names[0])
    expected = {key for key, label in given_labels.items() if label == labelled_faces.names[0]}
    wait_until(lambda: view.model.rowCount() == len(expected))
    assert set(shown_keys(view)) == expected


def test_enter_accepts_suggestion_and_k_keeps_label(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view = show_list(person, "model")
    shown = shown_keys(view)
    assert set(shown) == set(list(labelled_faces.truth)[:WRONG])
    assert view.view.caption(0).startswith(f"→ {labelled_faces.truth[shown[0]]} 9")
    person.point(0)
    person.enter()
    person.point(1)
    person.press("k")
    settle(person.window)
    current = labels(labelled_faces.root)
    assert current[shown[0]] == labelled_faces.truth[shown[0]]
    assert current[shown[1]] != labelled_faces.truth[shown[1]]
    assert view.model.rowCount() == WRONG  # nothing moves before a reload
    view.reload()
    settle(person.window)
    assert set(shown_keys(view)) == set(shown[2:])
    person.window.undo()
    person.undo()
    view.reload()
    settle(person.window)
    assert labels(labelled_faces.root)[shown[0]] != labelled_faces.truth[shown[0]]
    assert shown[0] in shown_keys(view)


def test_review_leads_with_doubtful_labels(
    open_window: OpenWindow, labelled_faces: FaceSet
) -> None:
    """Labels that the most similar faces contradict, until a person has confirmed them."""
    person = Person(open_window(labelled_faces.root, "review"), labelled_faces)
    view, wrong = person.window.view, set(list(labelled_faces.truth)[:WRONG])
    assert isinstance(view, ReviewView)
    settle(person.window)
    shown = shown_keys(view)
    assert view.wall.currentData() == "doubtful"
    assert len(wrong & set(shown)) >= WRONG - 1
    assert len(set(shown) - wrong) <= 1
    person.point(0)
    person.press("k")
    view.reload()
    settle(person.window)
    assert shown_keys(view) == shown[1:]
    person.window.show_view("pages")
    wait_until(lambda: "look doubtful" in person.window.view.empty.text.text())  # type: ignore[attr-defined]
