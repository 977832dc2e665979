"""The duplicates view: pages of sets, another best copy, not duplicates, undo."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import Opened, Person, alive, has_tile, messages, settle, until
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from sorting_model import ids_of

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.images.staging import StageBytes
from labeler.duplicates.finder import DuplicateFinder
from labeler.qt.views.duplicates import DuplicatesView
from labeler.qt.window import LabelerWindow
from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

Key = Qt.Key
SIZES = ((320, 240), (240, 180), (160, 120))
GROUPS = 3


@pytest.fixture(scope="module")
def copies_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures in three sizes each, looked at for duplicates."""
    import numpy as np

    root = tmp_path_factory.mktemp("copies") / "d"
    with Dataset.create(root) as dataset, dataset.stage("test") as scratch:
        keep = StageBytes(dataset.originals(scratch))
        cutter = FaceCropper(CropGeometry(), dataset.crops(scratch))
        for number in range(GROUPS):
            scene = paint_scene(plan_scene([CAST[number]], 50 + number, SIZES[0]))
            for size in SIZES:
                buffer = io.BytesIO()
                pixels = scene.resize(size, Image.Resampling.LANCZOS)
                pixels.save(buffer, "JPEG", quality=90)
                measured = keep(buffer.getvalue())
                with dataset.db.transaction():
                    dataset.take_original(
                        keep.store, measured, Origin("folder", f"{number}-{size[0]}")
                    )
                    whole = Face("whole", Box(0, 0, *size), 1.0)
                    cut = cutter.crop(measured.sha256, np.asarray(pixels), whole)
                    dataset.faces.replace(measured.sha256, "whole", "t", [cut])
        DuplicateFinder(dataset, workers=1).search()
    return root


@pytest.fixture
def person(copies_made: Path, opened: Opened, tmp_path: Path) -> Person:
    import shutil

    shutil.copytree(copies_made, tmp_path / "d")
    person = Person(opened(tmp_path / "d", "duplicates"), FaceSet(tmp_path / "d", {}))
    ready(person.window)
    return person


def view_of(person: Person) -> DuplicatesView:
    view = person.window.view
    assert isinstance(view, DuplicatesView)
    return view


def ready(window: LabelerWindow) -> None:
    view = window.view
    assert isinstance(view, DuplicatesView)
    until(lambda: not view._working.busy)
    settle(window)
    until(lambda: not view._working.busy)


def aside(person: Person) -> list[int]:
    """The widths of what was set aside."""
    with Dataset.open(person.window.worker.root) as dataset:
        return sorted(s.box.width for s in dataset.samples.iterate() if not s.kept)


def test_enter_accepts_the_page_and_undo_brings_it_back(person: Person) -> None:
    view = view_of(person)
    assert "Duplicate sets left: 3" in view.title.text()
    assert view.model.rowCount() == GROUPS * len(SIZES)
    until(lambda: has_tile(view.model, 0))
    assert view.view.caption(0) == "320 x 240"
    assert view.view.appearance(0).selected
    assert not view.view.appearance(1).selected
    assert "larger (320 x 240" in view.model.sections[0].title
    person.enter()
    ready(person.window)
    assert aside(person) == [160] * 3 + [240] * 3
    assert "No duplicates" in view.empty.title.text()
    person.window.undo()
    ready(person.window)
    assert aside(person) == []
    assert "Duplicate sets left: 3" in view.title.text()


def test_a_click_keeps_another_copy_for_good(person: Person) -> None:
    view = view_of(person)
    until(lambda: has_tile(view.model, 8))
    widths = [member.width for member in view.sets[0].members]
    place = widths.index(160)
    person.click(place)
    assert view.sets[0].members[0].width == 160
    assert "chosen by a person" in view.model.sections[0].title
    person.enter()
    ready(person.window)
    assert aside(person) == [160, 160, 240, 240, 240, 320]
    # No rule overrules it: neither a new plan nor the command.
    with Dataset.open(person.window.worker.root) as dataset:
        finder = DuplicateFinder(dataset, workers=1)
        finder.search()
        assert finder.apply(finder.plan()) is None
    person.window.undo()
    ready(person.window)
    with Dataset.open(person.window.worker.root) as dataset:
        plan = DuplicateFinder(dataset, workers=1).plan()
        assert all("chosen" not in group.reason for group in plan.sets)


