"""Output for people: tables, names, progress."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyte
import pytest
from terminal_for_tests import run_line_in_terminal
from tools_for_tests import python_path, run_here, write_pictures

from gleanset.credit import clean_credit_text
from gleanset.named_files import format_short_path
from gleanset.records import Interval
from gleanset.terminal import (
    count_columns,
    escape_name,
    format_result,
    format_table,
    has_controls,
    replace_controls,
    wrap,
    wrap_error,
    wrap_named,
)
from gleanset.tree import ARCHIVE
from gleanset.work.progress import Progress, closing_bars


def test_wrap_breaks_at_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = wrap(
        "  as many words as stand here are too many for one line of this width, or two"
    )
    assert lines == [
        "  as many words as stand here are too",
        "    many for one line of this width, or",
        "    two",
    ]
    assert wrap("short") == ["short"]
    assert "".join(wrap("猫 " * 40)).replace(" ", "") == "猫" * 40
    assert max(map(count_columns, wrap("猫 " * 40))) <= 40


@pytest.mark.parametrize(
    "text",
    [
        "/work/a folder/with a long name/report.html",
        "labeler accept hints -d 'my dataset of many faces'",
        "https://a.example/a?b=c d e f g h i j k l m n",
        "C:\\Users\\a b\\a long folder\\report.html",
    ],
)
def test_wrap_named_keeps_paths_and_commands_whole(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert wrap_named("next", text) == ["next:", f"  {text}"]
    monkeypatch.setenv("COLUMNS", "99")
    assert wrap_named("next", text) == [f"next: {text}"]


def test_format_result_nests_sections_and_keeps_first_zero() -> None:
    result = {"added": 3, "known": 0, "interval": Interval(0.25, 2 / 3)}
    reasons = {"too large": 2, "blank": 0}
    assert format_result({**result, "reasons": reasons, "left": ["a", "b"]}) == [
        "added: 3, interval: 0.25 to 0.6667",
        "reasons:",
        "  too large: 2, blank: 0",
        "left:",
        "  a",
        "  b",
    ]
    assert format_result({"added": 0, "known": 0, "rejected": 2}) == [
        "added: 0, rejected: 2"
    ]
    assert format_result({"step": 4, "same": True}) == ["step: 4, same: yes"]
    assert format_result({"note": "", "at": None, "added": 1}) == ["added: 1"]
    lines = ["ignored reasons:", "  not an image: 2", f"  {ARCHIVE}: 12", "  hidden: 1"]
    ignored = {"not an image": 2, ARCHIVE: 12, "hidden": 1}
    assert format_result({"ignored_reasons": ignored}) == lines


def test_wide_table_continues_below() -> None:
    rows = [("run", "accuracy", "loss"), ("20260101-transfer", "0.912", "0.3")]
    assert format_table(rows, max_width=60) == [
        "run                accuracy  loss",
        "20260101-transfer     0.912   0.3",
    ]
    assert format_table(rows, max_width=36) == format_table(rows, max_width=60)
    assert format_table(rows, max_width=30) == [
        "run              accuracy",
        "20260101-trans…     0.912",
        "run              loss",
        "20260101-trans…   0.3",
    ]


KEPT = [
    "初音\u3000ミク.png",
    "Screenshot 2025-02-26 at 12.53.24\u202fPM.png",
    "\U0001f469\u200d\U0001f3a4.png",
    "a\u00a0b.png",
    "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png",  # Persian, with a non-joiner
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.png",  # a flag of tags
    "❤\ufe0f.png",
    "\u05e9\u05dc\u05d5\u05dd\u200f!.png",
    "soft\u00adhyphen.png",
]
ACTING = [
    "\0",
    "\x1b[2J",
    "\n",
    "\x85",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ud800",
    "\uffff",
    "\u0378",
]


@pytest.mark.parametrize("name", KEPT)
def test_names_of_all_scripts_are_kept(name: str) -> None:
    assert not has_controls(name)
    assert replace_controls(name, "\ufffd") == escape_name(name) == name
    assert format_short_path(f"folder/{name}") == f"folder/{name}"
    assert clean_credit_text(name).split() == name.split(), (
        "an author's name is one line"
    )


@pytest.mark.parametrize("text", ACTING)
def test_control_characters_are_replaced(text: str) -> None:
    name = f"a{text}b.png"
    assert has_controls(name)
    replaced = replace_controls(name, "\ufffd")
    assert replaced != name
    assert not has_controls(replaced)
    for formatted in (
        escape_name(name),
        format_short_path(name),
        clean_credit_text(name) or "",
    ):
        assert text not in formatted


CODE = """
import sys, time
from gleanset.work.progress import Progress
with Progress(quiet=sys.argv[1] == "quiet").meter("episode 1", 5400.0) as meter:
    for _ in range(2):
        time.sleep(0.12)
        meter.advance(900.5)
"""


class InterruptedTerminal(io.StringIO):
    """A terminal on which Ctrl-C comes right after a text was first drawn."""

    is_interrupted = False

    def __init__(self, text: str):
        super().__init__()
        self.text = text

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.text in text and not self.is_interrupted:
            self.is_interrupted = True
            raise KeyboardInterrupt
        return written


@pytest.mark.parametrize("text", ["hashing", "3/10"])
def test_bar_is_removed_if_interrupted_during_drawing(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    terminal = InterruptedTerminal(text)
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyboardInterrupt), closing_bars():
        draw_bar()

    screen = pyte.Screen(80, 5)
    pyte.Stream(screen).feed(terminal.getvalue())
    assert terminal.is_interrupted
    assert "".join(screen.display).strip() == ""

    # Nothing is left locked: threads go on, and so their pool ends.
    thread = threading.Thread(target=draw_bar, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def draw_bar() -> None:
    with closing_bars():
        meter = Progress(quiet=False).meter("hashing", 10)
        time.sleep(0.12)  # as often as bars are drawn
        meter.advance(3)


BETWEEN = """
import logging
import sys
import time
import warnings

