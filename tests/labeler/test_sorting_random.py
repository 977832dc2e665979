"""Random gestures compared with a model; restarts, two windows, and kill -9."""

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
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from labeler_makers import add_faces, add_image
from sorting_model import TARGETS, Gesture, SortingModel, carry_out, random_gesture, read_state
from tools_for_tests import examples

from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.sorting.session import SortingSession

SAMPLES = 6


def make(root: Path) -> list[str]:
    with Dataset.create(root) as dataset:
        return [add_faces(dataset, add_image(dataset, f"p{n}"))[0] for n in range(SAMPLES)]


class RandomSorting(RuleBasedStateMachine):
    """Gestures, undo, redo and restarts of one window."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.keys = make(Path(self.folder.name))
        self.model = SortingModel(dict.fromkeys(range(SAMPLES), ":queue"))
        self.open()

    def open(self) -> None:
        self.dataset = Dataset.open(self.folder.name)
        self.session = SortingSession(self.dataset)

    @rule(samples=st.sets(st.integers(0, SAMPLES - 1), min_size=1), where=st.sampled_from(TARGETS))
    def send(self, samples: set[int], where: str) -> None:
        self.play(Gesture("to", tuple(samples), where))

    @rule(kind=st.sampled_from(["undo", "redo"]))
    def undo_or_redo(self, kind: str) -> None:
        self.play(Gesture(kind))

    def play(self, gesture: Gesture) -> None:
        if self.model.can_play(gesture):
            carry_out(self.session, self.keys, gesture)
            self.model.play(gesture)
        else:
            with pytest.raises(UsageError, match="nothing to"):
                carry_out(self.session, self.keys, gesture)

    @rule()
    def restart(self) -> None:
        self.dataset.close()
        self.open()

    @invariant()
    def catalogue_matches_model(self) -> None:
        assert read_state(self.dataset, self.keys) == self.model.state
        progress = self.session.progress()
        assert progress.counts.total == SAMPLES
        assert (progress.undo is not None) == bool(self.model.undo_stack)
        assert (progress.redo is not None) == bool(self.model.redo_stack)

    def teardown(self) -> None:
        self.dataset.close()
        self.folder.cleanup()


TestRandomSorting = RandomSorting.TestCase
TestRandomSorting.settings = settings(
    max_examples=examples(3, 12), stateful_step_count=25, suppress_health_check=list(HealthCheck)
)


def test_two_windows_with_random_gestures(tmp_path: Path) -> None:
    """Each sample is where its latest gesture, of either window, has put it."""
    keys = make(tmp_path)
    dice = random.Random(11)
    with Dataset.open(tmp_path) as first, Dataset.open(tmp_path) as second:
        sessions = (SortingSession(first), SortingSession(second))
        state = dict.fromkeys(range(SAMPLES), ":queue")
        for _ in range(examples(30, 120)):
            gesture = random_gesture(dice, SAMPLES)
            session = dice.choice(sessions)
            before = read_state(first, keys)
            try:
                carry_out(session, keys, gesture)
            except UsageError:
                assert gesture.kind != "to"
                continue
            if gesture.kind == "to":
                state |= dict.fromkeys(gesture.samples, gesture.target)
            else:
                # An undo changes only samples that no later gesture has changed.
                after = read_state(first, keys)
                state |= {n: after[n] for n in after if after[n] != before[n]}
            assert read_state(second, keys) == state


def play_until_killed(
    root: Path, keys: list[str], seed: int, pipe: int, model: SortingModel
) -> None:
    """Play random gestures without end; write a byte after each that is saved."""
    dice = random.Random(seed)
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        os.write(pipe, b"!")
        while True:
            gesture = model.next_gesture(dice)
            carry_out(session, keys, gesture)
            model.play(gesture)
            os.write(pipe, b".")


def kill_child(root: Path, keys: list[str], seed: int, model: SortingModel, seconds: float) -> int:
    """Return the number of gestures that were certainly saved before the kill."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            play_until_killed(root, keys, seed, writer, model)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as saved:
        assert saved.read(1) == b"!"
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return len(saved.read())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.slow
def test_gestures_survive_random_kills(tmp_path: Path) -> None:
    """The catalogue has all gestures that were saved, and at most the one under way.

    On a busy machine, which plays few gestures between kills, there are more kills.
    """
    kills, keys = 6, make(tmp_path)
    model = SortingModel(dict.fromkeys(range(SAMPLES), ":queue"))
    dice, seed = random.Random(0), 0
    while seed < kills or model.played <= kills:
        before = model.played
        saved = kill_child(tmp_path, keys, seed, model, dice.uniform(0, 0.05))
        with Dataset.open(tmp_path) as dataset:
            # Every gesture is one step.
            recorded = SortingSession(dataset).progress().saved
            assert saved <= recorded - before <= saved + 1
            model.replay(random.Random(seed), recorded - before)
            assert read_state(dataset, keys) == model.state
        seed += 1
