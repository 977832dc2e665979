"""Fixtures of the window tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from person import Opened, Person, Stand, settle
from PySide6.QtCore import QCoreApplication, QEvent, QProcessEnvironment, QSettings
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QApplication

from labeler.qt.app import make_application
from labeler.qt.window import LabelerWindow


@pytest.fixture(scope="session")
def application() -> QApplication:
    return make_application()


@pytest.fixture(autouse=True)
def _settings_of_its_own(application: QApplication, tmp_path: Path) -> None:
    """Keep the window settings of each test in its own folder."""
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "ini"))


@pytest.fixture(autouse=True)
def _mouse_is_elsewhere(application: QApplication) -> None:
    """Move the mouse away, or a new window may highlight a face."""
    QCursor.setPos(-10_000, -10_000)


@pytest.fixture(scope="session")
def drawn_few(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Draw sixty faces of four characters once; read-only."""
    return drawn_once(tmp_path_factory, 60, classes=4)


@pytest.fixture
def few(drawn_few: FaceSet, tmp_path: Path) -> FaceSet:
    """Return a copy of them with classes, for one test."""
    return copied(drawn_few, tmp_path / "few")


@pytest.fixture
def unnamed(opened: Opened, drawn_few: FaceSet, tmp_path: Path) -> Person:
    """Open the clusters page of unlabelled faces without any class."""
    faces = copied(drawn_few, tmp_path / "d", named=False)
    return Person(opened(faces.root, "pages"), faces)


@pytest.fixture
def person(opened: Opened, few: FaceSet) -> Person:
    """Open the grid of all faces, with their classes."""
    return Person(opened(few.root), few)


@pytest.fixture
def opened(application: QApplication) -> Iterator[Opened]:
    """Yield `opened(root, view)`: a shown, idle window; closed at the end."""
    windows: list[LabelerWindow] = []

    def make(
        root: Path,
        view: str = "grid",
        size: tuple[int, int] = (1440, 900),
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
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Yield `stand_in(harvest=code, facecrop=code)`: replacements for our own commands.

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
