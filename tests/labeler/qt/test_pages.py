"""Class pages: what Enter files, undo, and renamed classes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from drawn_faces import FaceSet, add_classes, copied, drawn_once, hint, labels
from person import Opened, Person, alive, class_pages, double_click, hold, ready, settle, until
from PySide6.QtCore import Qt

from gleanset import Dataset
from labeler.classes import ClassEditor
from labeler.qt.grid.model import UNMARKED
from labeler.qt.views import labeling
from labeler.qt.views.labeling import ENTER_DELAY_SECONDS
from labeler.qt.views.page_header import describe_page
from labeler.sorting import page_layout
from labeler.sorting.page_layout import ClassPage, PageKind, Stack
from labeler.sorting.predictions import ClassPrediction
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture(scope="module")
def drawn_two(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Two characters: each fills a page."""
    return drawn_once(tmp_path_factory, 70, classes=2)


@pytest.fixture
def person(
    opened: Opened, drawn_two: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Person:
    monkeypatch.setattr(
        page_layout, "MIN_CLASS_PAGE_PART", 0.1
    )  # each of the two classes fills a page
    shutil.copytree(drawn_two.root, tmp_path / "two")
    few = FaceSet(tmp_path / "two", drawn_two.truth)
    add_classes(few.root, [*few.names, "sora"])
    hint(few, 0.9)
    return Person(opened(few.root, "pages"), few)


def counted(person: Person) -> int:
    return sum(name is not None for name in labels(person.window.worker.root).values())


def test_enter_files_what_is_not_marked(person: Person) -> None:
    view, page = class_pages(person), class_pages(person).page
    assert page is not None
    assert page.kind == "class"
    person.click(1)
    person.click(2)
    person.click(2)  # and back
    person.send(3, next(name for name in person.keys if name != page.label))
    settle(person.window)
    assert view.model.state(1).mark == "lifted"
    assert view.model.state(2).mark == "in"
    assert counted(person) == 1  # what was sent is saved at once, the page is not
    ready(person)
    rows = len(page.tiles)
    assert f"all correct ({rows - 2})" in view.header.file_button.text()
    person.enter()
    assert counted(person) == rows - 1
    assert person.window.status.undo.text() == f"Undo: Label {rows - 2} faces as {page.label}"
    # What was lifted is never proposed as this class again.
    lifted = page.tiles[1].rows[0]
    with Dataset.open(person.window.worker.root) as dataset:
        refused = SortingSession(dataset).changes.get_refused_classes([lifted])
    assert len(refused[lifted]) == 1


def test_nothing_is_said_of_errors_before_a_page_was_decided(person: Person) -> None:
    header = class_pages(person).header
    assert header.title.text().endswith(" · accuracy unknown: check each face")
    assert not any(digit in header.title.text().partition("·")[2] for digit in "0123456789")
    ready(person)
    person.one_page()  # the other class is not tested either, or several are, of which one is
    while class_pages(person).page is not None and not class_pages(person).page.tested:
        assert "accuracy unknown" in header.title.text()
        person.one_page()
    wrong = round(class_pages(person).page.expected_wrong)
    how = f"about {wrong} may be wrong" if wrong else "probably all correct"
    assert header.title.text().endswith(f" · {how}")


def test_undo_turns_back_to_the_page(person: Person) -> None:
    view, page = class_pages(person), class_pages(person).page
    ready(person)
    person.enter()
    assert view.page != page
    person.undo()
    assert view.page == page
    assert counted(person) == 0
    person.window.worker.redo()
    settle(person.window)
    assert view.page != page
    assert counted(person) > 0


def test_enter_is_dead_on_a_page_that_has_just_come(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 60)
    view, page = class_pages(person), class_pages(person).page
    view.show_page(page)
    person.enter()
    assert (view.page, counted(person)) == (page, 0)


def test_another_window_decides_meanwhile(person: Person) -> None:
    """What somebody else has filed since the page was made keeps its label."""
    page = class_pages(person).page
    assert page is not None
    with Dataset.open(person.window.worker.root) as dataset:
        other = SortingSession(dataset)
        other.to(page.tiles[0].rows, "sora")
        key = other.tiles.get_keys(page.tiles[0].rows)[0]
    until(lambda: class_pages(person).model.state(0).mark == "done")
    ready(person)
    person.enter()
    assert labels(person.window.worker.root)[key] == "sora"


def test_the_header_follows_a_rename_and_enter_files_to_the_new_name(person: Person) -> None:
    view, page = class_pages(person), class_pages(person).page
    assert page is not None
    person.click(1)
    label, tiles = page.label, len(page.tiles)
    person.window.worker.decide(lambda session: session.rename_class(str(label), "Ayanami"))
    settle(person.window)
    assert view.header.title.text().startswith("Ayanami?")
    assert f"all correct ({tiles - 1})" in view.header.file_button.text()
    assert view.model.state(1).mark == "lifted"
    assert view.model.prediction(0).label == "Ayanami"
    ready(person)
    person.enter()
    named = {name for name in labels(person.window.worker.root).values() if name}
    assert named == {"Ayanami"}
    assert label not in person.keys
    person.undo()
    assert view.page is not None
    assert view.page.label == "Ayanami"


def test_a_page_that_is_skipped_comes_last(person: Person) -> None:
    view, first = class_pages(person), class_pages(person).page
    person.press(Key.Key_PageDown, "skip")
    settle(person.window)
    second = view.page
    assert second is not None
    assert first is not None
    assert not set(first.rows) & set(second.rows)
    person.press(Key.Key_PageUp, "back")
    settle(person.window)
    assert view.page == first


@pytest.fixture
def of_stacks(opened: Opened, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Person:
    faces = copied(drawn_once(tmp_path_factory, 24, classes=2, frames=3), tmp_path / "d")
    hint(faces, 0.9, together=3)
    return Person(opened(faces.root, "pages"), faces)


def test_a_stack_is_opened_by_a_key_or_the_mouse(of_stacks: Person) -> None:
    person = of_stacks
    view = class_pages(person)
    for by_mouse in (False, True):
        stacks = [row for row, tile in enumerate(view.page.tiles) if len(tile.rows) == 3]
        before, rows = view.page, view.page.tiles[stacks[1]].rows
        if by_mouse:
            double_click(person, stacks[1])
        else:
            person.point(stacks[1])
            person.press(Key.Key_S, "split")
        until(lambda shown=before: view.page is not None and view.page is not shown)  # type: ignore[misc]
        settle(person.window)
        alone = {tile.rows for tile in view.page.tiles}
        assert {(row,) for row in rows} <= alone
        assert len(view.page.rows) == len(before.rows)
        assert set(view.model.states.values()) <= {UNMARKED}
    # On a tile of one face it is two clicks: lifted, and put back.
    page, single = view.page, next(n for n, t in enumerate(view.page.tiles) if len(t.rows) == 1)
    double_click(person, single)
    settle(person.window)
    assert view.page is page
    assert view.model.state(single).mark == "in"
    assert counted(person) == 0


@pytest.mark.parametrize("marked", [False, True])
def test_enter_held_files_one_page(person: Person, marked: bool) -> None:
    view = class_pages(person)
    page = view.page
    assert page is not None
    alive(view)

    def next_page_alive() -> bool:
        if person.window.worker.decision_count > 1:
            return True
        shown = view.page not in (None, page) and not view.view.unseen()
        return shown and time.monotonic() - view._shown_at > ENTER_DELAY_SECONDS + 0.2

    hold(view.view, Key.Key_Return, marked=marked, enough=next_page_alive)
    settle(person.window)
    assert (person.sorted, person.window.worker.decision_count) == (len(page.rows), 1)
    alive(view)
    person.enter()  # the next press files the next one
    assert person.window.worker.decision_count == 2


def test_keys_held_on_faces_decide_once(person: Person) -> None:
    view = class_pages(person)
    person.point(0)
    hold(view.view, Key.Key_Delete)
    hold(view.view, Key.Key_1, "1")
    settle(person.window)
    assert person.window.worker.decision_count == 2


def classes(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return set(dataset.classes.list_names())


def elsewhere(person: Person) -> tuple[Dataset, ClassEditor]:
    dataset = Dataset.open(person.window.worker.root)
    return dataset, ClassEditor(dataset)


def test_a_class_that_is_deleted_elsewhere_has_no_page_here(person: Person) -> None:
    view = class_pages(person)
    dataset, editor = elsewhere(person)
    ready(person)
    person.enter()
    with dataset.db.transaction():
        dataset.db.execute("UPDATE origin SET hint=NULL")
    ready(person)
    person.enter()  # a page of each: from now on it is learnt who is who
    assert view.page is not None
    label = sorted(view.page.labels)[0]
    with dataset:
        editor.delete(label)
    until(lambda: label not in person.keys)
    settle(person.window)
    assert label not in view.header.title.text()
    if view.page is not None:
        assert label not in view.page.labels
        ready(person)
        person.enter()
    assert label not in classes(person)


def test_a_class_that_is_gone_is_not_filed_before_anybody_has_looked(person: Person) -> None:
    """Enter is quicker than the window, which looks twice a second."""
    view = class_pages(person)
    ready(person)
    label = str(view.page and view.page.label)
    dataset, editor = elsewhere(person)
    with dataset:
        editor.delete(label)
        person.enter()
    assert label not in classes(person)
    assert not any(labels(person.window.worker.root).values())


def test_a_face_stays_below_its_own_class_where_two_become_one() -> None:
    tiles = tuple(Stack(n, (n,), ClassPrediction(((of, 0.9),))) for n, of in enumerate("aabbbc"))
    page = ClassPage(PageKind.MIXED, None, tiles).renamed({"a": "c"})
    above = [part.title for part in describe_page(page, {}).sections for _ in range(part.count)]
    assert above == [f"{name}?" for name in "ccbbbc"]
