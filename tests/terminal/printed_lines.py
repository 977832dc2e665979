"""Runs command lines in copies of a folder, and checks what they print and advise."""

import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from advice import commands_in, has_placeholder, parse, read_advice, takes_dataset
from screens import WIDTH, Printed, run_on_pipe, run_on_screen
from states import NAME, States
from syrupy.assertion import SnapshotAssertion
from terminal_for_tests import mask
from tools_for_tests import ROOT

from gleanset import Dataset
from gleanset.db.faces import Tracks

BAR = re.compile(r"\d+%\||it/s|/s\]")
CONTROL = re.compile(r"[\r\x1b]")
ONE_WORD = re.compile(r" *(\S+|(gleanset|harvest|facecrop|labeler|baseline|webapp) .*)")
"""Lines that may be long: a path, a URL, or a command to copy."""
MENTION = re.compile(r"^(Usage:|Try |Error: |    (needed for|hint): )")
"""Lines of click and `doctor`, whose commands need no dataset."""
HINT_ABOVE = re.compile(r"^( *hint:)\n +", re.MULTILINE)
"""A hint whose command, of any length, may be on the next line."""

STAYS_OPEN = (
    "webapp serve",
    "labeler serve",
    "labeler -",
    "labeler open",
    "harvest login",
)
"""Commands that wait for a person: only their options are checked."""
LOOKS = (
    "gleanset status",
    "gleanset list",
    "gleanset recipes",
    "labeler classes list",
    "labeler groups --",
    "webapp reports list",
    "baseline predict",
)
"""Commands that change nothing: whoever does not act on what they show is advised again."""
ADVISED_TRAINING = "baseline train --preset"
LESS_WORK = "-o size=32 -o views=1"
"""Options that are added to an advised training, which takes seconds even so."""
_TRAINED: set[str] = set()
"""Advised trainings that were run, in any state."""


def fill_in(line: str, home: Path) -> str:
    """Replace SAMPLE, SAMPLE2, IMAGE and TRACK by the beginnings of ids, CLASS by a name."""
    if not re.search("SAMPLE|IMAGE|TRACK", line):
        return line
    with Dataset.open(home / NAME) as dataset:
        ids = {
            "SAMPLE": sorted(sample.key for sample in dataset.samples.iterate()),
            "IMAGE": sorted(image.sha256 for image in dataset.images.iterate()),
            "TRACK": [stored.track.name for stored in Tracks(dataset.db).iterate()],
        }
    ids["SAMPLE2"] = ids["SAMPLE"][1:]
    for name in sorted(ids, reverse=True):
        line = line.replace(name, ids[name][0][:12] if ids[name] else "")
    return line


def show(line: str, home: Path) -> Printed:
    """Run the commands of a line, and return what the last one leaves on the screen."""
    return run_on_screen(_run_all_but_last(line, home), home)


def _run_all_but_last(line: str, home: Path) -> list[str]:
    *before, last = fill_in(line, home).split(" && ")
    for earlier in before:
        run_on_pipe(shlex.split(earlier), home)
    return shlex.split(last)


def find_faults(printed: Printed) -> Iterator[str]:
    """Yield what is wrong with a screen: a traceback, a bar, a long line, a lost dataset."""
    if printed.code == 1 or "Traceback" in printed.text:
        yield printed.text
    for line in printed.lines:
        if BAR.search(line):
            yield f"bar: {line}"
        if len(line) > WIDTH and not ONE_WORD.fullmatch(line):
            yield f"long: {line}"
        for command in [] if MENTION.match(line) else commands_in(line):
            is_whole = not parse(command)
            is_named = re.search(" (-d|--into) ", command)
            if is_whole and takes_dataset(command) and not is_named:
                yield f"without -d: {line}"


def is_alternative(line: str, command: str) -> bool:
    """Return whether an advised command changes nothing, or does with the words of `line`.

    A file of another format counts as the same word.
    """
    words = {Path(word).stem for word in shlex.split(line)[2:]} - {"-d", NAME}
    advised = {Path(word).stem for word in shlex.split(command)[2:]}
    return command.startswith(LOOKS) or not words.isdisjoint(advised)


