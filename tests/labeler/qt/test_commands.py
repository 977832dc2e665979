"""Commands that the window starts: what they tell, how they end, that none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from person import until
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication
from tools_for_tests import eventually, is_running, python_path

from labeler.qt.commands import CommandEnd, CommandStage, OwnCommand

Make = Callable[..., OwnCommand]


@pytest.fixture
def make(
    application: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Make]:
    """`make(code)`: a command that runs the code, of a module of its own."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    owner = QObject()
    made: list[OwnCommand] = []

    def command(code: str) -> OwnCommand:
        (tmp_path / "own_command.py").write_text(code)
        made.append(OwnCommand(["own_command", "word"], owner))
        return made[-1]

    yield command
    for one in made:
        one.stop()


def heard(command: OwnCommand) -> tuple[list[CommandStage], list[str], list[CommandEnd]]:
    stages: list[CommandStage] = []
    said: list[str] = []
    ends: list[CommandEnd] = []
    command.staged.connect(stages.append)
    command.message.connect(said.append)
    command.ended.connect(ends.append)
    return stages, said, ends


def test_what_a_command_tells_and_how_it_ends(make: Make) -> None:
    command = make(
        "import sys\n"
        "print('result')\n"
        "print(sys.argv[1:], file=sys.stderr)\n"
        'print(\'{"stage": "features", "done": 3, "total": 7}\', file=sys.stderr)\n'
        'print(\'{"stage": "features", "done": 7, "ended": true}\', file=sys.stderr)\n'
        'print(\'{"message": "a word"}\', file=sys.stderr)\n'
        "print('own: no network\\n  -> plug it in', file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    stages, said, ends = heard(command)
    command.start()
    until(lambda: bool(ends))
    assert stages == [
        CommandStage("features", 3, 7, False),
        CommandStage("features", 7, None, True),
    ]
    assert said == ["a word"]
    assert ends[0].code == 3
    assert "['word', '--progress', 'json']" in ends[0].words
    assert ends[0].words.endswith("plug it in")
    assert not command.running


def test_what_does_not_want_to_end_is_killed(make: Make, tmp_path: Path) -> None:
    command = make(
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('{\"message\": \"here\"}', file=__import__('sys').stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    _, said, ends = heard(command)
    command.start()
    until(lambda: bool(said))
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
from labeler.qt.commands import OwnCommand
application = QCoreApplication([])
owner = QObject()
command = OwnCommand(["own_command"], owner)
command.message.connect(lambda text: print(text, flush=True))
command.start()
application.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_none_is_left_behind_where_the_window_is_killed(tmp_path: Path) -> None:
    (tmp_path / "own_command.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'message': str(os.getpid())}), file=sys.stderr, flush=True)\n"
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
