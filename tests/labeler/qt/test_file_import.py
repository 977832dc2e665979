"""Import of dropped files; the welcome dialog, and the settings."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click import UsageError
from drawn_faces import FaceSet, labels
from person import FakeCommands, OpenWindow, drop_files, settle, wait_until
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QRadioButton
from tools_for_tests import run_here, write_pictures

from gleanset import Dataset
from harvest.source_names import SOURCES
from labeler.cli import commands
from labeler.qt import app
from labeler.qt.file_import import ImportBar, ImportDialog, ImportState
from labeler.qt.program import Program, Welcome
from labeler.qt.settings import SettingsDialog, get_theme
from labeler.qt.status_bar import Learning
from labeler.qt.theme import COLOURS, is_dark, show_theme
from labeler.qt.translations import install
from labeler.qt.widgets import KeyHints
from labeler.qt.window import LabelerWindow

StartImport = Callable[..., LabelerWindow]
PROGRESS = {"stage": "files", "done": 30, "unit": "files"}
BEGUN_HARVEST = f"""
import sys, time
if '--simulate' in sys.argv:
    print('{{"candidates": 3}}')
    sys.exit()
print('{json.dumps(PROGRESS)}', file=sys.stderr, flush=True)
"""
HARVEST = BEGUN_HARVEST + """print('{"added": 3, "duplicate": 1}')"""
WAITING_HARVEST = BEGUN_HARVEST + "time.sleep(60)"
FACECROP = """
import sys
print('{"images": 3, "faces": 4}')
"""


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Make a folder of large images."""
    return write_pictures(tmp_path / "scenes", 3, size=(1280, 720))


def wait_for_dialog(window: LabelerWindow) -> ImportDialog:
    wait_until(lambda: window.drops.dialog is not None)
    dialog = window.drops.dialog
    assert isinstance(dialog, ImportDialog)
    wait_until(lambda: dialog.summary.text() != "Scanning files…")
    return dialog


def import_bar(window: LabelerWindow) -> ImportBar:
    return window.findChildren(ImportBar)[0]


