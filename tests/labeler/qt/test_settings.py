"""Settings: what is chosen acts at once, and is there the next time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import Opened, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler.qt.learning import Learning
from labeler.qt.preferences import Preferences, Theme
from labeler.qt.program import Program
from labeler.qt.settings_sheet import SettingsSheet
from labeler.qt.theme import is_dark, show_theme
from labeler.qt.translations import install
from labeler.qt.window import LabelerWindow

DOWN = Qt.Key.Key_Down


@pytest.fixture(autouse=True)
def _as_before(application: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    yield
    show_theme("")
    install(application, "en")


@pytest.fixture
def program(application: QApplication) -> Iterator[Program]:
    made = Program(application)
    yield made
    if made.window is not None:
        made.window.close()
    made.shut_down()
    application.processEvents()


def settings_of(window: LabelerWindow) -> SettingsSheet:
    QTest.keyClick(window.view.home, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    return window.findChildren(SettingsSheet)[-1]


def test_the_colours_change_at_once_and_stay(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root)
    settle(window)
    assert not is_dark(window.palette())
    sheet = settings_of(window)
    for theme, dark in ((Theme.LIGHT, False), (Theme.DARK, True)):
        QTest.keyClick(sheet.theme, DOWN)
        QApplication.processEvents()
        assert is_dark(window.palette()) == dark
        assert is_dark(sheet.palette()) == dark
        assert Preferences().theme() is theme
    corner = window.grab().toImage().pixelColor(2, window.height() - 3)
    assert corner.lightness() < 128
    QTest.keyClick(sheet.theme, Qt.Key.Key_Home)
    QApplication.processEvents()
    assert not is_dark(window.palette())
    assert Preferences().theme() is Theme.DESKTOP


def test_another_language_is_shown_as_soon_as_the_settings_are_closed(
    program: Program, few: FaceSet
) -> None:
    window = program.open(few.root, "pages")
    settle(window)
    sheet = settings_of(window)
    sheet.language.setCurrentIndex(sheet.language.findText("日本語"))
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    until(lambda: program.window is not window)
    again = program.window
    assert again is not None
    assert again.isVisible()
    assert not window.isVisible()
    assert again.tabs.tabToolTip(0) == "一覧  F2"
    assert again.shown_name == "pages"
    assert Preferences().language() == "ja"


def test_another_dataset_takes_the_place_of_this_one(
    program: Program, few: FaceSet, tmp_path: Path
) -> None:
    Dataset.create(tmp_path / "other").close()
    Preferences().note_opened(tmp_path / "other")
    window = program.open(few.root)
    settle(window)
    sheet = settings_of(window)
    assert [sheet.datasets.itemData(n) for n in range(sheet.datasets.count())] == [
        few.root,
        tmp_path / "other",
    ]
    sheet.datasets.setFocus()
    assert not sheet.open_button.isEnabled()
    QTest.keyClick(sheet.datasets, DOWN)
    QTest.mouseClick(sheet.open_button, Qt.MouseButton.LeftButton)
    until(lambda: program.window is not window)
    assert program.window is not None
    assert program.window.worker.root == tmp_path / "other"
    assert not window.isVisible()
    assert Preferences().recent()[:2] == [tmp_path / "other", few.root]


def test_what_is_under_way_is_not_cut_short(program: Program, few: FaceSet) -> None:
    window = program.open(few.root)
    settle(window)
    busy = ["files are being taken in"]
    window.worker.watch(lambda: busy[0])
    window.anew.emit(few.root)
    until(lambda: "Not now" in window.statusBar().currentMessage())
    assert program.window is window
    assert window.isVisible()
    busy[0] = ""
