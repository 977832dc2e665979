"""Class pages follow the classes: no Enter brings one back; an idle undo says why it is idle."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from drawn_faces import copied, drawn_once, hint, labels
from person import Opened, Person, alive, class_pages, settle, until
from PySide6.QtCore import Qt

from gleanset import Dataset
from labeler.classes import ClassEditor
from labeler.qt.detail_panel import HOVER_MS
from labeler.qt.views.page_kinds import shown_page
from labeler.sorting import page_layout
from labeler.sorting.page_layout import ClassPage, PageKind, PageTile
from labeler.sorting.proposals import ClassProposal

Key = Qt.Key


@pytest.fixture
def person(
    opened: Opened,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Person:
    """Somebody before a page of one of two classes, each of which fills one."""
    monkeypatch.setattr(page_layout, "FULL", 0.1)
    faces = copied(drawn_once(tmp_path_factory, 70, classes=2), tmp_path / "two")
    hint(faces, 0.9)
    found = Person(opened(faces.root, "pages"), faces)
    settle(found.window)
    return found


def ready(person: Person) -> None:
    """Past the moment in which Enter is dead."""
    alive(class_pages(person))


def classes(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return set(dataset.classes.names())


def elsewhere(person: Person) -> tuple[Dataset, ClassEditor]:
    dataset = Dataset.open(person.window.worker.root)
    return dataset, ClassEditor(dataset)


def test_a_class_that_is_deleted_elsewhere_has_no_page_here(person: Person) -> None:
    view = class_pages(person)
    dataset, editor = elsewhere(person)
    ready(person)
    person.enter()
    settle(person.window)
    with dataset.db.write():
        dataset.db.run("UPDATE origin SET hint=NULL")
    ready(person)
    person.enter()  # a page of each: from now on it is learnt who is who
    settle(person.window)
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
        settle(person.window)
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
        settle(person.window)
    assert label not in classes(person)
    assert not any(labels(person.window.worker.root).values())


def test_a_face_stays_below_its_own_class_where_two_become_one() -> None:
    tiles = tuple(PageTile((n,), ClassProposal(((of, 0.9),))) for n, of in enumerate("aabbbc"))
    page = ClassPage(PageKind.LEFT, None, tiles).renamed({"a": "c"})
    above = [part.title for part in shown_page(page, {}).sections for _ in range(part.count)]
    assert above == [f"{name}?" for name in "ccbbbc"]


def test_an_undo_that_can_do_nothing_says_what_came_after(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_layout, "FIRST", 96)  # each of two pages is a class
    view, said = class_pages(person), []
    view.next_page()
    settle(person.window)
    person.window.worker.message.connect(lambda text, bad: said.append((text, bad)))
    for _ in range(2):
        ready(person)
        person.enter()
        settle(person.window)
    label = next(name for name in person.keys if name in person.window.status.undo.text())
    before = labels(person.window.worker.root)
    other = next(name for name in person.keys if name != label)
    dataset, editor = elsewhere(person)
    with dataset:
        editor.rename(label, "Ayanami")
        editor.merge("Ayanami", other)
    until(lambda: label not in person.keys and "Ayanami" not in person.keys)
    settle(person.window)
    merged, undo = labels(person.window.worker.root), person.window.status.undo.text()
    for _ in range(2):
        person.window.undo()
        settle(person.window)
        assert labels(person.window.worker.root) == merged
        assert said[-1][1]
        assert "Merge Ayanami into" in said[-1][0]
        assert person.window.status.undo.text() == undo
    with Dataset.open(person.window.worker.root) as dataset:
        steps = dataset.db.number("SELECT count(*) FROM step")
        dataset.journal.undo()
        assert dataset.db.number("SELECT count(*) FROM step") == steps + 1
    until(lambda: "Ayanami" in person.keys)
    person.window.undo()
    settle(person.window)
    assert view.isVisible()
    now = labels(person.window.worker.root)
    assert (
        0
        < sum(name is not None for name in now.values())
        < sum(name is not None for name in before.values())
    )


def rested(person: Person) -> None:
    """Past the moment after which the panel shows what is pointed at."""
    settle(person.window)
    end = time.monotonic() + 2 * HOVER_MS / 1000
    until(lambda: time.monotonic() > end)


def test_the_panel_shows_the_face_that_lies_under_a_resting_mouse(person: Person) -> None:
    view, panel = class_pages(person), person.window.details
    person.point(len(view.model.states) + 4)
    rested(person)
    before = panel.shown
    assert before == view.model.id(view.view.point)
    ready(person)
    person.enter()
    rested(person)
    assert view.view.point >= 0
    assert panel.shown == view.model.id(view.view.point) != before
    # Whoever goes on with keys points at nothing on the next page, and is shown nothing.
    person.press(Key.Key_Right, "move")
    rested(person)
    person.press(Key.Key_PageUp, "back")
    rested(person)
    assert view.view.point < 0
    assert panel.shown is None
