"""Bars on a real terminal, lines at intervals in a log, nothing when quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from tools_for_tests import python_path

from gleanset.work import progress_bars
from gleanset.work.progress import Progress

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")

CODE = """
import sys, time
from gleanset.work.progress import Progress
total = float(sys.argv[1]) or None
with Progress(quiet=sys.argv[2] == "quiet").video_time("episode 1", total) as advance:
    for _ in range(4):
        time.sleep(0.12)
        advance(900.5)
"""


def drawn(total: float, *, quiet: bool = False, terminal: bool = True) -> str:
    """What a person sees on stderr."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    if terminal:
        termios.tcsetwinsize(writing, (24, 110))
    words = [sys.executable, "-c", CODE, str(total), "quiet" if quiet else "loud"]
    environment = {**os.environ, "PYTHONPATH": python_path(), "TERM": "xterm"}
    try:
        done = subprocess.run(
            words, stderr=writing, stdout=subprocess.PIPE, env=environment, check=True, timeout=60
        )
    finally:
        os.close(writing)
    assert done.stdout == b""
    seen = b""
    try:
        while data := os.read(reading, 65536):
            seen += data
    except OSError:  # how a terminal ends
        pass
    finally:
        os.close(reading)
    return seen.decode()


def test_a_bar_shows_how_much_of_a_total_is_done() -> None:
    seen = drawn(5400.0)
    assert "episode 1:" in seen
    assert "%" in seen
    assert any(f"{done}/5400" in seen for done in (900, 1801, 2702, 3602))


def test_without_a_total_the_count_is_shown() -> None:
    seen = drawn(0)
    assert "s of video" in seen
    assert "%" not in seen


def test_quiet_shows_nothing() -> None:
    assert drawn(5400.0, quiet=True) == ""
    assert drawn(5400.0, quiet=True, terminal=False) == ""


def test_a_log_gets_a_line_at_intervals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in Progress(quiet=False).over(range(40), "short", total=40):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress_bars, "LINE_INTERVAL_SECONDS", 0.05)
    for _ in Progress(quiet=False).over(range(40), "a\x1b[2J name", total=40):
        time.sleep(0.005)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 10
    assert all(line.startswith("a?[2J name: ") and "/40 images [" in line for line in lines)


def test_a_message_never_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=False).say("a\x1b[2J name\nsecond line")
    assert capsys.readouterr().err == "a?[2J name\nsecond line\n"
