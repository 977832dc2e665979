"""A shell in a temporary home folder, which runs the commands of a page."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from console_blocks import Command, NamedFile, Step
from tools_for_tests import eventually, is_running

# Programs that run until they are closed, or until Ctrl-C.
_STAYS = re.compile(r"^(webapp serve\b|labeler( --?[a-z].*)?$)")
# Servers: ready once they have printed their address, perhaps after exporting the model.
_SERVES = re.compile(r"^webapp serve\b")
_ADDRESS = "http://127.0.0.1"
_SERVED_SECONDS = 300
_SHOWN_SECONDS = 8
_ENDED_SECONDS = 30
# A window that shows an error stays until Ctrl-C is pressed again.
_PRESSES = 2


@dataclass
class CommandResult:
    """A command with its exit code and output."""

    command: Command
    code: int
    output: str


class ShellSession:
    """One bash for a page: `cd` and `export` last, as in a terminal.

    It reads commands from a pipe; programs find no terminal. `stands_for` maps names of the page
    to those here, such as the id of a run.

        with ShellSession(home, {"GLEANSET_DATASET": "my-dataset"}) as reader:
            reader.follow(steps(page))
        assert reader.failed == []
    """

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        stands_for: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.results: list[CommandResult] = []
        self._stands_for = stands_for or {}
        self._programs: list[int] = []
        self._log = home / ".said"
        script, self._script = os.pipe()
        self._ended, ended = os.pipe()
        # Programs may end with their input: it stays open, without data.
        silence, self._silence = os.pipe()
        own = {**os.environ, **environment, "HOME": str(home), "ENDED": str(ended)}
        own["SILENCE"] = str(silence)
        # Our commands first, as in an activated environment.
        own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        with self._log.open("wb") as log:
            self._bash = subprocess.Popen(
                ["bash", "--noprofile", "--norc", f"/dev/fd/{script}"],
                cwd=home,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(script, ended, silence),
                start_new_session=True,
            )
        for inherited in (script, ended, silence):
            os.close(inherited)
        # Background programs get process groups of their own, for Ctrl-C.
        os.write(self._script, b"set -m\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Send Ctrl-C to running programs, and exit."""
        self._leave()
        os.write(self._script, b"wait\nexit\n")
        os.close(self._script)
        try:
            self._bash.wait(60)
        finally:
            _signal([*self._programs, self._bash.pid], signal.SIGKILL)
            self._bash.wait()
            os.close(self._ended)
            os.close(self._silence)

    def follow(self, page: Iterable[Step]) -> None:
        """Run every command and save every named file, in order."""
        for step in page:
            if isinstance(step, NamedFile):
                (self.home / step.name).write_text(
                    self._own(step.text), encoding="utf-8"
                )
            else:
                self.results.append(self.type(step))

    @property
    def failed(self) -> list[str]:
        """Return the failed commands with the end of their output."""
        return [
            f"line {result.command.line}: {result.command.plain}\n"
            f"-> {result.code}: {result.output[-1500:]}"
            for result in self.results
            if result.code != 0
        ]

    def type(self, command: Command) -> CommandResult:
        """Run a command and wait for its end; leave servers and windows running."""
        before = self._log.stat().st_size
        stays = _STAYS.match(command.plain) is not None
        if stays:
            # Close the previous one first, as a person would.
            self._leave()
        end = " <&$SILENCE & echo pid $!" if stays else "\necho code $?"
        os.write(self._script, f"{self._own(command.text)}{end} >&$ENDED\n".encode())
        code = int(self._answer().split()[1])
        if stays:
            self._programs.append(code)
            serves = _SERVES.match(command.plain) is not None
            code = self._served(code, before) if serves else self._shown(code)
        return CommandResult(command, code, self._output_since(before))

    def _leave(self) -> None:
        """Send Ctrl-C to running programs, repeat it, and wait for their end."""
        for _ in range(_PRESSES):
            running = [process for process in self._programs if is_running(process)]
            _signal(running, signal.SIGINT)
            eventually(
                lambda ids=running: not any(map(is_running, ids)), _ENDED_SECONDS
            )
        running = [process for process in self._programs if is_running(process)]
        assert not running, f"deaf to Ctrl-C: {self._output_since(0)[-1500:]}"
        self._programs.clear()

    def _own(self, text: str) -> str:
        for theirs, ours in self._stands_for.items():
            text = text.replace(theirs, ours)
        return text

    def _answer(self) -> str:
        answer = b""
        while not answer.endswith(b"\n"):
            more = os.read(self._ended, 100)
            if not more:
                raise AssertionError(
                    f"the shell ended: {self._output_since(0)[-1500:]}"
                )
            answer += more
        return answer.decode()

    def _served(self, process: int, before: int) -> int:
        """Wait until a server prints its address; return 0 if it does."""

        def is_over() -> bool:
            return _ADDRESS in self._output_since(before) or not is_running(process)

        return 0 if eventually(is_over, _SERVED_SECONDS) and is_running(process) else 1

    def _shown(self, process: int) -> int:
        """Wait for a window to appear; return 0 if it stays open."""
        time.sleep(_SHOWN_SECONDS)
        return 0 if is_running(process) else 1

    def _output_since(self, since: int) -> str:
        return self._log.read_bytes()[since:].decode(errors="replace")


def _signal(groups: list[int], which: signal.Signals) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, which)
