"""Commands in a pseudo-terminal, whose screen is read as a person reads it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest
from tools_for_tests import command, python_path

TALL = 400
"""Lines of the screen: more than a command prints, so that none scrolls away."""

END = b"\0"
"""Written after the output, before a terminal is closed; terminals ignore it.

A reader that waits for the closing itself can lose the last lines: on Linux, what is written
and closed while a read begins is dropped.
"""


class TerminalRun(NamedTuple):
    """The exit code of a command, and the lines on the screen in the end."""

    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)


def run_in_terminal(
    module: str,
    *args: str | Path,
    columns: int = 80,
    interrupt_at: str | None = None,
    cwd: Path | None = None,
    **environment: str,
) -> TerminalRun:
    """Run a console module of this checkout in a pseudo-terminal."""
    line = command(module, *args)
    return run_line_in_terminal(line, columns, interrupt_at, cwd, environment)


def run_line_in_terminal(
    line: Sequence[str | bytes],
    columns: int = 80,
    interrupt_at: str | None = None,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> TerminalRun:
    """Run a command line; send Ctrl-C once the text `interrupt_at` is on the screen."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (TALL, columns))
    variables = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "TERM": "xterm",
        **(environment or {}),
    }
    for name in ("COLUMNS", "LINES"):
        variables.pop(name, None)
    process = subprocess.Popen(
        line,
        stdin=writing,
        stdout=writing,
        stderr=writing,
        env=variables,
        cwd=cwd,
        start_new_session=True,
    )

    def mark_end() -> None:
        process.wait()
        os.write(writing, END)

    marking = threading.Thread(target=mark_end, daemon=True)
    marking.start()
    screen = pyte.Screen(columns, TALL)
    stream = pyte.ByteStream(screen)
    end = time.monotonic() + 300
    try:
        for data in read_to_end(reading):
            stream.feed(data)
            if interrupt_at is not None and interrupt_at in "\n".join(
                read_screen(screen)
            ):
                interrupt_at = None
                os.killpg(process.pid, signal.SIGINT)
            assert time.monotonic() < end, screen.display
        code = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        marking.join(60)
        os.close(writing)
        os.close(reading)
    return TerminalRun(code, read_screen(screen))


def read_screen(screen: pyte.Screen) -> list[str]:
    """Return the lines down to the cursor, as `display`, but without drawing empty cells."""
    lines: list[str] = []
    for y in range(screen.cursor.y + 1):
        cells = screen.buffer[y]
        text = "".join(cells[x].data for x in range(max(cells, default=-1) + 1))
        lines.append(text.rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_to_end(reading: int) -> Iterator[bytes]:
    """Yield what is written to a terminal, up to `END`."""
    data = b""
    while END not in data:
        data = os.read(reading, 65536)
        yield data


def python_line(code: str, *args: str) -> list[str]:
    """Return the command line that runs Python code of this checkout."""
    return [sys.executable, "-c", code, *args]


_MASKS = [
    # With a number where two were made in one second.
    (re.compile(r"(?<=before-restore-)\d+T\d+(-\d+)?"), "TIME"),
    (re.compile(r"\b20\d{6}-\d{6}-"), "RUN-"),
    (
        re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?"),
        "TIME",
    ),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,64}\b"), "HASH"),
    (re.compile(r"\d+(\.\d+)?(e-?\d+)?"), "#"),
    # The order of unlikely classes differs between processors.
    (re.compile(r"(?<=\.png: )\w+ #, .*"), "PREDICTIONS"),
]


def mask(lines: list[str], *folders: Path) -> list[str]:
    """Replace folders, ids, times, hashes and numbers, which differ from run to run."""
    masked: list[str] = []
    for line in lines:
        for folder in folders:
            line = line.replace(str(folder), "FOLDER")
        for pattern, word in _MASKS:
            line = pattern.sub(word, line)
        masked.append(line)
    # Columns of a table are as wide as their numbers.
    return [re.sub(r"(?<=\S) {2,}", "  ", line) for line in masked]
