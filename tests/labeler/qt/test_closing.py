"""Closing, interrupting and killing the window; commands that it starts."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catalogue_rows import locked
from drawn_faces import FaceSet, assigned_labels
from person import (
    CONTROL,
    NONE,
    SHIFT,
    FakeCommands,
    OpenWindow,
    Person,
    settle,
    store_vectors,
    wait_until,
)
from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tools_for_tests import eventually, is_running, python_path

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Proposals
from gleanset.db.regions import BoxedSamples
from gleanset.db.sorting import SampleTiles
from labeler.qt.commands import CommandEnd, CommandQueue, CommandStage
from labeler.qt.status_bar import LearningButton
from labeler.qt.views.class_pages import REFRESH_MS
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Key = Qt.Key


def test_held_key_is_saved_on_close(person: Person) -> None:
    person.point(0)
    QTest.keyPress(person.view.view, person.keys["rei"], NONE)
    QTest.keyClick(person.view.view, Key.Key_Q, CONTROL)
    wait_until(lambda: not person.window.isVisible())
    assert list(person.labels.values()) == ["rei"]


def test_second_close_discards_unsaved_changes(person: Person, faces: FaceSet) -> None:
    with locked(faces.root):
        person.send(0, "rei")
        assert not person.window.close()
        assert person.window.close()
        assert not person.window.isVisible()


def test_refused_decision_blocks_first_close(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    window = open_window(faces.root)
    window.worker.decide(lambda session: session.add_class("rei"))
    assert not window.close()
    assert "There is a class 'rei' already" in window.statusBar().currentMessage()
    assert window.close()


def test_moved_box_is_saved_on_close(open_window: OpenWindow, faces: FaceSet) -> None:
    window = open_window(faces.root, "crop")
    view = window.view
    settle(window)
    view.selection_box.setCurrentIndex(1)
    wait_until(lambda: view.canvas.current >= 0 and not view.canvas.image.isNull())
    settle(window)
    sha256 = view._sheet.sha256
    before = view.canvas.boxes[0].box
    with locked(faces.root):
        QTest.keyClick(view.canvas, Key.Key_Right, SHIFT)
        assert not window.close()
    wait_until(lambda: not window.isVisible())
    with Dataset.open(faces.root) as dataset:
        boxes = BoxedSamples(dataset.db).list_in_image(sha256)
    assert [box.box for box in boxes if box.by_hand] == [
        before._replace(x=before.x + 10)
    ]


def test_lost_decisions_are_counted(person: Person, faces: FaceSet) -> None:
    """The desktop session ends, so that the window cannot ask."""
    worker = person.window.worker
    worker.ask(lambda session: session.dataset.db.fetch_all("PRAGMA busy_timeout=20"))
    with locked(faces.root):
        for row in range(3):
            person.send(row, "rei")
        worker.close()
    assert worker.lost_count == 3


def test_closed_worker_delivers_no_results(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    """The worker's thread may still be busy when the window is gone."""
    window = open_window(faces.root)
    started = threading.Event()
    go_on = threading.Event()
    result = []

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
    paths = python_path(HERE, *HERE.parents[:2])
    with subprocess.Popen(
        [sys.executable, HERE / "window_child.py", faces.root],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    ) as process:
        saved = process.stdout.read(8)
        process.kill()
        saved += process.stdout.read()
    assert len(assigned_labels(faces.root)) - len(saved) in (0, 1)


WINDOW = """
from PySide6.QtCore import QTimer
from labeler.qt.app import make_application
application = make_application()
QTimer.singleShot(0, lambda: print("shown", flush=True))
from gleanset.start import labeler
labeler()
"""


@pytest.mark.skipif(
    sys.platform == "win32", reason="Ctrl-C is sent to whole consoles there"
)
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
        assert window.stdout.readline() == "shown\n"
        window.send_signal(signal.SIGINT)
        _, text = window.communicate(timeout=60)
    assert (window.returncode, "Traceback" in text) == (130, False), text
    assert "completed work is kept" in text


MakeQueue = Callable[..., CommandQueue]


