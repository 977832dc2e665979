"""Commands that the window starts, and the suggestion updates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import FakeCommands, OpenWindow, settle, store_vectors, wait_until
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from tools_for_tests import eventually, is_running, python_path

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Proposals
from labeler.qt.commands import CommandEnd, CommandQueue, CommandStage
from labeler.qt.status_bar import LearningButton
from labeler.qt.window import LabelerWindow

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
    assert "['word', '--json', '--progress', 'json']" in ends[0].words
    assert ends[0].words.endswith("plug it in")
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
    assert queue.process is not None
    number = queue.process.processId()
    queue.stop()
    assert eventually(lambda: not is_running(number))
    assert ends == []
    assert not queue.running


WINDOW = """
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
        [sys.executable, "-c", WINDOW],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    with window:
        assert window.stdout is not None
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
    fake_commands(baseline="print('baseline: no torch', file=sys.stderr)\nsys.exit(6)\n")
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
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        assert not any(row.proposals for row in Proposals(dataset.db).iterate())
        dataset.journal.apply(
            "Page", [Choice(key, "label", faces.truth[key]) for key in samples[:24]]
        )
        wait_until(lambda: learning_button(window).text() == "Up to date", 120)
        suggested = {row.sample: row.proposals for row in Proposals(dataset.db).iterate()}
        right = [suggested[key][0].label == faces.truth[key] for key in samples[24:]]
        assert sum(right) > 0.8 * len(right)
        assert list(window.view.model._ids) == shown  # type: ignore[attr-defined]
        window.close()
        assert not window.learning.running
