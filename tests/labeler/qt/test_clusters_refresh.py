"""An untouched clusters page is rebuilt with better features, never while it is being used."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from drawn_faces import FaceSet, labels
from person import (
    Person,
    class_pages,
    collect_messages,
    settle,
    store_vectors,
    wait_for_enter,
    wait_until,
)
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from window_fixtures import OpenWindow

from gleanset import Dataset
from labeler.qt import window
from labeler.qt.views import class_pages as pages_module
from labeler.qt.views import labeling
from labeler.sorting.page_layout import ClassPage

UPDATE_MESSAGE = "Clusters updated"


@pytest.fixture(autouse=True)
def _short_refresh_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "REFRESH_MS", 40)


@pytest.fixture
def person(clusters_person: Person) -> Person:
    return clusters_person


def shown_page(person: Person) -> ClassPage:
    page = class_pages(person).page
    assert page is not None
    return page


def prelabel(person: Person) -> None:
    store_vectors(person.window.worker.root, person.truth)


def process_events(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def classes_per_cluster(person: Person) -> list[set[str]]:
    page, first, result = shown_page(person), 0, []
    for size in page.cluster_sizes:
        result.append({person.true_class(row) for row in range(first, first + size)})
        first += size
    return result


def test_plain_grid_until_features_are_computed(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "EMBEDDING_DELAY_MS", 60_000)  # started below
    shutil.copytree(shared_faces.root, tmp_path / "d")
    with Dataset.open(tmp_path / "d") as dataset:
        dataset.db.execute("DELETE FROM quality")
    person = Person(
        open_window(tmp_path / "d", "pages"), FaceSet(tmp_path / "d", shared_faces.truth)
    )
    view, before, titles = class_pages(person), shown_page(person), set[str]()
    messages = collect_messages(person.window)
    assert (before.kind, len(before.tiles)) == ("plain", 60)
    assert view.header.title.text() == (
        "Comparing faces…  Clusters appear soon; or point at a face and press / to name it"
    )
    assert not view.header.name.isVisible()
    wait_for_enter(view)
    QTest.keyClick(view.view, Qt.Key.Key_Return)
    view.name_page("Miku")  # a name begun for the previous page
    settle(person.window)
    assert messages[0] == "Point at a face and press / to name it"
    assert shown_page(person) is before
    assert set(labels(tmp_path / "d").values()) == {None}
    view._refresh.watch(before)  # as if untouched
    button = person.window._learning_button
    person.window.embedding_task.left.connect(lambda left: titles.add(button.text()))
    person.window.embedding_task.begin()
    wait_until(lambda: shown_page(person) is not before)
    settle(person.window)
    assert shown_page(person).kind == "groups"
    assert "Comparing faces: 44 faces left" in titles
    assert UPDATE_MESSAGE not in messages
    result = classes_per_cluster(person)
    assert sum(len(people) == 1 for people in result) >= 0.8 * len(result)


def test_untouched_page_is_rebuilt(person: Person) -> None:
    before, messages = shown_page(person), list[str]()
    person.window.worker.message.connect(lambda text, bad: messages.append(text))
    process_events(0.3)
    assert shown_page(person) is before
    prelabel(person)
    wait_until(lambda: shown_page(person) is not before)
    assert messages == [UPDATE_MESSAGE]
    settle(person.window)
    assert all(len(people) == 1 for people in classes_per_cluster(person))
    after = shown_page(person)
    prelabel(person)  # later features wait for the next page
    process_events(0.3)
    assert shown_page(person) is after
    view = class_pages(person)
    wait_for_enter(view)
    person.point(0)
    person.type_name("Miku")
    settle(person.window)
    assert "Miku" in labels(person.window.worker.root).values()


def test_touched_page_is_kept(person: Person) -> None:
    view, handle = class_pages(person), person.window.windowHandle()
    place = view.view.viewport().mapTo(person.window, person.tile_center(3))
    before, left = shown_page(person), Qt.MouseButton.LeftButton
    gestures = (
        lambda: QTest.keyClick(handle, Qt.Key.Key_Right),
        lambda: QTest.mouseClick(handle, left, pos=place),
        lambda: QTest.wheelEvent(handle, place.toPointF(), QPoint(0, -120)),
    )
    for touch in gestures:
        view._refresh.watch(before)
        touch()
        prelabel(person)
        settle(person.window)
        process_events(0.2)
        assert shown_page(person) is before


def test_key_right_after_rebuild_is_refused(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 60)
    view, before, messages = (
        class_pages(person),
        shown_page(person),
        collect_messages(person.window),
    )
    person.add_class("Miku")
    view._refresh.watch(before)
    prelabel(person)
    wait_until(lambda: shown_page(person) is not before)
    view.send_rows([0], "Miku", "by hand")
    assert messages[-1] == "This page has just appeared: check it, then press Enter again"
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 0)
    settle(person.window)
    view.send_rows([0], "Miku", "by hand")
    settle(person.window)
    assert list(labels(person.window.worker.root).values()).count("Miku") == 1