@pytest.fixture
def start_command(
    application: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeQueue]:
    """Yield `start_command(code)`: starts a command that runs the code as a module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    queue = CommandQueue(QObject(application))

    def start(code: str) -> CommandQueue:
        (tmp_path / "own_command.py").write_text(code)
        queue.add([["own_command", "word"]])
        return queue

    yield start
    queue.stop()


def record_signals(queue: CommandQueue) -> tuple[list[CommandStage], list[CommandEnd]]:
    stages: list[CommandStage] = []
    ends: list[CommandEnd] = []
    queue.staged.connect(stages.append)
    queue.ended.connect(lambda words, end: ends.append(end))
    return stages, ends


def test_command_reports_stages_and_exit(start_command: MakeQueue) -> None:
    queue = start_command(
        "import sys\n"
        "print('result')\n"
        "print(sys.argv[1:], file=sys.stderr)\n"
        'print(\'{"stage": "features", "done": 3, "total": 7}\', file=sys.stderr)\n'
        'print(\'{"stage": "features", "done": 7, "ended": true}\', file=sys.stderr)\n'
        'print(\'{"message": "a word"}\', file=sys.stderr)\n'
        "print('own: no network\\nhint: plug it in', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    stages, ends = record_signals(queue)
    wait_until(lambda: bool(ends))
    assert stages == [CommandStage("features", 3, 7), CommandStage("features", 7, None)]
    assert ends[0].code == 3
    assert "['word', '--json', '--progress', 'json']" in ends[0].error_output
    assert ends[0].error_output.endswith("plug it in")
    assert not queue.running


def test_stop_kills_process_ignoring_sigterm(start_command: MakeQueue) -> None:
    queue = start_command(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"stage\": \"here\"}', file=__import__('sys').stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    stages, ends = record_signals(queue)
    wait_until(lambda: bool(stages))
    number = queue.process.processId()
    queue.stop()
    assert eventually(lambda: not is_running(number))
    assert ends == []
    assert not queue.running


COMMAND_WINDOW = """
import sys
from PySide6.QtCore import QCoreApplication, QObject
from labeler.qt.commands import CommandQueue
application = QCoreApplication([])
owner = QObject()
queue = CommandQueue(owner)
queue.staged.connect(lambda stage: print(int(stage.done), flush=True))
queue.add([["own_command"]])
application.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_command_ends_with_killed_window(tmp_path: Path) -> None:
    (tmp_path / "own_command.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'stage': 'here', 'done': os.getpid()}), file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
    )
    path = python_path(tmp_path)
    window = subprocess.Popen(
        [sys.executable, "-c", COMMAND_WINDOW],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    with window:
        number = int(window.stdout.readline())
        assert is_running(number)
        window.kill()
    assert eventually(lambda: not is_running(number))


def learning_button(window: LabelerWindow) -> LearningButton:
    result = window.statusBar().findChildren(LearningButton)
    assert len(result) == 1
    return result[0]


WAITING_BASELINE = f"""
import json, sys
for told in {json.dumps([{"stage": "features", "done": 120, "total": 3000}])}:
    print(json.dumps(told), file=sys.stderr, flush=True)
sys.stdin.read()
"""


def test_status_bar_shows_learning_progress(
    faces: FaceSet, open_window: OpenWindow, fake_commands: FakeCommands
) -> None:
    fake_commands(baseline=WAITING_BASELINE)
    window = open_window(faces.root)
    button = learning_button(window)
    assert button.text() == "Suggestion updates off"
    window.learning.begin()
    wait_until(lambda: button.text() == "Comparing faces: 120 of 3,000")
    assert button.accessibleName() == button.text()
    # Switched off, it stays off in later windows.
    button.click()
    assert not window.learning.running
    assert button.text() == "Suggestion updates off"
    other = open_window(faces.root)
    other.learning.begin()
    settle(other)
    assert not other.learning.running
    # Without a library it says how to install it.
    fake_commands(
        baseline="print('baseline: no torch', file=sys.stderr)\nsys.exit(6)\n"
    )
    button.click()
    wait_until(lambda: button.text() == "Suggestions unavailable")
    assert "[transfer]" in button.toolTip()


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.long)])
def test_window_updates_suggestions_automatically(
    faces: FaceSet, open_window: OpenWindow, real: bool
) -> None:
    """Each step updates suggestions in place, from features that the command has computed."""
    pytest.importorskip("sklearn")
    with Dataset.open(faces.root) as dataset:
        samples = [sample.key for sample in dataset.samples.iter_by_key()]
        if not real:
            store_vectors(faces.root, faces.truth)
        window = open_window(faces.root, "pages", (900, 600))
        window.learning.begin()
        wait_until(lambda: learning_button(window).text() == "Faces compared", 240)
        QTest.qWait(3 * REFRESH_MS * real)  # the new features make better clusters
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        assert not any(row.proposals for row in Proposals(dataset.db).iterate())
        dataset.journal.apply(
            "Page", [Choice(key, "label", faces.truth[key]) for key in samples[:24]]
        )
        wait_until(lambda: learning_button(window).text() == "Up to date", 120)
        suggested = {
            row.sample: row.proposals for row in Proposals(dataset.db).iterate()
        }
        right = [suggested[key][0].label == faces.truth[key] for key in samples[24:]]
        assert sum(right) > 0.8 * len(right)
        assert list(window.view.model._ids) == shown  # type: ignore[attr-defined]
        window.close()
        assert not window.learning.running
