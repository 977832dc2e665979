"""A person at a terminal is never left without a line, and no other reader gets one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools_for_tests import ROOT, python_path, run_cli

termios = pytest.importorskip("termios")

COMMAND = """
import sys, time
import click
from gleanset.cli import group, job_options, main
commands = group("gleanset", "x")
@commands.command()
@click.argument("seconds", type=float)
@click.option("--bar", is_flag=True)
@job_options()
def dream(job, seconds, bar):
    if bar:
        for _ in job.progress.over(range(10), "faces"):
            time.sleep(seconds / 10)
    else:
        time.sleep(seconds)
    job.say("first said")
    time.sleep(0.3)
    return {"dreamt": 1}
main(commands)
"""


def seen(*words: str) -> list[tuple[float, str]]:
    """What a terminal shows of a command, and when after its start."""
    main, end = os.openpty()
    line = [sys.executable, "-c", COMMAND, "dream", *words]
    begun, shown = time.monotonic(), list[tuple[float, str]]()
    termios.tcsetwinsize(end, (24, 80))
    ours = {**os.environ, "PYTHONPATH": python_path()}
    with subprocess.Popen(line, stdout=end, stderr=end, env=ours):
        os.close(end)
        try:
            while data := os.read(main, 4096):
                shown.append((time.monotonic() - begun, data.decode()))
        except OSError:
            pass  # the other end is closed
    os.close(main)
    return shown


def text(shown: list[tuple[float, str]]) -> str:
    return "".join(part for _, part in shown)


@pytest.mark.timed
def test_a_silent_command_is_named_at_once_and_then_counts_seconds() -> None:
    shown = seen("2.6")
    told = text(shown)
    assert told.startswith("gleanset dream ...\r")
    assert shown[0][0] < 1.5  # half a second on a machine that is not busy
    assert "gleanset dream: 2 s\r" in told
    # It is gone before anything else is shown, and never comes back.
    before, _, after = told.partition("first said")
    assert before.endswith(" \r")
    assert "gleanset dream" not in after
    assert after.split() == ["dreamt:", "1"]


@pytest.mark.timed
def test_a_bar_takes_its_place() -> None:
    told = text(seen("2.4", "--bar"))
    assert "gleanset dream: 2 s" not in told
    assert "faces" in told


@pytest.mark.parametrize("word", ["-q", "-v", "--progress=json"])
def test_nothing_is_shown_to_whom_it_is_not_for(word: str) -> None:
    assert "gleanset dream" not in text(seen("0.3", word))


def test_a_pipe_gets_no_such_line() -> None:
    line = [sys.executable, "-c", COMMAND, "dream", "0.6"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "first said\n"


@pytest.mark.parametrize(
    "room", ["baseline", "facecrop", "harvest", "labeler", "pipeline", "webapp"]
)
def test_the_version_is_said_without_imports(room: str, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('imported')")
    name = "gleanset" if room == "pipeline" else room
    done = run_cli(f"{room}.__main__", "--version", PYTHONPATH=python_path(tmp_path))
    assert (done.code, done.stdout.split()[:2]) == (0, [f"{name},", "version"])
