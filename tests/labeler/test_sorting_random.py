"""Random gestures beside a book of what should be; restarts, two windows, and kill -9."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from labeler_makers import add_faces, add_image
from sorting_model import (
    NAMES,
    PLACES,
    Book,
    Gesture,
    carry_out,
    found,
    next_gesture,
    random_gesture,
    replayed,
)
from tools_for_tests import examples

from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.sorting.session import SortingSession

SAMPLES = 6
TARGETS = (*NAMES, *(f":{place}" for place in PLACES))


def make(root: Path) -> list[str]:
    with Dataset.create(root) as dataset:
        return [add_faces(dataset, add_image(dataset, f"p{n}"))[0] for n in range(SAMPLES)]


class Walk(RuleBasedStateMachine):
    """Gestures, undo, redo and restarts of one window."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.keys = make(Path(self.folder.name))
        self.book = Book(dict.fromkeys(range(SAMPLES), ":queue"))
        self.open()

    def open(self) -> None:
        self.dataset = Dataset.open(self.folder.name)
        self.session = SortingSession(self.dataset)

    @initialize()
    def start(self) -> None:
        assert self.session.progress().counts.pending == SAMPLES

    @rule(samples=st.sets(st.integers(0, SAMPLES - 1), min_size=1), where=st.sampled_from(TARGETS))
    def send(self, samples: set[int], where: str) -> None:
        self.play(Gesture("to", tuple(samples), where))

    @rule(kind=st.sampled_from(["undo", "redo"]))
    def back_and_forth(self, kind: str) -> None:
        self.play(Gesture(kind))

    def play(self, gesture: Gesture) -> None:
        if self.book.may(gesture):
            carry_out(self.session, self.keys, gesture)
            self.book.play(gesture)
        else:
            with pytest.raises(UsageError, match="nothing to"):
                carry_out(self.session, self.keys, gesture)

    @rule()
    def restart(self) -> None:
        self.dataset.close()
        self.open()

    @invariant()
    def the_catalogue_is_as_the_book_says(self) -> None:
        assert found(self.dataset, self.keys) == self.book.state
        progress = self.session.progress()
        assert progress.counts.total == SAMPLES
        assert (progress.undo is not None) == bool(self.book.done)
        assert (progress.redo is not None) == bool(self.book.undone)

    def teardown(self) -> None:
        self.dataset.close()
        self.folder.cleanup()


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=examples(6, 12), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)


def test_two_windows_with_random_gestures(tmp_path: Path) -> None:
    """Whatever two windows do, a sample is where the last gesture about it has put it."""
    keys = make(tmp_path)
    dice = random.Random(11)
    with Dataset.open(tmp_path) as one, Dataset.open(tmp_path) as other:
        sessions = (SortingSession(one), SortingSession(other))
        state = dict.fromkeys(range(SAMPLES), ":queue")
        for _ in range(120):
            gesture = random_gesture(dice, SAMPLES)
            session = dice.choice(sessions)
            before = found(one, keys)
            try:
                carry_out(session, keys, gesture)
            except UsageError:
                assert gesture.kind != "to"
                continue
            if gesture.kind == "to":
                state |= dict.fromkeys(gesture.samples, gesture.target)
            else:
                # An undo only touches what nobody has changed since, and never more.
                after = found(one, keys)
                state |= {n: after[n] for n in after if after[n] != before[n]}
            assert found(other, keys) == state


def child(root: Path, keys: list[str], seed: int, pipe: int, book: Book) -> None:
    """Gestures without an end; a byte after each that is done. Runs until it is killed."""
    dice, book = random.Random(seed), book.copy()
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        os.write(pipe, b"!")
        while True:
            gesture = random_gesture(dice, SAMPLES)
            if book.may(gesture):
                carry_out(session, keys, gesture)
                book.play(gesture)
                os.write(pipe, b".")


def killed_after(root: Path, keys: list[str], seed: int, book: Book, seconds: float) -> int:
    """How many gestures were done for certain when the child was killed."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            child(root, keys, seed, theirs, book)
        finally:
            os._exit(1)
    os.close(theirs)
    assert os.read(ours, 1) == b"!"
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    done = 0
    while data := os.read(ours, 65536):
        done += len(data)
    os.close(ours)
    return done


def kill_often(root: Path, times: int, first: int = 0) -> int:
    """Kill and start again, with the seeds from `first` on; after each the catalogue holds all
    gestures that were done, and at most the one that was under way.

    Where a busy machine did fewer gestures than that many times, it is killed more often.
    """
    keys = make(root)
    book = Book(dict.fromkeys(range(SAMPLES), ":queue"))
    dice, total, seed = random.Random(first), 0, first
    while seed < first + times or total <= times:
        done = killed_after(root, keys, seed, book, dice.uniform(0, 0.05))
        again = random.Random(seed)
        replayed(book, again, done, SAMPLES)
        with Dataset.open(root) as dataset:
            seen = found(dataset, keys)
        if seen != book.state:
            book.play(next_gesture(again, book, SAMPLES))
            assert seen == book.state
        else:
            book = _with_last(root, keys, book, again)
        total, seed = total + done, seed + 1
    return total


def _with_last(root: Path, keys: list[str], book: Book, dice: random.Random) -> Book:
    """The gesture under way may have been done and changed nothing: the journal tells."""
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        undo, redo = session.history.depths()
    if (undo, redo) == (len(book.done), len(book.undone)):
        return book
    gesture = next_gesture(dice, book, SAMPLES)
    book.play(gesture)
    assert (undo, redo) == (len(book.done), len(book.undone))
    return book


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.slow
def test_gestures_survive_random_kills(tmp_path: Path) -> None:
    assert kill_often(tmp_path, 12) > 12
