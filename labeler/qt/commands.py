"""Commands of Gleanset started by the window; the only module that may use `QProcess`.

Progress is read from `--progress json`. A command ends with its window, but runs to its end if the
window is killed.
"""

import os
import re
import site
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

import gleanset
from gleanset.platform import lower_process_priority
from labeler.qt.translations import tr
from labeler.sorting.import_plan import CommandFacts

MODULES = {"gleanset": "pipeline"}
"""Modules of commands whose name is another one."""

_ERROR_START = re.compile("^(?:harvest|facecrop|gleanset|labeler|baseline): ", re.M)

BUG_EXIT_CODE = 1
MISSING_EXIT_CODE = 6
KEPT_ERROR_LINES = 20
TERMINATE_MS = 200
KILL_MS = 5000


class CommandStage(msgspec.Struct, frozen=True):
    """Progress of one stage of a command; `total` is None if unknown."""

    name: str = msgspec.field(name="stage")
    done: float = 0.0
    total: float | None = None
    unit: str = ""


class CommandEnd(NamedTuple):
    """Exit code, last lines on stderr, and result of a command."""

    code: int
    error_output: str
    facts: CommandFacts


class CommandQueue(QObject):
    """Runs commands such as `["baseline", "prelabel", "-d", root]` one after the other.

    `staged` (CommandStage) reports progress; `ended` (words, CommandEnd) follows each command, and
    `emptied` the last one, but neither of them a command that was stopped.
    """

    staged = Signal(object)
    ended = Signal(list, object)
    emptied = Signal()

    def __init__(self, parent: QObject, *, low_priority: bool = False):
        super().__init__(parent)
        self.pending: list[list[str]] = []
        self.process: QProcess | None = None
        self._low_priority = low_priority
        self._words: list[str] = []
        self._last: list[str] = []

    @property
    def running(self) -> bool:
        return self.process is not None

    def add(self, commands: Iterable[list[str]]) -> None:
        self.pending += commands
        if not self.running:
            self._start_next()

    def stop(self) -> None:
        """Clear the queue; terminate the process, or kill it if it does not end at once."""
        self.pending = []
        process = self.process
        self.process = None
        if process is None:
            return
        process.blockSignals(True)
        process.closeWriteChannel()
        process.terminate()
        if not process.waitForFinished(TERMINATE_MS):
            process.kill()
            process.waitForFinished(KILL_MS)
        process.deleteLater()

    def _start_next(self) -> None:
        if not self.pending:
            self.emptied.emit()
            return
        self._words = self.pending.pop(0)
        self._last = []
        process = self.process = QProcess(self)
        process.setProcessEnvironment(_environment())
        if sys.platform != "win32":
            # Ctrl-C in the terminal is for the window, which stops its commands itself.
            process.setUnixProcessParameters(QProcess.UnixProcessFlag.CreateNewSession)
        process.setReadChannel(QProcess.ProcessChannel.StandardError)
        process.readyReadStandardError.connect(self._read)
        process.finished.connect(self._on_finish)
        process.errorOccurred.connect(self._on_error)
        # -P: never import modules from the current folder.
        words = [
            "-P",
            "-m",
            MODULES.get(self._words[0], self._words[0]),
            *self._words[1:],
            "--json",
            "--progress",
            "json",
        ]
        process.start(sys.executable, words)
        if self._low_priority and process.waitForStarted():
            lower_process_priority(process.processId())

    def _read(self) -> None:
        while self.process is not None and self.process.canReadLine():
            text = bytes(self.process.readLine().data()).decode("utf-8", "replace")
            line = text.rstrip()
            try:
                self.staged.emit(msgspec.json.decode(line, type=CommandStage))
            except msgspec.DecodeError:
                if line and not line.startswith("{"):  # other JSON is not for people
                    self._last = [*self._last[1 - KEPT_ERROR_LINES :], line]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self.process is not None:
            self._last.append(self.process.errorString())
            self._on_finish(BUG_EXIT_CODE, QProcess.ExitStatus.CrashExit)

    def _on_finish(self, code: int, status: QProcess.ExitStatus) -> None:
        if self.process is None:
            return
        self._read()
        # With `--json` a command prints its result as the last line.
        *_, last_line = (
            bytes(self.process.readAllStandardOutput().data()).strip().split(b"\n")
        )
        self.process.deleteLater()
        self.process = None
        crashed = status is QProcess.ExitStatus.CrashExit
        facts = CommandFacts()
        with suppress(msgspec.DecodeError):
            facts = msgspec.json.decode(last_line, type=CommandFacts)
        end = CommandEnd(
            BUG_EXIT_CODE if crashed else code, "\n".join(self._last), facts
        )
        self.ended.emit(self._words, end)
        # A receiver of the signal may have added a command, which then runs already.
        if not self.running:
            self._start_next()


def last_error(output: str) -> str:
    """Return the last error of a command with its fix, without the name of the command."""
    *others, error = _ERROR_START.split(output)
    lines = error.splitlines()
    # Without an error of ours, the last line of another program.
    first = 0 if others else -1
    return " – ".join(line.removeprefix("hint: ") for line in lines[first:])


def _environment() -> QProcessEnvironment:
    # Adds the folder of Gleanset to PYTHONPATH if it is not installed.
    variables = QProcessEnvironment.systemEnvironment()
    home = str(Path(gleanset.__file__).resolve().parent.parent)
    if home not in {*site.getsitepackages(), site.getusersitepackages()}:
        variables.insert(
            "PYTHONPATH",
            os.pathsep.join(filter(None, (home, variables.value("PYTHONPATH")))),
        )
    return variables


def command_title(words: Sequence[str]) -> str:
    """Return what a command is called in the window; empty for a part of an import."""
    titles = {
        "dedup": tr("Find duplicates"),
        "split": tr("Split"),
        "train": tr("Train"),
        "export": tr("Export"),
        "timeline": tr("Video timeline"),
        "quality": tr("Find quality issues"),
        "label-issues": tr("Find label issues"),
    }

    # The first word is the program.
    return titles.get(words[1], "")
