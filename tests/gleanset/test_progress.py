"""Progress: bars on a real terminal, lines at intervals in a log, JSON for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools_for_tests import picture, python_path, run_here

from gleanset.work import progress_bars
from gleanset.work.progress import Progress

CODE = """
import sys, time
from gleanset.work.progress import Progress
total = float(sys.argv[1]) or None
with Progress(quiet=sys.argv[2] == "quiet").video_time("episode 1", total) as advance:
    for _ in range(2):
        time.sleep(0.12)
        advance(900.5)
"""


def run_on_terminal(total: float, *, quiet: bool = False) -> str:
    """Return the stderr of `CODE` on a terminal."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")
    reading, writing = pty.openpty()
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
    output = b""
    try:
        while data := os.read(reading, 65536):
            output += data
    except OSError:  # a terminal ends with this error
        pass
    finally:
        os.close(reading)
    return output.decode()


def test_bar_shows_share_of_total() -> None:
    output = run_on_terminal(5400.0)
    assert "episode 1:" in output
    assert "%" in output
    assert any(f"{done}/5400" in output for done in (900, 1801))


def test_bar_without_total_shows_count() -> None:
    output = run_on_terminal(0)
    assert "s of video" in output
    assert "%" not in output


def test_quiet_prints_nothing() -> None:
    assert run_on_terminal(5400.0, quiet=True) == ""


def test_log_gets_lines_at_intervals(
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


def test_message_control_characters_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=False).say("a\x1b[2J name\nsecond line")
    assert capsys.readouterr().err == "a?[2J name\nsecond line\n"


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_progress_reports_stages(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        (photos / f"{seed}.jpg").write_bytes(picture(seed))
    words = ("folder", str(photos), "-d", str(tmp_path / "set"), "--progress", "json", "--json")
    ran = run_here("harvest.cli", *words)
    assert ran.code == 0, ran.stderr
    assert ran.json["added"] == 3
    result = [line for line in lines(ran.stderr) if line.get("stage") == "files"]
    assert result[0]["done"] == 0
    assert "ended" not in result[0]
    assert (result[-1]["done"], result[-1]["unit"], result[-1]["ended"]) == (3, "files", True)


def test_json_progress_reports_rate_and_eta(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(quiet=False, as_json=True)
    for _ in progress.over(range(4), "counting", total=4, unit=" steps"):
        pass
    with progress.meter("going on", 10, done=4) as meter:
        meter.advance(3, "note")
    first, last, resumed, end = lines(capsys.readouterr().err)
    assert first == {"stage": "counting", "done": 0, "unit": "steps", "total": 4}
    assert last["done"] == 4
    assert last["eta"] == 0
    assert (resumed["done"], resumed["total"]) == (4, 10)
    # The rate counts only items of this run.
    assert isinstance(end["rate"], float)
    assert isinstance(end["eta"], float)
    assert end["eta"] == pytest.approx(3 / end["rate"], abs=0.1)
    assert (end["done"], end["note"], end["ended"]) == (7, "note", True)


def test_json_progress_is_throttled(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=False, as_json=True).video_time("frames", None) as advance:
        for _ in range(5000):
            advance(0.5)
    result = lines(capsys.readouterr().err)
    assert 2 <= len(result) < 20
    assert (result[-1]["done"], result[-1]["unit"]) == (2500, "s of video")
    assert "total" not in result[-1]
    silent = Progress(quiet=True, as_json=True)
    silent.say("nothing")
    assert list(silent.over([1], "nothing")) == [1]
    assert capsys.readouterr().err == ""


def test_json_messages_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(quiet=False, as_json=True).say('a "word" of 顔')
    assert lines(capsys.readouterr().err) == [{"message": 'a "word" of 顔'}]
