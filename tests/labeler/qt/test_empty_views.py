"""Empty views explain why, and their buttons lead on."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, labels
from labeler_makers import add_image
from person import Opened, Stand, settle, until
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton
from sorting_model import by_id

from gleanset import Dataset
from labeler.qt.views.base import VIEWS
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.views.notices import EmptyNotice
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import Place, SortingSession


def notice(window: LabelerWindow) -> EmptyNotice:
    result = window.view.empty  # type: ignore[attr-defined]
    assert isinstance(result, EmptyNotice)
    return result


def title(window: LabelerWindow) -> str:
    """What is said over the view; empty where something is shown."""
    settle(window)
    until(window.view.is_settled)
    return notice(window).title.text() if notice(window).isVisible() else ""


def press(window: LabelerWindow, text: str) -> None:
    buttons = notice(window).findChildren(QPushButton)
    button = next(one for one in buttons if one.text() == text and one.isVisible())
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(window)


@pytest.fixture
def sorted_window(few: FaceSet, opened: Opened) -> LabelerWindow:
    """Everything is sorted; one class has nobody."""
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        session.add_class("nobody")
        session.file_each(by_id(session, few.truth), "all")
    return opened(few.root)


def test_every_view_of_an_empty_dataset_says_what_to_do(opened: Opened, tmp_path: Path) -> None:
    Dataset.create(tmp_path / "my set").close()
    window = opened(tmp_path / "my set")
    message = {}
    for kind in VIEWS:
        window.show_view(kind.name)
        message[kind.name] = title(window)
        assert notice(window).notice.steps, kind.name  # type: ignore[union-attr]
    assert message == {
        "grid": "No faces yet",
        "pages": "No faces yet",
        "duplicates": "No duplicates to review",
        "crop": "No faces yet",
        "review": "No labels yet",
        "statistics": "No classes yet",
    }
    window.show_view("review")
    wall = window.view.bar.wall  # type: ignore[attr-defined]
    wall.setCurrentIndex(wall.findData("label-issues"))
    until(lambda: title(window) == "No label issues")
    press(window, "Copy")
    copied = QGuiApplication.clipboard().text()
    assert copied == f"baseline label-issues -d '{window.worker.root}'"


def test_faces_are_looked_for_from_where_there_are_none(opened: Opened, few: FaceSet) -> None:
    with (few.root / "dataset.toml").open("a") as settings:
        settings.write('[crop]\ndetector = "drawnface"\n')  # what has searched them is not here
    window = opened(few.root, "crop")
    title(window)
    press(window, "Detect faces in new images")
    assert window.imports.running
    until(lambda: not window.imports.running)
    assert (window.imports.state, window.imports.errors) == ("done", [])


def test_buttons_lead_on(sorted_window: LabelerWindow) -> None:
    window = sorted_window
    assert title(window) == "Everything is sorted"
    press(window, "Review labels")
    assert (window.shown_name, title(window)) == ("review", "")
    assert window.focusWidget() is window.view.home
    window.class_panel.selected.emit("nobody")
    assert window.shown_name == "review"
    assert title(window) == "No faces match the filters"
    press(window, "Clear filters")
    until(lambda: title(window) == "")
    window.show_view("grid")
    places = {
        "nobody": "No faces of nobody yet",
        Place.LATER.target: "No skipped faces",
        Place.OTHER.target: "No unlisted people",
        Place.REJECT.target: "No rejected faces",
    }
    for place, message in places.items():
        window.class_panel.selected.emit(place)
        assert title(window) == message
        press(window, "Go to unsorted faces")
        assert title(window) == "Everything is sorted"
    window.show_view("pages")
    assert title(window) == "Everything is sorted"
    press(window, "Split and export")
    assert window.shown_name == "statistics"
    assert title(window) == ""


def test_while_pages_are_made_it_says_so_and_keeps_a_name(
    opened: Opened, drawn_few: FaceSet, tmp_path: Path
) -> None:
    faces = copied(drawn_few, tmp_path / "d", named=False)
    window = opened(faces.root, "pages", at_rest=False)
    QApplication.processEvents()
    assert notice(window).title.text() == "Preparing pages…"
    assert notice(window).isVisible()
    for letter in "Gin":  # G and N are keys of the window
        QTest.keyClick(window.focusWidget(), letter)
    assert title(window) == ""
    view = window.view
    assert isinstance(view, ClassPagesView)
    assert view.page is not None
    assert (view.header.name.text(), window.shown_name) == ("Gin", "pages")
    for _ in range(2):  # the first says that it was typed before
        QTest.keyClick(window.focusWidget(), Qt.Key.Key_Return)
    settle(window)
    assert list(labels(faces.root).values()).count("Gin") == view.page.cluster_sizes[0]


def test_while_faces_are_looked_for_it_does_not_say_that_there_are_none(
    opened: Opened, tmp_path: Path, stand_in: Stand
) -> None:
    stand_in(facecrop="import time; time.sleep(1.5)\nprint('{\"faces\": 0}')\n")
    with Dataset.create(tmp_path / "d") as dataset:
        add_image(dataset, "one")
    window = opened(tmp_path / "d")
    assert title(window) == "No faces detected yet"
    press(window, "Detect faces")
    for name in ("grid", "pages"):
        window.show_view(name)
        assert title(window) == "Detecting faces…"
    until(lambda: not window.imports.running)
    assert title(window) == "No faces detected yet"


def test_another_program_that_finds_faces_is_seen(opened: Opened, tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "d") as dataset, dataset.stage("facecrop"):
        add_image(dataset, "one")
        assert title(opened(tmp_path / "d")) == "Detecting faces…"
