"""Nothing is labelled that was not painted, and pages fill the window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn_faces import FaceSet, hint, labels
from person import (
    OpenWindow,
    Person,
    class_pages,
    has_tile,
    hover,
    record_painted_samples,
    settle,
    wait_for_enter,
    wait_until,
)
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from labeler.qt.views import page_grid

Key, Button = Qt.Key, Qt.MouseButton
SMALL = (620, 330)


@pytest.fixture
def long_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pages of sixty faces, which a small window has to scroll through."""
    monkeypatch.setattr(page_grid, "MIN_PAGE_FACES", 60)
    monkeypatch.setattr(page_grid.PageGrid, "min_side", 72)


@pytest.fixture
def painted() -> Iterator[set[int]]:
    with record_painted_samples() as result:
        yield result


def open_pages(open_window: OpenWindow, faces: FaceSet, size: tuple[int, int]) -> Person:
    hint(FaceSet(faces.root, skewed_truth(faces)), 1.0)
    person = Person(open_window(faces.root, "pages", size), faces)
    wait_for_enter(class_pages(person))
    return person


def skewed_truth(faces: FaceSet) -> dict[str, str]:
    """Return a truth with all faces but one in one class: a full page."""
    first, *others = faces.truth
    return {first: "hana", **dict.fromkeys(others, "rei")}


def count_labelled(person: Person) -> int:
    return sum(name is not None for name in labels(person.window.worker.root).values())


def press(person: Person, pressed: Qt.Key) -> None:
    QTest.keyClick(person.window.windowHandle(), pressed)
    settle(person.window)


@pytest.mark.usefixtures("long_pages")
def test_enter_scrolls_before_labelling(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = open_pages(open_window, faces, SMALL)
    view = class_pages(person)
    page = view.page
    assert page is not None
    first = set(page.rows) - painted
    assert first
    presses = 0
    while count_labelled(person) == 0:
        below = view.view.unseen()
        press(person, Key.Key_Return)
        if below:
            text = person.window.statusBar().currentMessage()
            assert text.startswith(f"{len(below)} faces were not shown yet")
            assert len(view.view.unseen()) < len(below)
        presses += 1
        assert presses < 20
    assert presses > 1
    assert count_labelled(person) == len(page.rows)
    assert set(page.rows) <= painted


def test_unloaded_image_is_not_labelled(
    open_window: OpenWindow, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a slow disk placeholders are painted, and Enter labels nothing."""
    from labeler.qt.images import ThumbnailLoader

    get, late = ThumbnailLoader.get, [True]
    monkeypatch.setattr(
        ThumbnailLoader, "get", lambda *which, **how: None if late[0] else get(*which, **how)
    )
    hint(faces, 0.97)
    person = Person(open_window(faces.root, "pages", at_rest=False), faces)
    view = class_pages(person)
    wait_until(lambda: view.page is not None and has_tile(view.model, 0))
    wait_for_enter(view)
    QTest.keyClick(view.view, Key.Key_Return)
    assert "still loading" in person.window.statusBar().currentMessage()
    hover(view.view.viewport(), view.view.visualRect(view.model.index(0)).center())
    QTest.keyClick(view.view, "1")
    assert view.model.states == {}
    assert count_labelled(person) == 0
    late[0] = False
    view.view.viewport().update()
    settle(person.window)
    press(person, Key.Key_Return)
    assert count_labelled(person) > 0


def test_selection_is_labelled_once_painted(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = Person(open_window(faces.root, "grid", SMALL), faces)
    grid = person.view.view
    grid.selectAll()
    press(person, Key.Key_1)
    assert count_labelled(person) == 0
    assert "were not shown yet" in person.window.statusBar().currentMessage()
    while grid.unseen():
        press(person, Key.Key_1)
    press(person, Key.Key_1)
    assert count_labelled(person) == 60
    assert len(painted) == 60
