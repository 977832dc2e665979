"""Bars on a real terminal: video time with its estimate; nothing in a pipe or when quiet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tools_for_tests import python_path

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


def test_the_bar_counts_video_time_and_says_when_it_will_be_over() -> None:
    seen = drawn(5400.0)
    assert "episode 1" in seen
    assert "1:30:00 of video" in seen
    assert "ETA" in seen
    # 900.5 seconds of video are fifteen minutes.
    assert "15:00 of" in seen or "30:01 of" in seen or "45:01 of" in seen
    assert "%" in seen


def test_without_a_length_the_time_alone_is_shown() -> None:
    seen = drawn(0)
    assert "episode 1: " in seen
    assert "ETA" not in seen


def test_nothing_in_a_pipe_and_nothing_when_quiet() -> None:
    assert drawn(5400.0, terminal=False) == ""
    assert drawn(5400.0, quiet=True) == ""
