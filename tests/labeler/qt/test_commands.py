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
from person import Opened, Stand, settle, until
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from tools_for_tests import eventually, is_running, python_path

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Proposals
from labeler.qt.commands import CommandEnd, CommandProcess, CommandStage
from labeler.qt.status_bar import LearningButton, LearningState
from labeler.qt.window import LabelerWindow

Make = Callable[..., CommandProcess]


@pytest.fixture
def make(
    application: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """`make(code)`: a command that runs the code, of a module of its own."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    owner = QObject()
    made: list[CommandProcess] = []

    def command(code: str) -> CommandProcess:
        (tmp_path / "own_command.py").write_text(code)
        made.append(CommandProcess(["own_command", "word"], owner))
        return made[-1]

    yield command
    for one in made:
        one.stop()


def heard(command: CommandProcess) -> tuple[list[CommandStage], list[CommandEnd]]:
    stages: list[CommandStage] = []
    ends: list[CommandEnd] = []
    command.staged.connect(stages.append)
    command.ended.connect(ends.append)
    return stages, ends


def test_what_a_command_tells_and_how_it_ends(make: Make) -> None:
    command = make(
        "import sys\n"
        "print('result')\n"
        "print(sys.argv[1:], file=sys.stderr)\n"
        'print(\'{"stage": "features", "done": 3, "total": 7}\', file=sys.stderr)\n'
        'print(\'{"stage": "features", "done": 7, "ended": true}\', file=sys.stderr)\n'
        'print(\'{"message": "a word"}\', file=sys.stderr)\n'
        "print('own: no network\\nhint: plug it in', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    stages, ends = heard(command)
    command.start()
    until(lambda: bool(ends))
    assert stages == [CommandStage("features", 3, 7), CommandStage("features", 7, None)]
    assert ends[0].code == 3
    assert "['word', '--progress', 'json']" in ends[0].words
    assert ends[0].words.endswith("plug it in")
    assert not command.running


def test_what_does_not_want_to_end_is_killed(make: Make, tmp_path: Path) -> None:
    command = make(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"stage\": \"here\"}', file=__import__('sys').stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    stages, ends = heard(command)
    command.start()
    until(lambda: bool(stages))
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
def test_none_is_left_behind_where_the_window_is_killed(tmp_path: Path) -> None:
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


def button_of(window: LabelerWindow) -> LearningButton:
    result = window.statusBar().findChildren(LearningButton)
    assert len(result) == 1
    return result[0]


TELLS = f"""
import json, sys
for told in {json.dumps([{"stage": "features", "done": 120, "total": 3000}])}:
    print(json.dumps(told), file=sys.stderr, flush=True)
sys.stdin.read()
"""


def test_the_status_bar_says_what_learning_is_at(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    stand_in(baseline=TELLS)
    window = opened(few.root)
    button = button_of(window)
    assert button.text() == "Suggestion updates off"
    assert button.switch.isChecked()
    assert button.now.isEnabled()
    window.learning.begin()
    until(lambda: window.learning.total == 3000)
    assert button.text() == "Computing features: 120 of 3,000"
    assert button.accessibleName() == button.text()
    assert not button.now.isEnabled()
    # Switched off, it stays off in windows to come.
    button.switch.trigger()
    assert not window.learning.running
    assert button.text() == "Suggestion updates off"
    other = opened(few.root)
    other.learning.begin()
    settle(other)
    assert not other.learning.running
    assert not button_of(other).switch.isChecked()


def test_what_is_missing_is_said_once_with_what_it_would_bring(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    stand_in(baseline="print('baseline: no torch', file=sys.stderr)\nsys.exit(6)\n")
    message: list[str] = []
    for _ in range(2):
        window = opened(few.root)
        window.worker.message.connect(lambda text, bad: message.append(text))
        window.learning.begin()
        until(lambda shown=window: shown.learning.state is LearningState.MISSING)
        button = button_of(window)
        assert button.text() == "Suggestions unavailable"
        assert "[transfer]" in button.toolTip()
    assert [text for text in message if "To update suggestions" in text] == message
    assert len(message) == 1


@pytest.mark.slow
def test_a_window_learns_by_itself(few: FaceSet, opened: Opened) -> None:
    """Vectors by the real command, then from each step: the rest is suggested, nothing moves."""
    pytest.importorskip("sklearn")
    with Dataset.open(few.root) as dataset:
        samples = [sample.key for sample in dataset.samples.iter_by_key()]
        window = opened(few.root, "pages")
        window.learning.begin()
        until(lambda: button_of(window).text() == "Features computed", 240)
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        before = Proposals(dataset.db).get_latest()
        assert before is not None
        assert not any(one.proposals for one in Proposals(dataset.db).iterate())

        dataset.journal.apply(
            "Page", [Choice(key, "label", few.truth[key]) for key in samples[:24]]
        )
        until(lambda: any(one.proposals for one in Proposals(dataset.db).iterate()), 60)
        suggested = {one.sample: one.proposals for one in Proposals(dataset.db).iterate()}
        right = [suggested[key][0].label == few.truth[key] for key in samples[24:]]
        assert sum(right) > 0.8 * len(right)
        until(lambda: button_of(window).text() == "Up to date", 60)
        assert list(window.view.model._ids) == shown  # type: ignore[attr-defined]
        window.close()
        assert not window.learning.running
