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
from person import FakeCommands, OpenWindow, settle, wait_until
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from tools_for_tests import eventually, is_running, python_path

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Proposals
from labeler.qt.commands import CommandEnd, CommandProcess, CommandStage
from labeler.qt.status_bar import LearningButton, LearningState
from labeler.qt.window import LabelerWindow

MakeCommand = Callable[..., CommandProcess]


@pytest.fixture
def make_command(
    application: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeCommand]:
    """Yield `make_command(code)`: a command that runs the code as a module."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    owner = QObject()
    commands: list[CommandProcess] = []

    def make(code: str) -> CommandProcess:
        (tmp_path / "own_command.py").write_text(code)
        commands.append(CommandProcess(["own_command", "word"], owner))
        return commands[-1]

    yield make
    for command in commands:
        command.stop()


def record_signals(command: CommandProcess) -> tuple[list[CommandStage], list[CommandEnd]]:
    stages: list[CommandStage] = []
    ends: list[CommandEnd] = []
    command.staged.connect(stages.append)
    command.ended.connect(ends.append)
    return stages, ends


def test_command_reports_stages_and_exit(make_command: MakeCommand) -> None:
    command = make_command(
        "import sys\n"
        "print('result')\n"
        "print(sys.argv[1:], file=sys.stderr)\n"
        'print(\'{"stage": "features", "done": 3, "total": 7}\', file=sys.stderr)\n'
        'print(\'{"stage": "features", "done": 7, "ended": true}\', file=sys.stderr)\n'
        'print(\'{"message": "a word"}\', file=sys.stderr)\n'
        "print('own: no network\\nhint: plug it in', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    stages, ends = record_signals(command)
    command.start()
    wait_until(lambda: bool(ends))
    assert stages == [CommandStage("features", 3, 7), CommandStage("features", 7, None)]
    assert ends[0].code == 3
    assert "['word', '--json', '--progress', 'json']" in ends[0].words
    assert ends[0].words.endswith("plug it in")
    assert not command.running


def test_stop_kills_process_ignoring_sigterm(make_command: MakeCommand, tmp_path: Path) -> None:
    command = make_command(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"stage\": \"here\"}', file=__import__('sys').stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    stages, ends = record_signals(command)
    command.start()
    wait_until(lambda: bool(stages))
    process = command._process
    assert process is not None
    number = process.processId()
    command.stop()
    assert eventually(lambda: not is_running(number))
    assert ends == []
    assert not command.running


WINDOW = """
import sys
from PySide6.QtCore import QCoreApplication, QObject
from labeler.qt.commands import CommandProcess
application = QCoreApplication([])
owner = QObject()
command = CommandProcess(["own_command"], owner)
command.staged.connect(lambda stage: print(int(stage.done), flush=True))
command.start()
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
    assert button.switch.isChecked()
    assert button.now.isEnabled()
    window.learning.begin()
    wait_until(lambda: window.learning.total == 3000)
    assert button.text() == "Comparing faces: 120 of 3,000"
    assert button.accessibleName() == button.text()
    assert not button.now.isEnabled()
    # Switched off, it stays off in later windows.
    button.switch.trigger()
    assert not window.learning.running
    assert button.text() == "Suggestion updates off"
    other = open_window(faces.root)
    other.learning.begin()
    settle(other)
    assert not other.learning.running
    assert not learning_button(other).switch.isChecked()


def test_missing_dependency_is_shown(
    faces: FaceSet, open_window: OpenWindow, fake_commands: FakeCommands
) -> None:
    fake_commands(baseline="print('baseline: no torch', file=sys.stderr)\nsys.exit(6)\n")
    window = open_window(faces.root)
    window.learning.begin()
    wait_until(lambda: window.learning.state is LearningState.MISSING)
    button = learning_button(window)
    assert button.text() == "Suggestions unavailable"
    assert "[transfer]" in button.toolTip()


@pytest.mark.slow
def test_window_updates_suggestions_automatically(faces: FaceSet, open_window: OpenWindow) -> None:
    """The real command computes features; each step then updates suggestions in place."""
    pytest.importorskip("sklearn")
    with Dataset.open(faces.root) as dataset:
        samples = [sample.key for sample in dataset.samples.iter_by_key()]
        window = open_window(faces.root, "pages")
        window.learning.begin()
        wait_until(lambda: learning_button(window).text() == "Faces compared", 240)
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        before = Proposals(dataset.db).get_latest()
        assert before is not None
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
