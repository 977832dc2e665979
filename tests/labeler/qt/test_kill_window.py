"""kill -9 of the whole window, at random: what was saved is there, and at most one thing more."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_faces import add_classes
from many_faces import make_many
from sorting_book import NAMES, Book, found, next_gesture, replayed
from tools_for_tests import python_path

from gleanset import Dataset
from gleanset.db.views import EVERYWHERE, OrderedSamples
from labeler.sorting.session import SortingSession

SAMPLES = 6
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def killed(root: Path, seed: int, seconds: float) -> int:
    """How many gestures were saved for certain before the kill."""
    paths = python_path(HERE, HERE.parent)
    with subprocess.Popen(
        [sys.executable, HERE / "window_child.py", root, str(SAMPLES), str(seed)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"!"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return len(process.stdout.read())


def kill_often(root: Path, times: int) -> int:
    make_many(root, SAMPLES)
    add_classes(root, NAMES)
    with Dataset.open(root) as dataset:
        tiles = SortingSession(dataset).tiles
        keys = tiles.keys_of(OrderedSamples(dataset.db).rows(EVERYWHERE).ids)
    book = Book(dict.fromkeys(range(SAMPLES), ":queue"))
    dice, total = random.Random(2), 0
    for seed in range(times):
        # Undoing what made the classes would take their keys away: the book begins after it.
        book.done, book.undone = [], []
        _forget_history(root)
        done = killed(root, seed, dice.uniform(0, 0.6))
        again = random.Random(seed)
        replayed(book, again, done, SAMPLES)
        with Dataset.open(root) as dataset:
            seen = found(dataset, keys)
        if seen != book.state:
            book.play(next_gesture(again, book, SAMPLES))
        assert seen == book.state
        total += done
    return total


def _forget_history(root: Path) -> None:
    """Steps of earlier spells stay in the journal; here they cannot be undone any more."""
    with Dataset.open(root) as dataset, dataset.db.write():
        for table in ("decision", "change", "step"):
            dataset.db.run(f"DELETE FROM {table}")


@pytest.mark.slow
def test_kill_9_of_a_window(tmp_path: Path) -> None:
    assert kill_often(tmp_path / "d", 2) > 0


@pytest.mark.slow
@pytest.mark.long
def test_kill_9_of_25_windows(tmp_path: Path) -> None:
    assert kill_often(tmp_path / "d", 25) > 5
