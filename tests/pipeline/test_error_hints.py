"""Commands in the hints of errors work, and lead on without a circle."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from test_next_step import Make, harvested, imported, one_class, searched, taken_whole
from tools_for_tests import Ran, run_here

from gleanset import Dataset
from pipeline.status import next_step

PROGRAMS = {"gleanset": "pipeline"}
COMMAND_WITH_DATASET = re.compile(
    r"\b((?:gleanset|harvest|facecrop|labeler|baseline|webapp) [a-z][^;\n]*)"
)
COMMANDS = (
    "baseline train -o epochs=1 -o size=32",
    "baseline train --folds 2 -s",
    "baseline evaluate",
    "baseline predict .",
    "baseline export",
    "labeler split",
    "labeler export out",
    "labeler gallery page.html",
    "labeler gallery page.html --clusters",
    "labeler accept hints",
    "labeler accept predictions",
    "labeler quality",
    "labeler audit",
)

INVALID_COMMANDS = (
    "labeler label hana nothing",
    "labeler label hana --cluster nothing",
    "labeler classes rename nobody somebody",
    "labeler classes delete nobody",
    "labeler accept predictions --class nobody",
    "webapp reports accept 9",
    "gleanset forget --report 9",
    "gleanset restore nothing",
    "gleanset forget nothing",
    "baseline evaluate nothing",
    "baseline compare nothing neither",
    "baseline predict .",
    "labeler export out",
    "labeler audit nothing",
)
COMMAND_WITHOUT_DATASET = re.compile(
    r": ((?:gleanset|harvest|facecrop|labeler|baseline|webapp)(?: [a-z-]+)+)(?=[;,)]|$)", re.M
)
"""A command without placeholders, to be typed in the dataset folder."""


def without_hints(make: Callable[..., object]) -> Make:
    def make_without_hints(dataset: Dataset, folder: Path) -> None:
        make(dataset, folder, hints=False)

    make_without_hints.__name__ = f"{make.__name__}_without_hints"
    return make_without_hints


STATES: tuple[Make, ...] = (
    lambda dataset, folder: None,
    without_hints(harvested),
    without_hints(searched),
    without_hints(taken_whole),
    one_class,
    imported,
)


def suggested_commands(text: str) -> list[str]:
    """Return the commands in a text that name their dataset."""
    return [line.strip() for line in COMMAND_WITH_DATASET.findall(text) if " -d " in line]


class HintFollower:
    """Runs the commands of hints, each once while nothing changes."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self._results: dict[str, tuple[int, str]] = {}
        self.first_step = self.next

    @property
    def next(self) -> str:
        with Dataset.open(self._root) as dataset:
            return next_step(dataset)

    def run(self, line: str) -> tuple[int, str]:
        if line not in self._results:
            # Where a cross-validation can be planned, a training would start.
            is_training = line.startswith("baseline train --preset")
            done = run(f"{line} --folds 2 -s" if is_training else line, self._folder)
            if is_training and done.code:
                done = run(line, self._folder)
            assert done.code in (0, 2, 3), done.stderr
            self._results[line] = done.code, done.stdout + done.stderr
        return self._results[line]

    def follow(self, line: str, *previous_lines: str) -> None:
        """Run a command and, unless it changed something, the commands it names."""
        assert line not in previous_lines, f"circular hints: {(*previous_lines, line)}"
        code, message = self.run(line)
        # test_next_step trains, and runs the command that status prints.
        if code == 0 and line.startswith(("gleanset status", "baseline train")):
            return
        if code == 0 and self.next != self.first_step:
            self._results.clear()
            return
        commands = suggested_commands(message)
        assert commands, f"no command in the output of {line}: {message}"
        for suggestion in commands:
            self.follow(suggestion, *previous_lines, line)


@pytest.mark.slow
@pytest.mark.parametrize("make", STATES, ids=lambda make: make.__name__.strip("<>"))
@pytest.mark.usefixtures("no_display")
def test_commands_in_error_hints_work(tmp_path: Path, make: Make) -> None:
    root = tmp_path / "my dataset"
    with Dataset.create(root) as dataset:
        make(dataset, tmp_path)
    follower = HintFollower(root, tmp_path)
    for command in COMMANDS:
        line = f"{command} -d {shlex.quote(str(root))}"
        code, message = follower.run(line)
        for suggestion in suggested_commands(message) if code else []:
            follower.follow(suggestion, line)


@pytest.mark.slow
def test_hints_work_in_dataset_folder(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "d") as dataset:
        imported(dataset, tmp_path)
    commands = set()
    for line in INVALID_COMMANDS:
        done = run(line, tmp_path / "d")
        assert done.code in (2, 3), (line, done.stderr)
        commands |= set(COMMAND_WITHOUT_DATASET.findall(done.stderr))
    assert len(commands) > 3
    for line in sorted(commands):
        done = run(line, tmp_path / "d")
        assert done.code == 0, (line, done.stderr)


def run(line: str, folder: Path) -> Ran:
    program, *words = shlex.split(line)
    return run_here(f"{PROGRAMS.get(program, program)}.cli", *words, cwd=folder)
