"""What every command prints in the states in which a person meets it, as snapshots.

Numbers, paths, hashes and times are masked. After a change of the output, look at the difference
and renew the snapshots: `pytest tests/terminal --snapshot-update`.
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from advice import commands_in, has_placeholder, parse, read_advice
from commands_to_run import WITH_WORK, list_commands
from screens import Printed, mask, run_on_pipe, run_on_screen
from states import NAME, States
from syrupy.assertion import SnapshotAssertion

from gleanset import Dataset

BAR = re.compile(r"\d+%\||it/s|/s\]")
WORK = (
    "facecrop.search",
    "harvest.folder",
    "labeler.duplicates.verification",
    "labeler.export.job",
    "labeler.quality.assessment",
)
"""Imports of worker processes."""

STAYS_OPEN = ("webapp serve", "labeler -", "labeler open")
"""Commands that run until a person ends them: only their options are checked."""
SOMEWHERE = re.compile(r"^(python|pip|sudo|ssh|xvfb-run)\b")

pytestmark = pytest.mark.usefixtures("site_logins", "no_display")


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    """Make each state once for this module."""
    folder = tmp_path_factory.mktemp("states")
    # Otherwise every pool would import them again.
    forkserver.set_forkserver_preload(["__main__", *WORK])
    forkserver.ensure_running()
    yield States(folder)
    shutil.rmtree(folder)


def fill_in(line: str, home: Path) -> str:
    """Replace SAMPLE, SAMPLE2 and IMAGE by the beginnings of ids."""
    if "SAMPLE" not in line and "IMAGE" not in line:
        return line
    with Dataset.open(home / NAME) as dataset:
        images = sorted(image.sha256 for image in dataset.images.iterate())
        samples = sorted(sample.key for sample in dataset.samples.iterate())
    for name, ids in (("SAMPLE2", samples[1:]), ("SAMPLE", samples), ("IMAGE", images)):
        line = line.replace(name, ids[0][:12] if ids else "")
    return line


def show(line: str, home: Path) -> Printed:
    """Run the commands of a line, and return what the last one leaves on the screen."""
    *before, last = fill_in(line, home).split(" && ")
    for earlier in before:
        run_on_pipe(shlex.split(earlier), home)
    return run_on_screen(shlex.split(last), home)


def check_screen(line: str, printed: Printed) -> list[str]:
    """Return what is wrong with a screen: a traceback, a bar, words for programs."""
    wrong = [f"{line}: {text}" for text in printed.lines if BAR.search(text)]
    if printed.code == 1 or "Traceback" in printed.text:
        wrong.append(f"{line}: {printed.text}")
    return wrong


class Advice:
    """Runs each advised command once in a copy of the folder where it was advised."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._run: set[str] = set()

    def follow(self, line: str, printed: Printed, home: Path) -> Iterator[str]:
        """Yield the commands that do not do what was advised, with what they print."""
        for text in read_advice(printed.lines):
            for command in commands_in(text):
                if command in self._run:
                    continue
                self._run.add(command)
                if has_placeholder(command):
                    continue
                if problem := parse(command):
                    yield f"{line} advises: {text}\n-> {problem}"
                elif not command.startswith(STAYS_OPEN):
                    copy = self._states.copy_of(home)
                    result = show(command, copy)
                    shutil.rmtree(copy)
                    if result.code != 0:
                        yield f"{line} advises: {text}\n-> {result.code} {result.text}"


def run_all(
    lines: list[str], state: str, states: States, snapshot: SnapshotAssertion | None
) -> None:
    """Run each line in a copy of a state; check its screen, its advice, and the snapshot."""
    advice = Advice(states)
    shown: list[str] = []
    wrong: list[str] = []
    for line in lines:
        home = states.copy(state)
        printed = show(line, home)
        wrong += check_screen(line, printed)
        wrong += advice.follow(line, printed, home)
        lines_shown = mask(printed.lines, home, states.folder)
        if line.startswith("labeler classes list"):
            # Classes are in the order of their first image; images are imported in parallel.
            lines_shown = sorted(lines_shown)
        shown += [f"$ {line}", *lines_shown, f"-> {printed.code}", ""]
        shutil.rmtree(home)
    assert wrong == [], "\n\n".join(wrong)
    assert snapshot is None or "\n".join(shown) == snapshot


@pytest.mark.slow
@pytest.mark.parametrize(
    "state", ["nothing", "empty", "collected", "half_labelled", "trained"]
)
def test_commands_print(
    state: str, states: States, snapshot: SnapshotAssertion
) -> None:
    run_all(list_commands(state, slow=False), state, states, snapshot)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("state", WITH_WORK)
def test_advice_of_slow_commands_works(state: str, states: States) -> None:
    run_all(list_commands(state, slow=True), state, states, None)
