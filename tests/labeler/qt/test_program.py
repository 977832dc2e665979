"""The welcome dialog for a folder without a dataset, and the settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import OpenWindow, settle, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tools_for_tests import picture

from gleanset import Dataset
from labeler.cli import commands
from labeler.qt import app
from labeler.qt.file_import import ImportDialog, ImportState
from labeler.qt.program import Program, Welcome
from labeler.qt.settings import SettingsDialog, get_theme
from labeler.qt.status_bar import Learning
from labeler.qt.theme import is_dark
from labeler.qt.translations import install

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def program(application: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Yield the program without suggestion updates, which take seconds to start."""
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    program = Program(application, "en")
    yield program
    if program.window is not None:
        program.window.close()
    if program.welcome is not None:
        program.welcome.close()
    program.shut_down()
    application.processEvents()
    install(application, "en")


def open_welcome(program: Program, folder: Path) -> Welcome:
    program.begin(folder)
    assert program.welcome is not None
    assert program.window is None
    return program.welcome


def list_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_folder_is_imported_by_two_clicks(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    for place, name in enumerate(("hana", "rei")):
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            (folder / name / f"{seed}.png").write_bytes(picture(seed + 2 * place, kind="PNG"))
    before, root = list_files(folder), folder / "faces-dataset"
    welcome = open_welcome(program, folder)
    assert welcome.take.isChecked()
    assert welcome.target.text() == str(root)
    assert list_files(folder) == before
    QTest.mouseClick(welcome.make, LEFT)
    wait_until(lambda: program.window is not None and program.window.drops.dialog is not None)
    window = program.window
    assert window is not None
    dialog = window.drops.dialog
    assert isinstance(dialog, ImportDialog)
    wait_until(lambda: dialog.report is not None)
    assert dialog.summary.text() == "4 new images\nFolders: hana 2, rei 2"
    assert window.worker.root == root
    assert program.welcome is None
    QTest.mouseClick(dialog.start_button, LEFT)
    wait_until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert window.view.page is not None  # type: ignore[attr-defined]
    assert [path for path in list_files(folder) if root not in (path, *path.parents)] == before
    with Dataset.open(root) as dataset:
        assert dataset.samples.count() == 4


def test_enter_creates_dataset_in_empty_folder(program: Program, tmp_path: Path) -> None:
    welcome = open_welcome(program, tmp_path / "new")
    assert not welcome.take.isVisible()
    QTest.keyClick(welcome.target, Qt.Key.Key_Return)
    wait_until(lambda: program.window is not None)
    assert (tmp_path / "new" / "catalog.sqlite").is_file()


@pytest.mark.damages("spoils a catalogue")
def test_unusable_folder_is_explained(program: Program, tmp_path: Path, faces: FaceSet) -> None:
    (faces.root / "catalog.sqlite").write_bytes(b"no catalogue at all" * 1000)
    welcome = open_welcome(program, tmp_path / "new")
    welcome.opened.emit(faces.root, [])
    wait_until(lambda: "damaged" in welcome.problem.text() or "catalog" in welcome.problem.text())
    assert program.welcome is welcome
    (tmp_path / "file").write_text("no folder")
    welcome.target.setText(str(tmp_path / "file"))
    QTest.mouseClick(welcome.make, LEFT)
    assert "choose another folder" in welcome.problem.text()


def test_cli_folder_argument_opens_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path, str | None]] = []
    monkeypatch.setattr(app, "open_window", lambda root, view, *_, **__: calls.append((root, view)))
    commands.main([str(tmp_path), "--view", "pages"], standalone_mode=False)
    assert calls == [(tmp_path, "pages")]


def test_settings_change_theme_now_and_language_later(
    open_window: OpenWindow, faces: FaceSet, application: QApplication
) -> None:
    window, down = open_window(faces.root, size=(700, 500)), Qt.Key.Key_Down
    assert not is_dark(window.palette())
    QTest.keyClick(window.view.home, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    dialog = window.findChildren(SettingsDialog)[-1]
    for theme, dark in (("light", False), ("dark", True)):
        QTest.keyClick(dialog.theme, down)
        QApplication.processEvents()
        assert (is_dark(window.palette()), is_dark(dialog.palette())) == (dark, dark)
        assert get_theme() == theme
    corner = window.grab().toImage().pixelColor(2, window.height() - 3)
    assert corner.lightness() < 128
    QTest.keyClick(dialog.theme, Qt.Key.Key_Home)
    QApplication.processEvents()
    assert not is_dark(window.palette())
    assert get_theme() == ""
    dialog.language.setCurrentIndex(dialog.language.findText("日本語"))
    dialog.reject()
    program = Program(application)
    try:
        program.open(faces.root)
        assert program.window is not None
        assert program.window.tabs.tabToolTip(0) == "グリッド  F2"
    finally:
        program.shut_down()
        install(application, "en")
