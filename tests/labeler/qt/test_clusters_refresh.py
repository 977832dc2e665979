"""An untouched clusters page is rebuilt with better features, never while it is being used."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import FaceSet, labels
from person import Person, alive, class_pages, messages, settle, until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from window_fixtures import Opened

from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name, save_vectors
from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.db.sorting import SortingQueue
from labeler.qt import window
from labeler.qt.views import class_pages as pages_module
from labeler.qt.views import labeling
from labeler.sorting.page_layout import ClassPage

ANEW = "Clusters updated with new features"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "REFRESH_MS", 40)


@pytest.fixture
def person(unnamed: Person) -> Person:
    return unnamed


def page_of(person: Person) -> ClassPage:
    page = class_pages(person).page
    assert page is not None
    return page


def prelabel(person: Person) -> None:
    """What a network says beside the window: everybody as far from others as can be."""
    with Dataset.open(person.window.worker.root) as dataset:
        queue = SortingQueue(dataset.db)
        samples = queue.get_features(queue.list_waiting(1000))
        who = sorted(set(person.truth.values()))
        rows = np.eye(len(who), dtype=np.float32)[[who.index(person.truth[s.key]) for s in samples]]
        names = [make_sample_vector_name(sample.key, sample.region) for sample in samples]
        Proposals(dataset.db).replace([], {VECTORS_FACT: save_vectors(dataset, names, rows)})


def look_on(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def people_in_groups(person: Person) -> list[set[str]]:
    page, first, result = page_of(person), 0, []
    for size in page.cluster_sizes:
        result.append({person.who(row) for row in range(first, first + size)})
        first += size
    return result


def test_faces_stand_in_a_plain_grid_until_all_are_measured(
    opened: Opened, drawn_few: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "EMBEDDING_DELAY_MS", 60_000)  # begun by hand below
    shutil.copytree(drawn_few.root, tmp_path / "d")
    with Dataset.open(tmp_path / "d") as dataset:
        dataset.db.execute("DELETE FROM quality")
    person = Person(opened(tmp_path / "d", "pages"), FaceSet(tmp_path / "d", drawn_few.truth))
    view, before, titles = class_pages(person), page_of(person), set[str]()
    message = messages(person.window)
    assert (before.kind, len(before.tiles)) == ("plain", 60)
    assert view.header.title.text() == ("Comparing faces…  Clusters appear automatically")
    assert not view.header.name.isVisible()
    alive(view)
    QTest.keyClick(view.view, Qt.Key.Key_Return)
    view.name_page("Miku")  # as by a name that was begun for the page before
    settle(person.window)
    assert message[0] == "Point at a face and press / to name it"
    assert page_of(person) is before
    assert set(labels(tmp_path / "d").values()) == {None}
    view._refresh.watch(before)  # nobody has touched it
    person.window.embedding_task.left.connect(lambda left: titles.add(view.header.title.text()))
    person.window.embedding_task.begin()
    until(lambda: page_of(person) is not before)
    settle(person.window)
    assert page_of(person).kind == "groups"
    assert any("44 left" in title for title in titles)
    assert ANEW not in message
    result = people_in_groups(person)
    assert sum(len(people) == 1 for people in result) >= 0.8 * len(result)


def test_who_only_watches_sees_better_groups_and_why(person: Person) -> None:
    before, message = page_of(person), list[str]()
    person.window.worker.message.connect(lambda text, bad: message.append(text))
    look_on(0.3)
    assert page_of(person) is before
    prelabel(person)
    until(lambda: page_of(person) is not before)
    assert message == [ANEW]
    settle(person.window)
    assert all(len(people) == 1 for people in people_in_groups(person))
    after = page_of(person)
    prelabel(person)  # later ones wait for the next page
    look_on(0.3)
    assert page_of(person) is after
    view = class_pages(person)
    alive(view)
    person.point(0)
    person.write("Miku")
    settle(person.window)
    assert "Miku" in labels(person.window.worker.root).values()


def test_what_was_touched_stays(person: Person) -> None:
    view, handle = class_pages(person), person.window.windowHandle()
    place = view.view.viewport().mapTo(person.window, person.place(3))
    before, left = page_of(person), Qt.MouseButton.LeftButton
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
        look_on(0.2)
        assert page_of(person) is before


def test_a_key_that_was_meant_for_the_groups_before_is_not_taken(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 60)
    view, before, message = class_pages(person), page_of(person), messages(person.window)
    person.add_class("Miku")
    view._refresh.watch(before)
    prelabel(person)
    until(lambda: page_of(person) is not before)
    view.send_rows([0], "Miku", "by hand")
    assert message[-1] == "This page has just appeared: check it, then press Enter again"
    monkeypatch.setattr(labeling, "ENTER_DELAY_SECONDS", 0)
    settle(person.window)
    view.send_rows([0], "Miku", "by hand")
    settle(person.window)
    assert list(labels(person.window.worker.root).values()).count("Miku") == 1
