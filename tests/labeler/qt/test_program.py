"""The windows of the program: welcome, settings, other datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import Opened, drop_files, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tools_for_tests import picture

from gleanset import Dataset
from labeler import cli_window
from labeler.cli import commands
from labeler.qt.file_import import ImportState
from labeler.qt.program import Program, Welcome
from labeler.qt.settings import Preferences, SettingsDialog, Theme
from labeler.qt.status_bar import Learning
from labeler.qt.theme import is_dark
from labeler.qt.translations import install
from labeler.qt.window import LabelerWindow

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def program(application: QApplication, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """The program without its learner, which takes seconds to begin."""
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    made = Program(application, "en")
    yield made
    if made.window is not None:
        made.window.close()
        made.window.close()
    if made.welcome is not None:
        made.welcome.close()
    made.shut_down()
    application.processEvents()
    install(application, "en")


def welcomed(program: Program, folder: Path) -> Welcome:
    program.begin(folder)
    assert program.welcome is not None
    assert program.window is None
    return program.welcome


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two class folders of small pictures."""
    folder = tmp_path / "faces"
    for place, name in enumerate(("hana", "rei")):
        (folder / name).mkdir(parents=True)
        for seed in range(2):
            (folder / name / f"{seed}.png").write_bytes(picture(seed + 2 * place, kind="PNG"))
    return folder


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_nothing_is_written_before_a_person_says_so(program: Program, faces: Path) -> None:
    before = everything(faces)
    welcome = welcomed(program, faces)
    assert "No dataset in" in welcome.findChildren(type(welcome.target_text))[0].text()
    until(lambda: welcome.take.isVisible())
    assert welcome.form.summary.text() == "4 new images\nWeak labels: hana 2, rei 2"
    assert "faces-dataset" in welcome.target_text.text()
    welcome.close()
    assert everything(faces) == before


def test_what_lies_there_is_taken_in_by_one_click(program: Program, faces: Path) -> None:
    before = everything(faces)
    welcome = welcomed(program, faces)
    until(lambda: welcome.take.isChecked())
    QTest.mouseClick(welcome.make, LEFT)
    until(lambda: program.window is not None)
    window = program.window
    assert window is not None
    root = faces / "faces-dataset"
    assert window.worker.root == root
    assert program.welcome is None
    until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert window.view.model.rowCount() == 4  # type: ignore[attr-defined]
    assert [path for path in everything(faces) if root not in (path, *path.parents)] == before
    with Dataset.open(root) as dataset:
        assert dataset.settings.name == "faces-dataset"
    assert Preferences().recent_datasets()[0] == root


def test_an_empty_folder_becomes_the_dataset_by_enter(program: Program, tmp_path: Path) -> None:
    welcome = welcomed(program, tmp_path / "new")
    assert not welcome.take.isVisible()
    QTest.keyClick(welcome.name, Qt.Key.Key_Return)
    until(lambda: program.window is not None)
    assert (tmp_path / "new" / "catalog.sqlite").is_file()


def test_dropped_pictures_are_offered_and_a_dropped_dataset_is_opened(
    program: Program, faces: Path, few: FaceSet, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    welcome = welcomed(program, tmp_path / "empty")
    drop_files(welcome, [tmp_path / "nothing.txt"])
    assert welcome.problem.text() == "No images or videos found"
    drop_files(welcome, [faces / "hana"])
    drop_files(welcome, [faces / "rei" / "0.png"])
    until(lambda: welcome.take.isChecked())
    assert welcome.form.summary.text() == "3 new images\nWeak labels: hana 2"
    assert welcome.problem.text() == ""
    drop_files(welcome, [few.root])
    until(lambda: program.window is not None)
    assert program.window is not None
    assert program.window.worker.root == few.root
    assert everything(tmp_path / "empty") == []


def test_datasets_that_lie_there_or_were_opened_before_are_listed(
    program: Program, few: FaceSet, tmp_path: Path
) -> None:
    Dataset.create(tmp_path / "in" / "one").close()
    Preferences().add_recent(tmp_path / "gone")
    Preferences().add_recent(few.root)
    welcome = welcomed(program, tmp_path / "in")
    listed = [welcome.datasets.item(n).text().split("\n")[0] for n in range(2)]
    assert listed == ["one", few.root.name]
    assert welcome.datasets.count() == 2
    QTest.mouseClick(welcome.open_button, LEFT)
    until(lambda: program.window is not None)
    assert program.window is not None
    assert program.window.worker.root == tmp_path / "in" / "one"


@pytest.mark.damages("spoils a catalogue")
def test_what_cannot_be_opened_or_made_says_why(
    program: Program, tmp_path: Path, few: FaceSet
) -> None:
    (few.root / "catalog.sqlite").write_bytes(b"no catalogue at all" * 1000)
    Preferences().add_recent(few.root)
    welcome = welcomed(program, tmp_path / "new")
    welcome.datasets.setCurrentRow(0)
    QTest.mouseClick(welcome.open_button, LEFT)
    until(lambda: "damaged" in welcome.problem.text() or "catalog" in welcome.problem.text())
    assert program.welcome is welcome
    (tmp_path / "file").write_text("no folder")
    welcome.location.setText(str(tmp_path / "file"))
    QTest.mouseClick(welcome.make, LEFT)
    assert "choose another folder" in welcome.problem.text()


def test_a_folder_in_the_place_of_a_command_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str | None]] = []
    monkeypatch.setattr(
        cli_window, "show", lambda job, wished: asked.append((job.root, wished.view))
    )
    commands.main([str(tmp_path), "--view", "pages"], standalone_mode=False)
    assert asked == [(tmp_path, "pages")]


DOWN = Qt.Key.Key_Down


def settings_of(window: LabelerWindow) -> SettingsDialog:
    QTest.keyClick(window.view.home, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    return window.findChildren(SettingsDialog)[-1]


def test_the_colours_change_at_once_and_stay(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root)
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
    assert again.tabs.tabToolTip(0) == "グリッド  F2"
    assert again.shown_name == "pages"
    assert Preferences().language() == "ja"


def test_another_dataset_takes_the_place_of_this_one(
    program: Program, few: FaceSet, tmp_path: Path
) -> None:
    Dataset.create(tmp_path / "other").close()
    Preferences().add_recent(tmp_path / "other")
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
    assert Preferences().recent_datasets()[:2] == [tmp_path / "other", few.root]


def test_what_is_under_way_is_not_cut_short(program: Program, few: FaceSet) -> None:
    window = program.open(few.root)
    settle(window)
    busy = ["files are being taken in"]
    window.worker.add_unfinished_check(lambda: busy[0])
    window.reopen_requested.emit(few.root)
    until(lambda: "Not now" in window.statusBar().currentMessage())
    assert program.window is window
    assert window.isVisible()
    busy[0] = ""
