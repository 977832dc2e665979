"""Fixtures of the window tests."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from person import FakeCommands, InstallLanguage, OpenWindow, Person, settle
from PySide6.QtCore import QCoreApplication, QEvent, QProcessEnvironment, QSettings
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QApplication
from sorting_model import by_id

from gleanset import Dataset
from labeler.qt import keyboard
from labeler.qt.app import make_application
from labeler.qt.grid import gesture_view
from labeler.qt.translations import Words, install
from labeler.qt.window import LabelerWindow
from labeler.sorting import page_state
from labeler.sorting.session import SortingSession


@pytest.fixture(scope="session")
def application() -> QApplication:
    return make_application()


@pytest.fixture
def install_language(application: QApplication) -> InstallLanguage:
    """Return `install_language(name)`, which lasts until the end of the test."""
    return partial(install, application)


@pytest.fixture(autouse=True)
def _usual_texts(application: QApplication) -> None:
    """Show English texts, about faces."""
    install(application, "en")
    Words.call_images(False)


@pytest.fixture(autouse=True)
def _own_settings(application: QApplication, tmp_path: Path) -> None:
    """Keep the window settings of each test in its own folder."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "ini")
    )


@pytest.fixture(autouse=True)
def _mouse_outside(application: QApplication) -> None:
    """Move the mouse away, or a new window may highlight a face."""
    QCursor.setPos(-10_000, -10_000)


@pytest.fixture(autouse=True)
def _short_enter_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept Enter on a new page almost at once, and letters as fast as a test types."""
    monkeypatch.setattr(page_state, "MIN_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(gesture_view, "MIN_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(keyboard, "LETTER_GAP_MS", 0)


@pytest.fixture(scope="session")
def shared_faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Draw sixty faces of four characters once; read-only."""
    return drawn_once(tmp_path_factory, 60, classes=4)


@pytest.fixture
def faces(shared_faces: FaceSet, tmp_path: Path) -> FaceSet:
    """Return a copy of them with classes, for one test."""
    return copied(shared_faces, tmp_path / "drawn")


@pytest.fixture(scope="session")
def labelled(
    shared_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> FaceSet:
    """Label all faces; read-only."""
    faces = copied(shared_faces, tmp_path_factory.mktemp("labelled") / "d")
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        session.label_each(by_id(session, faces.truth), "all")
    return faces


@pytest.fixture
def clusters_person(
    open_window: OpenWindow, shared_faces: FaceSet, tmp_path: Path
) -> Person:
    """Open the clusters page of unlabelled faces without any class."""
    faces = copied(shared_faces, tmp_path / "d", named=False)
    return Person(open_window(faces.root, "pages"), faces)


@pytest.fixture
def person(open_window: OpenWindow, faces: FaceSet) -> Person:
    """Open the grid of all faces, with their classes."""
    return Person(open_window(faces.root), faces)


@pytest.fixture
def open_window(application: QApplication) -> Iterator[OpenWindow]:
    """Yield `open_window(root, view)`: a shown, idle window; closed at the end."""
    windows: list[LabelerWindow] = []

    def make(
        root: Path,
        view: str = "grid",
        size: tuple[int, int] = (1120, 720),
        at_rest: bool = True,
    ) -> LabelerWindow:
        window = LabelerWindow(root, view)
        window.resize(*size)
        window.show()
        windows.append(window)
        if at_rest:
            settle(window)
        return window

    yield make
    for window in windows:
        if not window.close():
            window.close()  # closing again discards unsaved changes
        window.deleteLater()
    # Without a running event loop Qt does not delete them: a leftover window would keep filtering
    # the keys of all later tests.
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    application.processEvents()


@pytest.fixture
def fake_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    """Yield `fake_commands(harvest=code, facecrop=code)`: replacements for our own commands.

    Each appends its arguments to the file `calls` next to it.
    """
    folder = tmp_path / "programs"
    folder.mkdir()

    def environment() -> QProcessEnvironment:
        # First on the path, so that they precede the real ones.
        variables = QProcessEnvironment.systemEnvironment()
        variables.insert("PYTHONPATH", str(folder))
        return variables

    monkeypatch.setattr("labeler.qt.commands._environment", environment)
    note = f"import sys\nopen({str(folder / 'calls')!r}, 'a').write(' '.join(sys.argv) + chr(10))\n"

    def write(**programs: str) -> None:
        for name, code in programs.items():
            (folder / f"{name}.py").write_text(note + code)

    return write
