"""Nothing is labelled that was not painted; empty views explain why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, hint, labels
from labeler_makers import add_image
from person import (
    FakeCommands,
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
from PySide6.QtWidgets import QApplication, QPushButton
from sorting_model import by_id

from gleanset import Dataset
from labeler.qt.views import page_grid
from labeler.qt.views.base import VIEWS, EmptyNotice
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import Place, SortingSession

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


def press(person: Person, pressed: Qt.Key) -> None:
    QTest.keyClick(person.window.windowHandle(), pressed)
    settle(person.window)


@pytest.mark.usefixtures("long_pages")
def test_enter_scrolls_before_labelling(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = open_pages(open_window, faces, SMALL)
    view = class_pages(person)
    page = person.page
    first = set(page.rows) - painted
    assert first
    presses = 0
    while len(person.labels) == 0:
        below = view.view.unseen()
        press(person, Key.Key_Return)
        if below:
            text = person.status
            assert text.startswith(f"{len(below)} faces were not shown yet")
            assert len(view.view.unseen()) < len(below)
        presses += 1
        assert presses < 20
    assert presses > 1
    assert len(person.labels) == len(page.rows)
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
    assert "still loading" in person.status
    hover(view.view.viewport(), view.view.visualRect(view.model.index(0)).center())
    QTest.keyClick(view.view, "1")
    assert view.model.states == {}
    assert len(person.labels) == 0
    late[0] = False
    view.view.viewport().update()
    settle(person.window)
    press(person, Key.Key_Return)
    assert len(person.labels) > 0


def test_selection_is_labelled_once_painted(
    open_window: OpenWindow, faces: FaceSet, painted: set[int]
) -> None:
    person = Person(open_window(faces.root, "grid", SMALL), faces)
    grid = person.view.view
    grid.selectAll()
    press(person, Key.Key_1)
    assert len(person.labels) == 0
    assert "were not shown yet" in person.status
    while grid.unseen():
        press(person, Key.Key_1)
    press(person, Key.Key_1)
    assert len(person.labels) == 60
    assert len(painted) == 60


def notice(window: LabelerWindow) -> EmptyNotice:
    result = window.view.empty  # type: ignore[attr-defined]
    assert isinstance(result, EmptyNotice)
    return result


def notice_title(window: LabelerWindow) -> str:
    """Return the title of the notice, empty where faces are shown."""
    settle(window)
    wait_until(window.view.is_settled)
    return notice(window).title.text() if notice(window).isVisible() else ""


def press_button(window: LabelerWindow, text: str) -> None:
    buttons = notice(window).findChildren(QPushButton)
    button = next(button for button in buttons if button.text() == text and button.isVisible())
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(window)


@pytest.fixture
def sorted_window(faces: FaceSet, open_window: OpenWindow) -> LabelerWindow:
    """Open the grid of a sorted dataset with one empty class."""
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        session.add_class("nobody")
        session.label_each(by_id(session, faces.truth), "all")
    return open_window(faces.root)


def test_empty_views_show_next_steps(open_window: OpenWindow, tmp_path: Path) -> None:
    Dataset.create(tmp_path / "my set").close()
    window = open_window(tmp_path / "my set")
    titles = {}
    for kind in VIEWS:
        window.show_view(kind.name)
        titles[kind.name] = notice_title(window)
        assert notice(window).notice.steps, kind.name  # type: ignore[union-attr]
    assert titles == {
        "grid": "No faces yet",
        "pages": "No faces yet",
        "duplicates": "Not searched yet",
        "crop": "No faces yet",
        "review": "Nothing to review in this list",
        "statistics": "No classes yet",
    }


def test_button_starts_face_detection(open_window: OpenWindow, faces: FaceSet) -> None:
    with (faces.root / "dataset.toml").open("a") as settings:
        settings.write('[crop]\ndetector = "drawnface"\n')  # not the detector that was used
    window = open_window(faces.root, "crop")
    notice_title(window)
    press_button(window, "Detect faces in new images")
    assert window.imports.running
    wait_until(lambda: not window.imports.running)
    assert (window.imports.state, window.imports.errors) == ("done", [])


def test_buttons_open_next_view(sorted_window: LabelerWindow) -> None:
    window = sorted_window
    assert notice_title(window) == "Everything is sorted"
    wait_until(lambda: "find duplicates, then split" in notice(window).text.text())
    press_button(window, "Review labels")
    assert (window.shown_name, notice_title(window)) == ("review", "")
    assert window.focusWidget() is window.view.home
    window.class_panel.selected.emit("nobody")
    assert window.shown_name == "review"
    wait_until(lambda: notice_title(window) == "No faces match the filters")
    press_button(window, "Clear filters")
    wait_until(lambda: notice_title(window) == "")
    window.show_view("grid")
    places = {"nobody": "No faces of nobody", Place.LATER.target: "No faces of Skipped"}
    for place, message in places.items():
        window.class_panel.selected.emit(place)
        assert notice_title(window) == message
        press_button(window, "Go to unsorted faces")
        assert notice_title(window) == "Everything is sorted"
    window.show_view("pages")
    assert notice_title(window) == "Everything is sorted"
    press_button(window, "Split and export")
    assert window.shown_name == "statistics"
    assert notice_title(window) == ""


def test_typed_name_is_kept_while_preparing(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path
) -> None:
    faces = copied(shared_faces, tmp_path / "d", named=False)
    window = open_window(faces.root, "pages", at_rest=False)
    QApplication.processEvents()
    assert notice(window).title.text() == "Preparing pages…"
    assert notice(window).isVisible()
    for letter in "Gin":  # G and N are shortcuts elsewhere
        QTest.keyClick(window.focusWidget(), letter)
    assert notice_title(window) == ""
    view = window.view
    assert isinstance(view, ClassPagesView)
    assert view.page is not None
    assert (view.header.name.text(), window.shown_name) == ("Gin", "pages")
    for _ in range(2):  # the first Enter warns that the name was typed before
        QTest.keyClick(window.focusWidget(), Qt.Key.Key_Return)
    settle(window)
    assert list(labels(faces.root).values()).count("Gin") == view.page.cluster_sizes[0]


def test_running_detection_is_shown(
    open_window: OpenWindow, tmp_path: Path, fake_commands: FakeCommands
) -> None:
    fake_commands(
        facecrop=f"""
import os, time
while not os.path.exists({str(tmp_path / "detected")!r}):
    time.sleep(0.05)
print('{{"faces": 0}}')
"""
    )
    with Dataset.create(tmp_path / "d") as dataset:
        add_image(dataset, "one")
    window = open_window(tmp_path / "d")
    assert notice_title(window) == "No faces detected yet"
    press_button(window, "Detect faces")
    for name in ("grid", "pages"):
        window.show_view(name)
        assert notice_title(window) == "Detecting faces…"
    (tmp_path / "detected").touch()
    wait_until(lambda: not window.imports.running)
    assert notice_title(window) == "No faces detected yet"


def test_detection_by_other_process_is_shown(open_window: OpenWindow, tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "d") as dataset, dataset.stage("facecrop"):
        add_image(dataset, "one")
        assert notice_title(open_window(tmp_path / "d")) == "Detecting faces…"