def test_drop_shows_preview_and_imports(
    open_window: OpenWindow, faces: FaceSet, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in" / "mai", 2)
    write_pictures(tmp_path / "in" / "yui", 2, first=2)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    (tmp_path / "in" / "more.zip").write_bytes(b"PK")
    ignored = (
        "1 archive is ignored: drop archives directly\n1 file is ignored: not an image"
    )
    window = open_window(faces.root)
    drop_files(window, [tmp_path / "in"])
    dialog = wait_for_dialog(window)
    summary = dialog.summary.text()
    assert summary == f"4 new files\n{ignored}\nFolders: mai (2), yui (2)"
    radios = dialog.findChildren(QRadioButton)
    assert radios[0].isChecked(), "faces, as in the dataset"
    for radio in radios:
        QTest.mouseClick(
            radio, Qt.MouseButton.LeftButton, pos=QPoint(8, radio.height() // 2)
        )
        assert [other for other in radios if other.isChecked()] == [radio]
    assert dialog.names.isChecked()
    QTest.keyClick(dialog, Qt.Key.Key_Return)
    wait_until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert (
        import_bar(window).text.text()
        == "Finished  ·  4 new images  ·  4 images prepared"
    )
    with Dataset.open(faces.root) as dataset:
        origins = [o for i in dataset.images.iterate() for o in i.origins if o.hint]
        assert dataset.samples.count() == 64
    assert sorted(str(o.hint) for o in origins) == ["mai", "mai", "yui", "yui"]
    assert {o.source for o in origins} == {"folder"}
    drop_files(window, [tmp_path / "in"])
    dialog = wait_for_dialog(window)
    assert dialog.summary.text().startswith(f"4 already in the dataset\n{ignored}\n")
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert window.drops.dialog is None
    assert not window.imports.running
    drop_files(window, [faces.root])  # a dataset is not imported
    dialog = wait_for_dialog(window)
    assert not dialog.start_button.isEnabled()
    assert dialog.summary.text()
    dialog.reject()


@pytest.fixture
def start_import(
    open_window: OpenWindow, faces: FaceSet, scenes: Path, fake_commands: FakeCommands
) -> StartImport:
    """Return a function that replaces our commands, drops a folder and accepts the dialog."""

    def start(**programs: str) -> LabelerWindow:
        fake_commands(**programs)
        window = open_window(faces.root)
        drop_files(window, [scenes])
        wait_for_dialog(window).accept()
        return window

    return start


def test_commands_run_in_order(
    start_import: StartImport, scenes: Path, tmp_path: Path
) -> None:
    videos = '"candidates": 3, "ignored_reasons": {"video: use harvest frames": 1}'
    (scenes / "clip.mp4").write_bytes(b"")
    harvest = HARVEST.replace('"candidates": 3', videos)
    window = start_import(harvest=harvest, pipeline=HARVEST, facecrop=FACECROP)
    assert import_bar(window).isVisible()
    assert import_bar(window).stop.isVisible()
    wait_until(lambda: window.imports.state is ImportState.DONE)
    result = "Finished  ·  6 new images  ·  2 duplicates left out  ·  4 faces detected"
    assert import_bar(window).text.text() == result
    calls = (tmp_path / "programs" / "calls").read_text().splitlines()
    names = [(Path(line.split()[0]).stem, line.split()[1]) for line in calls]
    assert "--simulate" in calls[0]
    assert names[1:] == [
        ("harvest", "folder"),
        ("pipeline", "episodes"),
        ("facecrop", "run"),
    ]
    QTest.mouseClick(import_bar(window).close_button, Qt.MouseButton.LeftButton)
    assert not import_bar(window).isVisible()


def test_files_imported_with_other_labels_are_not_new(
    open_window: OpenWindow, faces: FaceSet, scenes: Path
) -> None:
    run_here("harvest.cli", "folder", scenes, "-d", faces.root).checked()
    drop_files(window := open_window(faces.root), [scenes])
    assert (
        wait_for_dialog(window).summary.text().startswith("3 already in the dataset\n")
    )


def test_import_is_stopped_and_resumed(
    start_import: StartImport, fake_commands: FakeCommands
) -> None:
    window = start_import(harvest=WAITING_HARVEST, facecrop=FACECROP)
    wait_until(lambda: bool(window.imports.stage.name))
    assert import_bar(window).text.text() == "Importing images: 30  ·  step 1 of 2"
    QTest.keyClick(window.view.home, "1")  # the window stays usable
    QTest.mouseClick(import_bar(window).stop, Qt.MouseButton.LeftButton)
    assert not window.imports.running
    assert import_bar(window).text.text() == "Stopped; finished steps are kept"
    fake_commands(harvest=HARVEST)
    QTest.mouseClick(import_bar(window).resume_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: window.imports.state is ImportState.DONE)
    result = "Finished  ·  3 new images  ·  1 duplicate left out  ·  4 faces detected"
    assert import_bar(window).text.text() == result
    # It goes with a decision, once read.
    for name, is_read in (
        ("sora", False),
        ("mai", True),
    ):
        window.imports._reading.setInterval(0 if is_read else 60_000)
        window.imports._reading.start()
        QTest.qWait(10)
        window.worker.decide(lambda session, name=name: session.add_class(name))
        settle(window)
        assert import_bar(window).isHidden() == is_read


def test_failed_command_shows_hint(start_import: StartImport) -> None:
    window = start_import(
        harvest="if '--simulate' in sys.argv: sys.exit(print('{\"candidates\": 1}'))\n"
        "print('odd', file=sys.stderr)\n"
        "print('harvest: no space left\\nhint: make some', file=sys.stderr)\nsys.exit(3)\n",
        facecrop=FACECROP,
    )
    wait_until(lambda: window.imports.state is ImportState.FAILED)
    assert import_bar(window).text.text() == (
        "Incomplete  ·  4 faces detected  ·  no space left – make some"
    )
    assert import_bar(window).resume_button.text() == "Retry"
    assert import_bar(window).resume_button.isVisible()


def test_second_close_stops_import(start_import: StartImport) -> None:
    window = start_import(harvest=WAITING_HARVEST, facecrop=FACECROP)
    wait_until(lambda: bool(window.imports.stage.name))
    number = window.imports.queue.process.processId()
    window.imports.run_command("labeler", "split")
    assert not window.close()
    assert "a command is running" in window.statusBar().currentMessage()
    assert window.close()
    with pytest.raises(OSError):
        os.kill(number, 0)


def test_video_dropped_on_class_gets_weak_label(
    open_window: OpenWindow, faces: FaceSet, tmp_path: Path, fake_commands: FakeCommands
) -> None:
    result = {
        "faces": 0,
        "without_face": 2,
        "unreadable_videos": {"files": ["b.mp4: not a video"]},
    }
    fake_commands(harvest=HARVEST, facecrop=f"print({json.dumps(json.dumps(result))})")
    (tmp_path / "clip.mp4").write_bytes(b"")
    window = open_window(faces.root)
    window.class_panel.list.files_dropped.emit([tmp_path / "clip.mp4"], "hana")
    wait_for_dialog(window).accept()
    wait_until(lambda: window.imports.state is ImportState.DONE)
    text = import_bar(window).text.text()
    assert (
        "2 images without a face (F4: draw boxes)  ·  no new faces  ·  the default"
        in text
    )
    assert text.endswith("  ·  Not readable: b.mp4: not a video")
    assert "--label hana" in (tmp_path / "programs" / "calls").read_text()
    assert set(labels(faces.root).values()) == {None}


SEARCH_PROGRESS = {"stage": "hana", "done": 7, "total": 12, "unit": "images"}
SEARCH = f"""
import sys
print('{json.dumps(SEARCH_PROGRESS)}', file=sys.stderr, flush=True)
limit = sys.argv[sys.argv.index('--limit') + 1]
print('{{"no_results": true}}' if 'nobody' in sys.argv[2] else '{{"added": %s}}' % limit)
"""


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("hana", "Finished  ·  20 new images  ·  4 faces detected"),
        (
            "nobody",
            "Incomplete  ·  4 faces detected  ·  The site finds nothing for these words",
        ),
    ],
)
def test_search_runs_with_chosen_words_and_limit(
    open_window: OpenWindow,
    faces: FaceSet,
    fake_commands: FakeCommands,
    tmp_path: Path,
    words: str,
    result: str,
) -> None:
    fake_commands(harvest=SEARCH, facecrop=FACECROP)
    window = open_window(faces.root)
    shown = set[str]()
    window.imports.changed.connect(lambda: shown.add(import_bar(window).text.text()))
    window.drops.search()
    dialog = window.drops.dialog
    assert [dialog.site.itemData(n) for n in range(dialog.site.count())] == list(
        SOURCES
    )
    assert not dialog.start_button.isEnabled()
    assert dialog.focusWidget() is dialog.words
    QTest.keyClicks(dialog.words, words)
    dialog.limit.setValue(20)
    QTest.keyClick(dialog.words, Qt.Key.Key_Return)
    wait_until(lambda: not window.imports.running)
    assert "hana: 7 of 12 images  ·  step 1 of 2" in shown
    calls = (tmp_path / "programs" / "calls").read_text().splitlines()
    assert [line.split()[1] for line in calls] == ["keyword", "run"]
    assert import_bar(window).text.text() == result


LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def program(
    application: QApplication, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Program]:
    """Yield the program without suggestion updates, which take seconds to start."""
    monkeypatch.setattr(Learning, "begin", lambda self: None)
    program = Program(application)
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
    write_pictures(folder, ("hana/0.png", "hana/1.png", "rei/0.png", "rei/1.png"))
    before = list_files(folder)
    root = folder / "faces-dataset"
    welcome = open_welcome(program, folder)
    assert welcome.take.isChecked()
    assert (welcome.target.text(), list_files(folder)) == (str(root), before)
    QTest.mouseClick(welcome.make, LEFT)
    wait_until(
        lambda: program.window is not None and program.window.drops.dialog is not None
    )
    window = program.window
    dialog = wait_for_dialog(window)
    assert dialog.summary.text() == "4 new files\nFolders: hana (2), rei (2)"
    assert window.worker.root == root
    assert program.welcome is None
    dialog.whole_images.setChecked(True)
    QTest.mouseClick(dialog.start_button, LEFT)
    wait_until(lambda: window.imports.state is ImportState.DONE)
    settle(window)
    assert window.view.page is not None  # type: ignore[attr-defined]
    assert [
        path for path in list_files(folder) if root not in (path, *path.parents)
    ] == before
    with Dataset.open(root) as dataset:  # its name follows the folder
        assert (dataset.samples.count(), dataset.settings.name) == (4, None)