class PrintedLines:
    """What command lines print in a folder, what is wrong with it, and advice that fails."""

    def __init__(self, states: States, home: Path) -> None:
        self._states = states
        self._home = home
        self._shown: list[str] = []
        self._faults: list[str] = []
        self._done: set[str] = set()

    def run(self, line: str, *, on_pipe: bool = False) -> Printed:
        """Run a line in a copy of the folder, follow its advice, and note what it prints."""
        home = self._states.copy_of(self._home)
        printed = show(line, home)
        masked = self._note(line, printed, home)
        shutil.rmtree(home)
        if on_pipe:
            self._compare_with_pipe(line, printed.code, masked)
        return printed

    def run_twice(self, line: str) -> list[Printed]:
        """Run a command that takes long as `run` does, and again in the same copy."""
        home = self._states.copy_of(self._home)
        runs: list[Printed] = []
        for noted_as in (line, f"{line} && {line}"):
            runs.append(show(line, home))
            self._note(noted_as, runs[-1], home)
        shutil.rmtree(home)
        return runs

    def _note(self, line: str, printed: Printed, home: Path) -> list[str]:
        """Note what a line printed, its faults and those of its advice; return masked lines."""
        self._faults += [f"{line}: {fault}" for fault in find_faults(printed)]
        for text in read_advice(printed.lines):
            self._faults += self._follow(line, text, home)
        masked = self._mask(printed.lines, home)
        if line.startswith("labeler classes list") and printed.code == 0:
            # Classes are in the order of their first image; images are imported in parallel.
            masked = sorted(masked)
        self._shown += [f"$ {line}", *masked, f"-> {printed.code}", ""]
        return masked

    def check(self, snapshot: SnapshotAssertion) -> None:
        """Fail for faults and for output that differs from the snapshot."""
        is_as_before = "\n".join(self._shown) == snapshot
        assert self._faults == [], "\n\n".join(self._faults)
        assert is_as_before, "\n".join(self._shown)

    def _mask(self, lines: list[str], home: Path) -> list[str]:
        text = HINT_ABOVE.sub(r"\1 ", "\n".join(lines))
        folders = (home, self._states.own, self._states.folder, ROOT)
        return mask(text.splitlines(), *folders)

    def _compare_with_pipe(self, line: str, code: int, shown: list[str]) -> None:
        """Run a line on pipes, which print the same words in lines that are not wrapped."""
        home = self._states.copy_of(self._home)
        piped = run_on_pipe(_run_all_but_last(line, home), home)
        masked = self._mask(piped.lines, home)
        shutil.rmtree(home)
        words, others = (Counter(" ".join(lines).split()) for lines in (shown, masked))
        if (piped.code, others) != (code, words) or CONTROL.search(piped.text):
            text = "\n".join(masked)
            self._faults.append(f"{line} on a pipe: {piped.code} {text}\nnot: {shown}")

    def _follow(self, line: str, text: str, home: Path) -> Iterator[str]:
        """Yield the commands of an advice that do not do what was advised."""
        for command in commands_in(text):
            if command in line.split(" && ")[-1:] and not text.startswith("undo"):
                yield f"{line} advises itself: {text}"
            followed = _TRAINED if command.startswith("baseline train") else self._done
            if command in followed:
                continue
            followed.add(command)
            if has_placeholder(command):
                continue
            if problem := parse(command):
                yield f"{line} advises: {text}\n-> {problem}"
            elif not command.startswith(STAYS_OPEN):
                yield from self._run_advised(line, command, text, home)

    def _run_advised(
        self, line: str, command: str, text: str, home: Path
    ) -> Iterator[str]:
        """Run an advised command, then the line again, which may not advise the same."""
        copy = self._states.copy_of(home)
        is_training = command.startswith(ADVISED_TRAINING)
        result = show(f"{command} {LESS_WORK}" if is_training else command, copy)
        if result.code != 0:
            yield f"{line} advises: {text}\n-> {result.code} {result.text}"
        elif text.startswith(("next", "hint")) and not is_alternative(line, command):
            last = fill_in(line.split(" && ")[-1], home)
            again = run_on_pipe(shlex.split(last), copy)
            advice = [
                other
                for text_again in read_advice(again.lines)
                for other in commands_in(text_again)
            ]
            if command in advice:
                yield f"{line} advises in a circle: {text}\n-> {again.text}"
        shutil.rmtree(copy)
