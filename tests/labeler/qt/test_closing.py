"""Closing, interrupting and killing the window never loses a decision silently."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from catalogue_rows import locked
from drawn_faces import FaceSet
from person import CONTROL, NONE, SHIFT, OpenWindow, Person, settle, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tools_for_tests import python_path

from gleanset import Dataset
from gleanset.db.regions import BoxedSamples
from gleanset.db.sorting import SampleTiles
from labeler.qt.views.crop import CropView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Key = Qt.Key


def status_message(window: LabelerWindow) -> str:
    return window.statusBar().currentMessage()


def assigned_labels(faces: FaceSet) -> list[str]:
    with Dataset.open(faces.root) as dataset:
        return [sample.label for sample in dataset.samples.iterate() if sample.label]


def test_closing_waits_for_locked_catalogue(person: Person, faces: FaceSet) -> None:
    with locked(faces.root):
        person.send(0, "rei")
        assert not person.window.close()
        assert person.window.isVisible()
        assert "changes are being saved" in status_message(person.window)
        assert assigned_labels(faces) == []
    wait_until(lambda: not person.window.isVisible())
    assert assigned_labels(faces) == ["rei"]


def test_held_key_is_saved_on_close(person: Person, faces: FaceSet) -> None:
    person.point(0)
    QTest.keyPress(person.view.view, person.keys["rei"], NONE)
    QTest.keyClick(person.view.view, Key.Key_Q, CONTROL)
    wait_until(lambda: not person.window.isVisible())
    assert assigned_labels(faces) == ["rei"]


def test_second_close_discards_unsaved_changes(person: Person, faces: FaceSet) -> None:
    with locked(faces.root):
        person.send(0, "rei")
        assert not person.window.close()
        assert person.window.close()
        assert not person.window.isVisible()


def test_refused_decision_blocks_first_close(open_window: OpenWindow, faces: FaceSet) -> None:
    window = open_window(faces.root)
    window.worker.decide(lambda session: session.add_class("rei"))
    assert not window.close()
    assert "there is a class 'rei' already" in status_message(window)
    assert window.close()


def test_moved_box_is_saved_on_close(open_window: OpenWindow, faces: FaceSet) -> None:
    window = open_window(faces.root, "crop")
    view = window.view
    assert isinstance(view, CropView)
    settle(window)
    view.selection_box.setCurrentIndex(1)
    wait_until(lambda: view.canvas.current >= 0 and not view.canvas.image.isNull())
    settle(window)
    assert view._sheet is not None
    sha256, before = view._sheet.sha256, view.canvas.boxes[0].box
    with locked(faces.root):
        QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)
        assert not window.close()
    wait_until(lambda: not window.isVisible())
    with Dataset.open(faces.root) as dataset:
        boxes = BoxedSamples(dataset.db).list_in_image(sha256)
    assert [box.box for box in boxes if box.by_hand] == [before._replace(x=before.x + 10)]


def test_lost_decisions_are_counted(person: Person, faces: FaceSet) -> None:
    """The desktop session ends, so that the window cannot ask."""
    worker = person.window.worker
    worker.ask(lambda session: session.dataset.db.fetch_all("PRAGMA busy_timeout=20"))
    with locked(faces.root):
        for row in range(3):
            person.send(row, "rei")
        worker.close()
    assert worker.lost_count == 3


def test_closed_worker_delivers_no_results(open_window: OpenWindow, faces: FaceSet) -> None:
    """The worker's thread may still be busy when the window is gone."""
    window = open_window(faces.root)
    started, go_on, result = threading.Event(), threading.Event(), []

    def long_question(session: SortingSession) -> None:
        started.set()
        go_on.wait(60)

    task = window.worker.create_task()
    window.worker.ask(long_question, result.append)
    assert started.wait(60)
    window.worker.close()
    thread = window.worker._thread
    assert thread.is_alive()
    go_on.set()
    thread.join(60)
    QApplication.processEvents()
    assert result == []
    assert not task.start(lambda dataset, task: None)


def test_held_key_applies_to_faces_when_pressed(person: Person, faces: FaceSet) -> None:
    """The view is reloaded with other faces while a key is held."""
    person.send(0, "hana")
    settle(person.window)
    shown = [person.view.model.id(row) for row in (1, 2)]
    person.point(1)
    QTest.keyPress(person.view.view, person.keys["rei"], NONE)
    person.point(2)
    person.window.view.enter()
    settle(person.window)
    assert person.view.model.id(1) != shown[0]
    QTest.keyRelease(person.view.view, person.keys["rei"], NONE)
    settle(person.window)
    with Dataset.open(faces.root) as dataset:
        rei = SampleTiles(dataset.db).list_labelled("rei")
    assert rei == shown


HERE = Path(__file__).parent


def test_killed_window_keeps_saved_steps(faces: FaceSet) -> None:
    paths = python_path(HERE, HERE.parent)
    with subprocess.Popen(
        [sys.executable, HERE / "window_child.py", faces.root],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        saved = process.stdout.read(8)
        process.kill()
        saved += process.stdout.read()
    assert len(assigned_labels(faces)) - len(saved) in (0, 1)


WINDOW = """
from PySide6.QtCore import QTimer
from labeler.qt.app import make_application
application = make_application()
QTimer.singleShot(0, lambda: print("shown", flush=True))
from labeler.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to whole consoles there")
def test_ctrl_c_closes_window_cleanly(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "window.py").write_text(WINDOW)
    window = subprocess.Popen(
        [sys.executable, tmp_path / "window.py", "-d", dataset.root],
        env={**os.environ, "PYTHONPATH": python_path(), "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with window:
        assert window.stdout is not None
        assert window.stdout.readline() == "shown\n"
        window.send_signal(signal.SIGINT)
        _, text = window.communicate(timeout=60)
    assert (window.returncode, "Traceback" in text) == (130, False), text
    assert "completed work is kept" in text
