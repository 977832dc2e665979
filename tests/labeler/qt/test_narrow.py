"""A small window, a page that is still to come, and what goes wrong for a moment only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet, propose
from person import Opened, Person, has_tile, settle, until
from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QToolButton

from gleanset import Dataset
from gleanset.db.sorting import SampleTiles
from labeler.qt import pictures
from labeler.qt.grid import model as tile_model
from labeler.qt.grid.model import TileModel
from labeler.qt.pictures import BrokenThumbnail
from labeler.qt.views.class_pages import ClassPagesView
from labeler.qt.views.registry import VIEWS

SMALL = (900, 600)


def pages(opened: Opened, faces: FaceSet, size: tuple[int, int] = SMALL) -> ClassPagesView:
    window = opened(faces.root, "pages", size)
    settle(window)
    assert isinstance(window.view, ClassPagesView)
    return window.view


def test_a_narrow_window_has_a_header_of_two_lines_and_no_look_panel(
    opened: Opened, few: FaceSet
) -> None:
    propose(few, 0.9)
    view = pages(opened, few)
    window, line = view.window(), view.fontMetrics().height()
    assert not window.details.isVisible()
    assert view.header.title.width() > 400
    assert view.header.title.height() < 2 * line
    assert view.header.height() < 5 * line
    QTest.keyClick(view.view, Qt.Key.Key_F9)
    assert window.details.isVisible()
    window.resize(1440, 900)
    settle(window)
    assert window.details.isVisible()
    assert view.header.height() < 4 * line
    window.resize(*SMALL)
    settle(window)
    assert not window.details.isVisible()


@pytest.mark.parametrize("size", [SMALL, (1440, 900)])
def test_all_tabs_are_seen_whole_with_no_arrows_beside_them(
    opened: Opened, few: FaceSet, size: tuple[int, int]
) -> None:
    tabs = opened(few.root, size=size).tabs
    assert not [arrow for arrow in tabs.findChildren(QToolButton) if arrow.isVisible()]
    last = tabs.tabRect(tabs.count() - 1)
    assert last.right() <= tabs.width()
    for number in range(tabs.count()):
        wide = tabs.fontMetrics().horizontalAdvance(tabs.tabText(number))
        assert tabs.tabRect(number).width() > wide
        assert VIEWS[number].key in tabs.tabToolTip(number)


def test_no_button_is_there_before_the_page_it_is_for(opened: Opened, few: FaceSet) -> None:
    header = opened(few.root, "pages").view.header
    buttons = (header.file_button, header.skip_button, header.name)
    assert not any(button.isVisible() for button in buttons)


def test_details_that_come_too_late_leave_no_block_blank(
    opened: Opened, few: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is bounded, and an answer may be to what was shown before."""
    worker = opened(few.root, "sorting").worker
    model = TileModel(worker)
    with Dataset.open(few.root) as dataset:
        ids = list(range(1, 1 + dataset.samples.count()))
    monkeypatch.setattr(tile_model, "MOST_KEPT", 10)
    model.show(ids[:30])
    model.tile(0)
    until(lambda: model.tile(0) is not None)
    model.refresh()
    model.tile(0)
    model.show(ids[30:])
    until(lambda: not worker.busy)
    until(lambda: model.tile(0) is not None, seconds=5)


def test_a_picture_that_cannot_be_read_for_a_moment_is_shown_when_it_can(
    opened: Opened, few: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "AGAIN_MS", 200)
    for name in ("images", "crops"):
        shutil.move(few.root / name, tmp_path / name)
    person = Person(opened(few.root, "sorting"), few)
    grid = person.view.view
    until(lambda: has_tile(person.view.model, 0))
    until(lambda: isinstance(grid.appearance(0).picture, BrokenThumbnail))
    for name in ("images", "crops"):
        shutil.move(tmp_path / name, few.root / name)
    until(lambda: grid._thumbs._kept and not broken(person))
    assert isinstance(grid.appearance(0).picture, QPixmap)


def broken(person: Person) -> bool:
    kept = person.window.thumbs._kept.values()
    return any(isinstance(picture, BrokenThumbnail) for picture in kept)


def test_a_long_name_moves_no_face_from_below_the_mouse(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root, "sorting", (1440, 900))
    settle(window)
    with Dataset.open(few.root) as dataset:
        (tile,) = SampleTiles(dataset.db).of([1]).values()
    width = window.details.width()
    for title, label in (("0123456789abcdef" * 8, "rei"), ("a.jpg", "W" * 80)):
        window.details.show_tile(tile._replace(title=title, label=label))
        settle(window)
        assert window.details.width() == width
