"""Class pages: what Enter labels, undo, and renamed classes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from drawn_faces import FaceSet, add_classes, copied, drawn_once, hint
from person import (
    OpenWindow,
    Person,
    class_pages,
    double_click,
    hold,
    settle,
    wait_for_enter,
    wait_for_page,
    wait_until,
)
from PySide6.QtCore import Qt

from gleanset import Dataset
from labeler.classes import ClassEditor
from labeler.qt.grid.model import UNMARKED
from labeler.qt.views import labeling
from labeler.qt.views.page_header import describe_page
from labeler.sorting import page_layout
from labeler.sorting.page_layout import ClassPage, PageKind, Stack
from labeler.sorting.predictions import ClassPrediction
from labeler.sorting.session import SortingSession

Key = Qt.Key


@pytest.fixture
def person(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Person:
    """Open the pages of two classes, each enough for a page."""
    monkeypatch.setattr(page_layout, "MIN_CLASS_PAGE_PART", 0.1)
    pair = {key: name if name == "hana" else "rei" for key, name in shared_faces.truth.items()}
    faces = copied(FaceSet(shared_faces.root, pair), tmp_path / "two", named=False)
    add_classes(faces.root, [*faces.names, "sora"])
    hint(faces, 0.9)
    return Person(open_window(faces.root, "pages"), faces)


def test_enter_labels_unmarked_faces(person: Person) -> None:
    view, page = class_pages(person), person.page
    assert page.kind == "class"
    person.click(1)
    person.click(2)
    person.click(2)  # includes it again
    person.send(3, next(name for name in person.keys if name != page.label))
    settle(person.window)
    assert view.model.state(1).mark == "lifted"
    assert view.model.state(2).mark == "in"
    assert len(person.labels) == 1  # the key's label is saved at once, the page is not
    wait_for_page(person)
    rows = len(page.tiles)
    assert f"all correct ({rows - 2})" in view.header.file_button.text()
    person.enter()
    assert len(person.labels) == rows - 1
    assert person.window.status.undo.text() == f"Undo: Label {rows - 2} faces as {page.label}"
    # An excluded face is never suggested as this class again.
    lifted = page.tiles[1].rows[0]
    with Dataset.open(person.window.worker.root) as dataset:
        refused = SortingSession(dataset).changes.get_refused_classes([lifted])
    assert len(refused[lifted]) == 1


def test_rest_of_corrected_page_is_suggested_again(person: Person) -> None:
    view, page = class_pages(person), person.page
    other = next(name for name in person.keys if name != page.label)
    for row in range(3):
        person.send(row, other)
    moved = {tile.rows[0] for tile in page.tiles[:3]}
    wait_until(lambda: view.page is not page)
    assert view.page is not None
    assert not moved & set(view.page.rows)
    assert set(page.rows) - moved >= set(view.page.rows) & set(page.rows)
    assert person.status == "Suggested again"


def test_accuracy_is_unknown_before_first_page(person: Person) -> None:
    header = class_pages(person).header
    assert header.title.text().endswith(" · accuracy unknown: check each face")
    assert not any(digit in header.title.text().partition("·")[2] for digit in "0123456789")
    wait_for_page(person)
    person.sort_page()  # of the other class, or a mixed page
    while class_pages(person).page is not None and not class_pages(person).page.tested:
        assert "accuracy unknown" in header.title.text()
        person.sort_page()
    wrong = round(class_pages(person).page.expected_wrong)
    how = f"about {wrong} may be wrong" if wrong else "probably all correct"
    assert header.title.text().endswith(f" · {how}")


def test_undo_returns_to_page(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    view, page = class_pages(person), class_pages(person).page
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 60)
    view.show_page(page)
    person.enter()  # ignored on a new page
    assert (view.page, len(person.labels)) == (page, 0)
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 0.05)
    wait_for_page(person)
    person.enter()
    assert view.page != page
    person.undo()
    assert view.page == page
    assert len(person.labels) == 0
    person.window.worker.redo()
    settle(person.window)
    assert view.page != page
    assert len(person.labels) > 0


def test_label_of_other_window_is_kept(person: Person) -> None:
    """A face labelled elsewhere after the page was made keeps its label."""
    page = person.page
    with Dataset.open(person.window.worker.root) as dataset:
        session = SortingSession(dataset)
        session.decide(page.tiles[0].rows, "sora")
        key = session.tiles.get_keys(page.tiles[0].rows)[0]
    wait_until(lambda: class_pages(person).model.state(0).mark == "done")
    wait_for_page(person)
    person.enter()
    assert person.labels[key] == "sora"


def test_enter_uses_renamed_class(person: Person) -> None:
    view, page = class_pages(person), person.page
    person.click(1)
    label, tiles = page.label, len(page.tiles)
    person.window.worker.decide(lambda session: session.rename_class(str(label), "Ayanami"))
    settle(person.window)
    assert view.header.title.text().startswith("Ayanami?")
    assert f"all correct ({tiles - 1})" in view.header.file_button.text()
    assert view.model.state(1).mark == "lifted"
    assert view.model.prediction(0).label == "Ayanami"
    wait_for_page(person)
    person.enter()
    assert set(person.labels.values()) == {"Ayanami"}
    assert label not in person.keys
    person.undo()
    assert view.page is not None
    assert view.page.label == "Ayanami"


def test_skipped_page_comes_last(person: Person) -> None:
    view, first = class_pages(person), class_pages(person).page
    person.press(Key.Key_PageDown)
    settle(person.window)
    second = person.page
    assert first is not None
    assert not set(first.rows) & set(second.rows)
    person.press(Key.Key_PageUp)
    settle(person.window)
    assert view.page == first


@pytest.fixture
def stacks_person(
    open_window: OpenWindow, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Person:
    faces = copied(drawn_once(tmp_path_factory, 24, classes=3, frames=3), tmp_path / "d")
    hint(faces, 0.9, together=3)
    return Person(open_window(faces.root, "pages"), faces)


def test_stack_is_split_by_key_or_mouse(stacks_person: Person) -> None:
    person = stacks_person
    view = class_pages(person)
    for by_mouse in (False, True):
        stacks = [row for row, tile in enumerate(view.page.tiles) if len(tile.rows) == 3]
        before, rows = view.page, view.page.tiles[stacks[1]].rows
        if by_mouse:
            double_click(person, stacks[1])
        else:
            person.point(stacks[1])
            person.press(Key.Key_S)
        wait_until(lambda shown=before: view.page is not None and view.page is not shown)  # type: ignore[misc]
        settle(person.window)
        alone = {tile.rows for tile in view.page.tiles}
        assert {(row,) for row in rows} <= alone
        assert len(view.page.rows) == len(before.rows)
        assert set(view.model.states.values()) <= {UNMARKED}
    # On a tile of one face a double click excludes it and includes it again.
    page, single = view.page, next(n for n, t in enumerate(view.page.tiles) if len(t.rows) == 1)
    double_click(person, single)
    settle(person.window)
    assert view.page is page
    assert view.model.state(single).mark == "in"
    assert len(person.labels) == 0


def test_held_enter_accepts_one_page(person: Person) -> None:
    view, decided = class_pages(person), 0
    for number, marked in enumerate((False, True), 1):  # by Qt as a repeat
        page = view.page
        assert page is not None
        wait_for_enter(view)

        def next_page_alive(page: ClassPage = page, number: int = number) -> bool:
            if person.window.worker.decision_count > number:
                return True
            shown = view.page not in (None, page) and not view.view.unseen()
            return shown and time.monotonic() - view._shown_at > labeling.ENTER_DELAY_SECONDS + 0.2

        hold(view.view, Key.Key_Return, marked=marked, enough=next_page_alive)
        settle(person.window)
        decided += len(page.rows)
        assert (person.decided_count, person.window.worker.decision_count) == (decided, number)


def test_held_keys_decide_once(person: Person) -> None:
    view = class_pages(person)
    person.point(0)
    hold(view.view, Key.Key_Delete)
    hold(view.view, Key.Key_1, "1")
    settle(person.window)
    assert person.window.worker.decision_count == 2


def class_names(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return set(dataset.classes.list_names())


def open_editor(person: Person) -> tuple[Dataset, ClassEditor]:
    dataset = Dataset.open(person.window.worker.root)
    return dataset, ClassEditor(dataset)


def test_enter_does_not_restore_deleted_class(person: Person) -> None:
    """Enter arrives before the window polls for changes of other processes."""
    view = class_pages(person)
    wait_for_page(person)
    label = str(view.page and view.page.label)
    dataset, editor = open_editor(person)
    with dataset:
        editor.delete(label)
        person.enter()
    assert label not in class_names(person)
    assert person.labels == {}


def test_sections_follow_merged_class() -> None:
    tiles = tuple(Stack(n, (n,), ClassPrediction(((of, 0.9),))) for n, of in enumerate("aabbbc"))
    page = ClassPage(PageKind.MIXED, None, tiles).renamed({"a": "c"})
    above = [part.title for part in describe_page(page, {}).sections for _ in range(part.count)]
    assert above == [f"{name}?" for name in "ccbbbc"]


def test_page_of_deleted_class_disappears(person: Person) -> None:
    view = class_pages(person)
    dataset, editor = open_editor(person)
    wait_for_page(person)
    person.enter()
    with dataset.db.transaction():
        dataset.db.execute("UPDATE origin SET hint=NULL")
    wait_for_page(person)
    person.enter()  # one page of each class: from now on suggestions are learned
    assert view.page is not None
    label = sorted(view.page.labels)[0]
    with dataset:
        editor.delete(label)
    wait_until(lambda: label not in person.keys)
    settle(person.window)
    assert label not in view.header.title.text()
    if view.page is not None:
        assert label not in view.page.labels
        wait_for_page(person)
        person.enter()
    assert label not in class_names(person)