def test_k_keeps_all_of_a_group_and_is_remembered(person: Person) -> None:
    view = view_of(person)
    person.point(4)
    person.press("k", "keep all")
    ready(person.window)
    assert "Duplicate sets left: 2" in view.title.text()
    view.search()
    ready(person.window)
    assert "Duplicate sets left: 2" in view.title.text()
    person.window.undo()
    ready(person.window)
    assert "Duplicate sets left: 3" in view.title.text()


def test_b_shows_two_in_turn(person: Person) -> None:
    view = view_of(person)
    until(lambda: has_tile(view.model, 1))
    person.point(1)
    person.press("b", "blink")
    blink = view.blink
    assert blink.isVisible()
    until(lambda: blink.thumbnails() is not None)
    QTest.keyClick(blink, Key.Key_B)
    assert blink.second
    QTest.keyClick(blink, Key.Key_Space)
    assert not blink.second
    first = blink.grab().toImage()
    blink.switch()
    assert blink.grab().toImage() != first
    QTest.keyClick(blink, Key.Key_Escape)
    assert not blink.isVisible()
    assert view.view.hasFocus() or not person.window.isActiveWindow()


def test_what_another_program_decided_is_left_alone(person: Person) -> None:
    view = view_of(person)
    with Dataset.open(person.window.worker.root) as dataset:
        finder = DuplicateFinder(dataset, workers=1)
        finder.apply(finder.plan())
    message = messages(person.window)
    alive(view)
    view.accept_page()
    until(lambda: bool(message))
    assert "or the samples have changed" in message[-1]


def test_decisions_that_differ_wait_for_a_click(person: Person) -> None:
    view = view_of(person)
    with Dataset.open(person.window.worker.root) as dataset:
        from labeler.sorting.session import SortingSession

        keys = [member.key for member in view.sets[0].members]
        session = SortingSession(dataset)
        session.file(ids_of(session, keys[:1]), "rin")
        session.file(ids_of(session, keys[1:2]), "hana")
    view._plan()
    ready(person.window)
    assert view.sets[-1].decisions == ("hana", "rin")
    assert view.model.sections[-1].title.startswith("⚠")
    person.enter()
    ready(person.window)
    assert "Duplicate sets left: 1" in view.title.text()
    place = [member.label for member in view.sets[0].members].index("hana")
    person.click(place)
    person.enter()
    ready(person.window)
    assert len(aside(person)) == 6
    with Dataset.open(person.window.worker.root) as dataset:
        result = {dataset.samples.get(key).label for key in keys[:2]}
    assert result == {"hana"}


def test_what_was_set_aside_is_seen_and_taken_back(person: Person) -> None:
    """The button leads to the copies; Q says that one is none, for ever, and an undo forgets it."""
    view = view_of(person)
    ready(person.window)
    person.enter()
    until(lambda: view.duplicates_button.isVisible())
    gone = keys_aside(person)
    rail = person.window.class_panel.model
    row = rail.row(rail.rowCount() - 1)
    assert row is not None
    assert (row.name, row.count, row.accepts_drops) == ("Duplicates", len(gone), False)
    assert view.duplicates_button.text() == f"Show duplicates: {len(gone)}"
    QTest.mouseClick(view.duplicates_button, Qt.MouseButton.LeftButton)
    settle(person.window)
    assert person.window.shown_name == "grid"
    assert person.view.model.rowCount() == len(gone) > 1
    assert f"Duplicates · {len(gone)} faces" in person.view.title.text()
    person.add_class("somebody")
    person.point(0)
    person.press(person.keys["somebody"], "key")  # a copy gets no label
    assert "Q or K to restore them" in person.window.statusBar().currentMessage()
    key = person.view.model.tile(0).key
    person.point(0)
    person.press(Key.Key_Q, "back")
    settle(person.window)
    assert keys_aside(person) == gone - {key}
    assert f"· {len(gone) - 1} faces" in person.view.title.text()
    assert rail.row(rail.rowCount() - 1).count == len(gone) - 1
    person.enter()
    assert person.view.model.rowCount() == len(gone) - 1
    with Dataset.open(person.window.worker.root) as dataset:  # no search sets it aside again
        finder = DuplicateFinder(dataset, workers=1)
        finder.search()
        finder.apply(finder.plan())
    assert key not in keys_aside(person)
    person.undo()


def keys_aside(person: Person) -> set[str]:
    with Dataset.open(person.window.worker.root) as dataset:
        return {sample.key for sample in dataset.samples.iterate() if not sample.kept}
