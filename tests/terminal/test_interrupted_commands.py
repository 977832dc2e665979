"""Ctrl-C during a command: what is left on the screen, and that it continues when run again."""

import shlex
import shutil

import pytest
from drawn_dataset import fill
from printed_lines import BAR, PrintedLines
from states import NAME, States
from syrupy.assertion import SnapshotAssertion
from terminal_for_tests import TerminalRun, run_in_terminal

from gleanset import Dataset

HERE = f"-d {NAME}"
# The text at which Ctrl-C is pressed.
LINES = [
    ("empty", f"harvest folder sorted --hints-from-folders {HERE}", "files: "),
    ("empty", f"harvest frames episode.mp4 {HERE}", "%|"),
    ("empty", f"gleanset episodes episode.mp4 --to 8s {HERE}", "%|"),
    ("empty", f"labeler import sorted {HERE}", "import: "),
    ("collected", f"facecrop run {HERE}", "faces: "),
    ("labelled", f"labeler dedup {HERE}", "hashing: "),
    ("labelled", f"baseline prelabel {HERE}", "%|"),
    ("split", f"labeler export out {HERE}", "export: "),
]


def check_interruption(ended: TerminalRun, words: list[str]) -> None:
    assert ended.code == 130, ended.text
    assert [line for line in ended.lines if BAR.search(line)] == []
    assert ended.lines[-3:] == [
        "interrupted; completed work is kept",
        "hint: run it again to continue:",
        f"  {shlex.join(words)}",
    ]


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.parametrize(
    ("state", "line", "text"),
    LINES,
    ids=[line.partition(" -")[0] for _, line, _ in LINES],
)
def test_interrupted_command_continues(
    state: str, line: str, text: str, states: States, snapshot: SnapshotAssertion
) -> None:
    words = shlex.split(line)
    program, *rest = words
    home = states.copy(state)
    # Otherwise `baseline prelabel` has nothing to compute.
    shutil.rmtree(home / NAME / "cache" / "features", ignore_errors=True)
    module = {"gleanset": "pipeline"}.get(program, program)
    ended = run_in_terminal(
        f"{module}.cli", *rest, cwd=home, interrupt_at=text, columns=160
    )
    check_interruption(ended, words)
    again = PrintedLines(states, home)
    assert again.run(line).code == 0
    again.check(snapshot)
    shutil.rmtree(home)


def test_interrupted_training_leaves_no_bar(dataset: Dataset) -> None:
    fill(dataset)
    options = ["size=32", "blocks=8", "dense=8", "epochs=100000", "patience=100000"]
    words = ["train", *(f"-o{option}" for option in options), "-d", "dataset"]
    ended = run_in_terminal(
        "baseline.cli",
        *words,
        cwd=dataset.root.parent,
        interrupt_at="%|",
        columns=160,
    )
    check_interruption(ended, ["baseline", *words])
