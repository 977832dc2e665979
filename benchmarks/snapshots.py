"""What snapshots cost: `python benchmarks/snapshots.py [--samples 100000]`.

Synthetic rows (those of `catalog.py`), nine tenths labelled and split. Times of the function behind
each command, and what the catalogue grows by, its log folded in.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog import fill, timed

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.sorting import SampleTiles
from gleanset.snapshots import difference, made_from, rehearse_restore, restore, take_snapshot


def size(dataset: Dataset) -> float:
    """Return the bytes of the catalogue in MB, with an empty log."""
    dataset.db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    return dataset.db.path.stat().st_size / 1e6


def taken(dataset: Dataset, name: str, words: str) -> None:
    """Take a snapshot and print what it costs."""
    before = size(dataset)
    seconds = timed(lambda: take_snapshot(dataset, name))
    print(f"{words:52} {seconds:7.2f} s {size(dataset) - before:7.1f} MB", flush=True)


def told(words: str, seconds: float) -> None:
    """Print what one call took."""
    print(f"{words:52} {seconds:7.2f} s", flush=True)


def measure(dataset: Dataset, samples: int) -> None:
    """Fill a dataset and print a line for each thing that one does with snapshots."""
    fill(dataset, samples)
    keys = [sample.key for sample in dataset.samples.by_key()]
    dataset.samples.set_splits(
        {key: (key, ("train", "val", "test")[n % 3]) for n, key in enumerate(keys)}, "seed 0"
    )
    print(f"{samples:,} samples, a catalogue of {size(dataset):.0f} MB", flush=True)
    taken(dataset, "v1", "the first snapshot")
    taken(dataset, "v2", "one of the same state")
    told("which snapshot it is", timed(lambda: made_from(dataset)))
    some = [Choice(key, "label", "other") for key in keys[::100]]
    dataset.journal.step("a hundredth", some)
    told("diff, a hundredth relabelled", timed(lambda: difference(dataset, "v1")))
    taken(dataset, "v3", "a snapshot of that")
    told("restore --simulate", timed(lambda: rehearse_restore(dataset, "v1")))
    told("restore", timed(lambda: restore(dataset, "v1")))
    told("its undo", timed(dataset.journal.undo))
    dataset.journal.step("all", [Choice(key, "label", "all") for key in keys])
    plan = {key: (key, ("test", "train", "val")[n % 3]) for n, key in enumerate(keys)}
    dataset.samples.set_splits(plan, "seed 1")
    told("diff, every label and split changed", timed(lambda: difference(dataset, "v1")))
    taken(dataset, "v4", "a snapshot of that")
    with waits(dataset.root) as waited:
        told("restore", timed(lambda: restore(dataset, "v1")))
    told("the longest that a decision waited meanwhile", max(waited))
    told("its undo", timed(dataset.journal.undo))


@contextmanager
def waits(root: Path) -> Iterator[list[float]]:
    """Take the write lock a hundred times a second, as a window does; the seconds of each wait."""
    waited, over = [0.0], threading.Event()

    def write() -> None:
        with Dataset.open(root) as window:
            while not over.wait(0.01):
                waited.append(timed(lambda: SampleTiles(window.db).spend(1, 0, 0.0)))

    thread = threading.Thread(target=write)
    thread.start()
    yield waited
    over.set()
    thread.join()


def main() -> None:
    """Measure one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Dataset.create(Path(folder, "d")) as dataset:
        measure(dataset, asked.samples)


if __name__ == "__main__":
    main()
