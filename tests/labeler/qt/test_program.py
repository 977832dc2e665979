"""The windows of the program: welcome, settings, other datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import OpenWindow, drop_files, settle, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.dataset import is_dataset
from labeler.cli import commands
from labeler.qt import app
from labeler.qt.file_import import ImportState
from labeler.qt.import_dialogs import ImportDialog
from labeler.qt.program import Program, Welcome
from labeler.qt.settings import Preferences, SettingsDialog, Theme
from labeler.qt.status_bar import Learning
from labeler.qt.theme import is_dark
from labeler.qt.translations import install
from labeler.qt.window import LabelerWindow

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def program(application: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """Yield the program without suggestion updates, which take seconds to start."""
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    program = Program(application, "en")
    yield program
    if program.window is not None:
        program.window.close()
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


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Make two class folders of small images."""
    folder = tmp_path / "faces"
    for place, name in enumerate(("hana", "rei")):
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            (folder / name / f"{seed}.png").write_bytes(picture(seed + 2 * place, kind="PNG"))
    return folder


def list_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_welcome_writes_nothing(program: Program, class_folders: Path) -> None:
    before = list_files(class_folders)
    welcome = open_welcome(program, class_folders)
    assert "No dataset in" in welcome.findChildren(type(welcome.target_text))[0].text()
    assert welcome.take.isChecked()
    assert "faces-dataset" in welcome.target_text.text()
    welcome.close()
    assert list_files(class_folders) == before


def wait_for_import_dialog(program: Program) -> ImportDialog:
    wait_until(lambda: program.window is not None and program.window.drops.dialog is not None)
    dialog = program.window.drops.dialog  # type: ignore[union-attr]
    assert isinstance(dialog, ImportDialog)
    wait_until(lambda: dialog.report is not None)
    return dialog


def test_folder_is_imported_by_two_clicks(program: Program, class_folders: Path) -> None:
    before = list_files(class_folders)
    welcome = open_welcome(program, class_folders)
    QTest.mouseClick(welcome.make, LEFT)
    dialog = wait_for_import_dialog(program)
    assert dialog.summary.text() == "4 new images\nFolders: hana 2, rei 2"
    window = program.window
    assert window is not None
    root = class_folders / "faces-dataset"
    assert window.worker.root == root
    assert program.welcome is None
    QTest.mouseClick(dialog.start_button, LEFT)
    wait_until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert window.view.model.rowCount() == 4  # type: ignore[attr-defined]
    assert [
        path for path in list_files(class_folders) if root not in (path, *path.parents)
    ] == before
    with Dataset.open(root) as dataset:
        assert dataset.settings.name == "faces-dataset"
    assert Preferences().recent_datasets()[0] == root


def test_enter_creates_dataset_in_empty_folder(program: Program, tmp_path: Path) -> None:
    welcome = open_welcome(program, tmp_path / "new")
    assert not welcome.take.isVisible()
    QTest.keyClick(welcome.name, Qt.Key.Key_Return)
    wait_until(lambda: program.window is not None)
    assert (tmp_path / "new" / "catalog.sqlite").is_file()