import click

from gleanset import own_process
from gleanset.cli import create_program, job_options, main
from gleanset.errors import InputUnusable

own_process.owns_process = True
commands = create_program("try", "Try.")


@commands.command()
@job_options(dataset=False)
@click.argument("how")
def run(job, how):
    for number in job.progress.over(range(400), "counting"):
        time.sleep(0.01)
        if number == 30:
            job.show("shown")
            job.say("said")
            logging.getLogger("pack").error("logged")
            warnings.warn("warned")
            if how == "fail":
                raise InputUnusable("wrong: it", "try another")
            if how == "crash":
                raise RuntimeError("crashed")
            if how == "end":
                return
    job.show("not interrupted")


main(commands)
"""


@pytest.mark.parametrize(
    ("how", "code", "last_line"),
    [
        ("end", 0, '  warnings.warn("warned")'),
        ("fail", 3, "hint: try another"),
        ("crash", 1, "try: this is a bug in Gleanset"),
        ("wait", 130, "  try"),
    ],
)
def test_lines_are_printed_above_the_bar(
    tmp_path: Path, how: str, code: int, last_line: str
) -> None:
    (tmp_path / "between.py").write_text(BETWEEN)
    words = [sys.executable, str(tmp_path / "between.py"), "run", how]
    ran = run_line_in_terminal(words, interrupt_at="warned" if how == "wait" else None)
    assert ran.code == code
    assert ran.lines[:3] == ["shown", "said", "pack: logged"]
    assert [line for line in ran.lines if "it/s" in line or "%|" in line] == []
    assert [line for line in ran.lines if line.startswith("py.warnings: ")]
    assert ran.lines[-1].startswith(last_line)


def run_on_terminal(*, quiet: bool) -> str:
    """Return the stderr of `CODE` on a terminal."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    termios = pytest.importorskip("termios", reason="needs a pseudo-terminal")
    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, (24, 110))
    words = [sys.executable, "-c", CODE, "quiet" if quiet else "loud"]
    environment = {**os.environ, "PYTHONPATH": python_path(), "TERM": "xterm"}
    try:
        done = subprocess.run(
            words,
            stderr=writing,
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
            timeout=60,
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


def test_bar_shows_share_of_total_unless_quiet() -> None:
    output = run_on_terminal(quiet=False)
    assert "episode 1:" in output
    assert "%" in output
    assert any(f"{done}/5400" in output for done in (900, 1801))
    assert run_on_terminal(quiet=True) == ""


def test_log_gets_messages_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in Progress(quiet=False).over(range(40), "short", total=40):
        pass
    assert capsys.readouterr().err == ""


def test_messages_have_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Progress(quiet=False).say("a\x1b[2J name\nsecond line")
    assert capsys.readouterr().err == "a?[2J name\nsecond line\n"
    Progress(quiet=False, as_json=True).say('a "word" of 顔')
    assert lines(capsys.readouterr().err) == [{"message": 'a "word" of 顔'}]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_progress_reports_stages(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", 3)
    words = (
        "folder",
        str(photos),
        "-d",
        str(tmp_path / "set"),
        "--progress",
        "json",
        "--json",
    )
    ran = run_here("harvest.cli", *words).checked()
    assert ran.json["added"] == 3
    result = [line for line in lines(ran.stderr) if line.get("stage") == "files"]
    assert result[0]["done"] == 0
    assert "ended" not in result[0]
    assert (result[-1]["done"], result[-1]["unit"], result[-1]["ended"]) == (
        3,
        "files",
        True,
    )


def test_json_progress_reports_rate_and_eta(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(quiet=False, as_json=True)
    for _ in progress.over(range(4), "counting", total=4, unit=" steps"):
        pass
    with progress.meter("going on", 10, done=4) as meter:
        meter.advance(3, "note")
    first, last, resumed, end = lines(capsys.readouterr().err)
    assert first == {"stage": "counting", "done": 0, "unit": "steps", "total": 4}
    assert (last["done"], last["eta"]) == (4, 0)
    assert (resumed["done"], resumed["total"]) == (4, 10)
    # The rate counts only items of this run.
    assert isinstance(end["rate"], float)
    assert isinstance(end["eta"], float)
    assert end["eta"] == pytest.approx(3 / end["rate"], abs=0.1)
    assert (end["done"], end["note"], end["ended"]) == (7, "note", True)


def test_json_progress_is_throttled(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=False, as_json=True).meter(
        "frames", None, " s of video"
    ) as meter:
        for _ in range(5000):
            meter.advance(0.5)
    result = lines(capsys.readouterr().err)
    assert 2 <= len(result) < 20
    assert (result[-1]["done"], result[-1]["unit"]) == (2500, "s of video")
    assert "total" not in result[-1]
    silent = Progress(quiet=True, as_json=True)
    silent.say("nothing")
    assert (list(silent.over([1], "nothing")), capsys.readouterr().err) == ([1], "")


def test_hint_keeps_its_command_whole() -> None:
    what = "gleanset: " + "several long words " * 6 + "are wrong: this.toml"
    command = "labeler classes add 'a class with a name' --alias another -d 'my own dataset folder'"
    lines = wrap_error(what, f"to import them as one class, first run: {command}")
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-2:] == [
        "hint: to import them as one class, first run:",
        f"  {command}",
    ]
    assert wrap_error("short", f"run: {command[:30]}") == [
        "short",
        f"hint: run: {command[:30]}",
    ]
    assert wrap_error("no hint", "") == ["no hint"]