def test_enter_creates_dataset_in_empty_folder(
    program: Program, tmp_path: Path
) -> None:
    welcome = open_welcome(program, tmp_path / "new")
    assert not welcome.take.isVisible()
    QTest.keyClick(welcome.target, Qt.Key.Key_Return)
    wait_until(lambda: program.window is not None)
    assert (tmp_path / "new" / "catalog.sqlite").is_file()


@pytest.mark.damages("spoils a catalogue")
def test_unusable_folder_is_explained(
    program: Program, tmp_path: Path, faces: FaceSet
) -> None:
    (faces.root / "catalog.sqlite").write_bytes(b"no catalogue at all" * 1000)
    welcome = open_welcome(program, tmp_path / "new")
    welcome.opened.emit(faces.root, [])
    wait_until(
        lambda: (
            "damaged" in welcome.problem.text() or "catalog" in welcome.problem.text()
        )
    )
    assert program.welcome is welcome
    (tmp_path / "file").write_text("no folder")
    welcome.target.setText(str(tmp_path / "file"))
    QTest.mouseClick(welcome.make, LEFT)
    assert "choose another folder" in welcome.problem.text()


def test_cli_folder_argument_opens_window(
    tmp_path: Path,
    faces: FaceSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[tuple[Path, str | None]] = []
    monkeypatch.setattr(app, "open_window", lambda *given: calls.append(given))
    commands.main([str(tmp_path), "--view", "pages"], standalone_mode=False)
    folder = str(tmp_path)
    other = ("-d", str(tmp_path / "other"))
    for words in (
        [folder, *other],
        [*other, folder],
        [folder, f"--dataset={other[1]}"],
    ):
        with pytest.raises(UsageError, match="and -d both name a dataset"):
            commands.main(words, standalone_mode=False)
    assert calls == [(tmp_path, "pages")]
    capsys.readouterr()
    reject = ["label", "--reject", next(iter(faces.truth))]
    # After options of the command.
    for words in (
        ["classes", "list"],
        reject,
        ["undo", "-q"],
    ):
        commands.main(["-d", str(faces.root), "--json", *words], standalone_mode=False)
    assert [*json.loads(capsys.readouterr().out.splitlines()[0])] == ["classes"]
    with pytest.raises(UsageError, match="'undo' has no option --view"):
        commands.main(["--view", "grid", "undo"], standalone_mode=False)


def test_settings_change_theme_now_and_language_later(
    open_window: OpenWindow, faces: FaceSet, application: QApplication
) -> None:
    show_theme("")
    window = open_window(faces.root, size=(700, 500))
    down = Qt.Key.Key_Down
    assert not is_dark(window.palette())
    QTest.keyClick(
        window.view.home, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier
    )
    dialog = window.findChildren(SettingsDialog)[-1]
    for theme, dark in (("light", False), ("dark", True)):
        QTest.keyClick(dialog.theme, down)
        QApplication.processEvents()
        assert (is_dark(window.palette()), is_dark(dialog.palette())) == (dark, dark)
        assert window.palette().toolTipBase() == window.palette().base()
        assert get_theme() == theme
        window.class_panel.selected.emit("hana")  # of which there are no faces
        settle(window)
        assert window.view.empty.title.font().bold()
        saved_color = window.status.saved.palette().windowText().color()
        assert saved_color.name() == COLOURS[theme]["states"]["saved"]
        ticked = dialog.hints.grab().toImage()
        pixels = [ticked.pixelColor(x, ticked.height() // 2) for x in range(16)]
        assert dialog.palette().highlight().color() in pixels
    corner = window.grab().toImage().pixelColor(2, window.height() - 3)
    assert corner.lightness() < 128
    QTest.keyClick(dialog.theme, Qt.Key.Key_Home)
    QApplication.processEvents()
    assert not is_dark(window.palette())
    assert get_theme() == ""
    (hints,) = window.view.findChildren(KeyHints)
    for visible in (False, True):
        dialog.hints.click()
        assert hints.isVisible() == visible
    dialog.language.setCurrentIndex(dialog.language.findText("日本語"))
    dialog.reject()
    program = Program(application)
    try:
        program.open(faces.root)
        assert program.window.tabs.tabToolTip(0) == "グリッド  F2"
    finally:
        program.shut_down()
        install(application, "en")