def test_dropped_images_create_dataset(
    program: Program, class_folders: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    welcome = open_welcome(program, tmp_path / "empty")
    drop_files(welcome, [tmp_path / "nothing.txt"])
    assert welcome.problem.text() == "No images or videos found"
    assert list_files(tmp_path / "empty") == []
    drop_files(welcome, [class_folders / "hana", class_folders / "rei" / "0.png"])
    assert wait_for_import_dialog(program).summary.text() == "3 new images\nFolders: hana 2"
    assert is_dataset(tmp_path / "empty")


def test_dropped_dataset_is_opened(program: Program, faces: FaceSet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    drop_files(open_welcome(program, tmp_path / "empty"), [faces.root])
    wait_until(lambda: program.window is not None)
    assert program.window is not None
    assert program.window.worker.root == faces.root
    assert list_files(tmp_path / "empty") == []


def test_nearby_and_recent_datasets_are_listed(
    program: Program, faces: FaceSet, tmp_path: Path
) -> None:
    Dataset.create(tmp_path / "in" / "one").close()
    Preferences().add_recent(tmp_path / "gone")
    Preferences().add_recent(faces.root)
    welcome = open_welcome(program, tmp_path / "in")
    listed = [welcome.datasets.item(n).text().split("\n")[0] for n in range(2)]
    assert listed == ["one", faces.root.name]
    assert welcome.datasets.count() == 2
    QTest.mouseClick(welcome.open_button, LEFT)
    wait_until(lambda: program.window is not None)
    assert program.window is not None
    assert program.window.worker.root == tmp_path / "in" / "one"


@pytest.mark.damages("spoils a catalogue")
def test_unusable_folder_is_explained(program: Program, tmp_path: Path, faces: FaceSet) -> None:
    (faces.root / "catalog.sqlite").write_bytes(b"no catalogue at all" * 1000)
    Preferences().add_recent(faces.root)
    welcome = open_welcome(program, tmp_path / "new")
    welcome.datasets.setCurrentRow(0)
    QTest.mouseClick(welcome.open_button, LEFT)
    wait_until(lambda: "damaged" in welcome.problem.text() or "catalog" in welcome.problem.text())
    assert program.welcome is welcome
    (tmp_path / "file").write_text("no folder")
    welcome.location.setText(str(tmp_path / "file"))
    QTest.mouseClick(welcome.make, LEFT)
    assert "choose another folder" in welcome.problem.text()


def test_cli_folder_argument_opens_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path, str | None]] = []
    monkeypatch.setattr(app, "open_window", lambda root, view, *_, **__: calls.append((root, view)))
    commands.main([str(tmp_path), "--view", "pages"], standalone_mode=False)
    assert calls == [(tmp_path, "pages")]


DOWN = Qt.Key.Key_Down


def open_settings(window: LabelerWindow) -> SettingsDialog:
    QTest.keyClick(window.view.home, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    return window.findChildren(SettingsDialog)[-1]


def test_theme_changes_immediately(open_window: OpenWindow, faces: FaceSet) -> None:
    window = open_window(faces.root)
    assert not is_dark(window.palette())
    sheet = open_settings(window)
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


def test_language_changes_after_closing_settings(program: Program, faces: FaceSet) -> None:
    window = program.open(faces.root, "pages")
    settle(window)
    sheet = open_settings(window)
    sheet.language.setCurrentIndex(sheet.language.findText("日本語"))
    QTest.keyClick(sheet, Qt.Key.Key_Escape)
    wait_until(lambda: program.window is not window)
    again = program.window
    assert again is not None
    assert again.isVisible()
    assert not window.isVisible()
    assert again.tabs.tabToolTip(0) == "グリッド  F2"
    assert again.shown_name == "pages"
    assert Preferences().language() == "ja"


def test_settings_open_other_dataset(program: Program, faces: FaceSet, tmp_path: Path) -> None:
    Dataset.create(tmp_path / "other").close()
    Preferences().add_recent(tmp_path / "other")
    window = program.open(faces.root)
    settle(window)
    sheet = open_settings(window)
    assert [sheet.datasets.itemData(n) for n in range(sheet.datasets.count())] == [
        faces.root,
        tmp_path / "other",
    ]
    sheet.datasets.setFocus()
    assert not sheet.open_button.isEnabled()
    QTest.keyClick(sheet.datasets, DOWN)
    QTest.mouseClick(sheet.open_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: program.window is not window)
    assert program.window is not None
    assert program.window.worker.root == tmp_path / "other"
    assert not window.isVisible()
    assert Preferences().recent_datasets()[:2] == [tmp_path / "other", faces.root]


def test_unfinished_work_blocks_reopening(program: Program, faces: FaceSet) -> None:
    window = program.open(faces.root)
    settle(window)
    busy = ["files are being taken in"]
    window.worker.add_unfinished_check(lambda: busy[0])
    window.reopen_requested.emit(faces.root)
    wait_until(lambda: "Not now" in window.statusBar().currentMessage())
    assert program.window is window
    assert window.isVisible()
    busy[0] = ""
