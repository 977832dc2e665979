"""Commands of Gleanset started by the window; the only module that may use `QProcess`.

Progress is read from `--progress json`. A command ends with its window, but runs to its end if the
window is killed.
"""

from __future__ import annotations

import json
import os
import site
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from PySide6.QtCore import QByteArray, QObject, QProcess, QProcessEnvironment, Signal

import gleanset
from gleanset.platform import lower_process_priority

MODULES = {"gleanset": "pipeline"}
"""Modules of commands whose name is another one."""

BUG_EXIT_CODE = 1
MISSING_EXIT_CODE = 6
KEPT_ERROR_LINES = 20
TERMINATE_MS = 200
KILL_MS = 5000


class CommandStage(NamedTuple):
    """Progress of one stage of a command; `total` is None if unknown."""

    name: str
    done: float
    total: float | None


class CommandEnd(NamedTuple):
    """Exit code, last lines on stderr, and JSON result of a command."""

    code: int
    words: str
    result: Mapping[str, object] = MappingProxyType({})


class CommandProcess(QObject):
    """Process of one command, such as `("baseline", "prelabel", "-d", root)`.

    `staged` (CommandStage) reports progress; `ended` (CommandEnd) is emitted unless it was stopped.
    """

    staged = Signal(object)
    ended = Signal(object)

    def __init__(
        self, words: Sequence[str], parent: QObject, *, low_priority: bool = False
    ) -> None:
        super().__init__(parent)
        self._words, self._low_priority = list(words), low_priority
        self._process: QProcess | None = None
        self._rest = b""
        self._last: list[str] = []

    @property
    def running(self) -> bool:
        return self._process is not None

    def stop(self) -> None:
        """Terminate the process, or kill it if it does not end at once."""
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        process.closeWriteChannel()
        process.terminate()
        if not process.waitForFinished(TERMINATE_MS):
            process.kill()
            process.waitForFinished(KILL_MS)
        process.deleteLater()

    def start(self) -> None:
        if self.running:
            return
        self._rest, self._last = b"", []
        process = self._process = QProcess(self)
        process.setProcessEnvironment(_environment())
        if sys.platform != "win32":
            # Ctrl-C in the terminal is for the window, which stops its commands itself.
            process.setUnixProcessParameters(QProcess.UnixProcessFlag.CreateNewSession)
        process.readyReadStandardError.connect(self._read)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._failed)
        module = MODULES.get(self._words[0], self._words[0])
        # -P: never import modules from the current folder.
        words = ["-P", "-m", module, *self._words[1:], "--json", "--progress", "json"]
        process.start(sys.executable, words)
        if self._low_priority and process.waitForStarted():
            lower_process_priority(process.processId())

    def _read(self) -> None:
        if self._process is None:
            return
        data = self._rest + _bytes(self._process.readAllStandardError())
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            self._read_line(line.decode("utf-8", "replace").rstrip("\r"))

    def _read_line(self, line: str) -> None:
        report = _parse_object(line)
        if "stage" in report:
            total, done = report.get("total"), report.get("done")
            self.staged.emit(
                CommandStage(
                    str(report["stage"]),
                    float(done) if isinstance(done, int | float) else 0.0,
                    float(total) if isinstance(total, int | float) else None,
                )
            )
        elif line.strip() and not report:
            self._last = [*self._last[1 - KEPT_ERROR_LINES :], line]

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self._process is not None:
            self._last.append(self._process.errorString())
            self._finished(BUG_EXIT_CODE, QProcess.ExitStatus.CrashExit)

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        if self._process is None:
            return
        self._read()
        output = _bytes(self._process.readAllStandardOutput()).decode("utf-8", "replace")
        self._process.deleteLater()
        self._process = None
        crash = status is QProcess.ExitStatus.CrashExit
        result = _parse_object(output.strip().rpartition("\n")[2])
        self.ended.emit(CommandEnd(BUG_EXIT_CODE if crash else code, "\n".join(self._last), result))


class CommandQueue(QObject):
    """Runs commands one after the other.

    `staged` (CommandStage) and `ended` (words, CommandEnd) are those of each command; `emptied` is
    emitted after the last one, but not after `stop`.
    """

    staged = Signal(object)
    ended = Signal(list, object)
    emptied = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.pending: list[list[str]] = []
        self.command: CommandProcess | None = None

    def add(self, commands: Iterable[list[str]]) -> None:
        self.pending += commands
        if self.command is None:
            self._start_next()

    def stop(self) -> None:
        """Stop the running command at once and clear the queue."""
        self.pending = []
        self._drop_command()

    def _drop_command(self) -> None:
        command, self.command = self.command, None
        if command is not None:
            command.stop()
            command.deleteLater()

    def _start_next(self) -> None:
        if not self.pending:
            self.emptied.emit()
            return
        words = self.pending.pop(0)
        self.command = CommandProcess(words, self)
        self.command.staged.connect(self.staged)
        self.command.ended.connect(lambda end: self._command_ended(words, end))
        self.command.start()

    def _command_ended(self, words: list[str], end: CommandEnd) -> None:
        self._drop_command()
        self.ended.emit(words, end)
        self._start_next()


def last_error(output: str) -> str:
    """Return the last error of a command with its fix, without the name of the command."""
    lines = output.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        name, colon, rest = lines[number].partition(": ")
        if colon and name in ("harvest", "facecrop", "gleanset"):
            fixes = (line.removeprefix("hint: ") for line in lines[number + 1 :])
            return " – ".join([rest, *fixes])
    return lines[-1] if lines else ""


def _parse_object(line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _bytes(array: QByteArray) -> bytes:
    data = array.data()
    return data if isinstance(data, bytes) else bytes(data)


def _environment() -> QProcessEnvironment:
    # Adds the folder of Gleanset to PYTHONPATH if it is not installed.
    variables = QProcessEnvironment.systemEnvironment()
    home = str(Path(gleanset.__file__).resolve().parent.parent)
    if home not in {*site.getsitepackages(), site.getusersitepackages()}:
        before = variables.value("PYTHONPATH")
        variables.insert("PYTHONPATH", os.pathsep.join(filter(None, (home, before))))
    return variables
