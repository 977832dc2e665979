"""Commands run in this process on a pseudo-terminal of 80 columns, or on pipes, for snapshots."""

import gc
import io
import logging
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest
from terminal_for_tests import END, TALL, read_screen, read_to_end

from gleanset.cli import main

WIDTH = 80
PACKAGES = {"gleanset": "pipeline"}
"""The package of each program whose name differs."""


class Printed(NamedTuple):
    """Exit code of a command, and the lines that it has left on the screen."""

    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def run_on_screen(words: list[str], folder: Path) -> Printed:
    """Run a command as in a terminal of 80 columns; stdin is the terminal, without a person."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (TALL, WIDTH))
    # Wider than the command is told: a long path is one line, so that it can be masked.
    screen = pyte.Screen(10 * WIDTH, TALL)
    stream = pyte.ByteStream(screen)

    def read() -> None:
        for data in read_to_end(reading):
            stream.feed(data)

    reader = threading.Thread(target=read)
    reader.start()
    out = os.fdopen(writing, "w", encoding="utf-8", buffering=1)
    error = os.fdopen(os.dup(writing), "w", encoding="utf-8", buffering=1)
    try:
        code = _run(words, folder, out, error)
    finally:
        error.close()
        # A process that the command started may still have the terminal: it has no other end.
        out.write(END.decode())
        out.flush()
        reader.join(60)
        out.close()
        os.close(reading)
    return Printed(code, read_screen(screen))


def run_on_pipe(words: list[str], folder: Path) -> Printed:
    """Run a command whose output goes to a file: stdout, then stderr."""
    out, error = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code = _run(words, folder, out, error)
    lines: list[str] = []
    for stream in (out, error):
        stream.flush()
        lines += stream.buffer.getvalue().decode().splitlines()  # type: ignore[attr-defined]
    return Printed(code, lines)


def _run(
    words: list[str], folder: Path, out: io.TextIOWrapper, error: io.TextIOWrapper
) -> int:
    program, *arguments = words
    root = logging.getLogger()
    thresholds = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [program, *arguments])
        for name in ("stdout", "__stdout__"):
            patch.setattr(sys, name, out)
        patch.setattr(sys, "stderr", error)
        patch.setattr(sys, "stdin", io.StringIO())
        # A command adds no log handler where there is one.
        patch.setattr(root, "handlers", [])
        patch.setattr(root, "level", root.level)
        patch.delenv("COLUMNS", raising=False)
        patch.chdir(folder)
        try:
            main(import_module(f"{PACKAGES.get(program, program)}.cli").commands)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        finally:
            gc.set_threshold(*thresholds)
    return 0
