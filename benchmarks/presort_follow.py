"""Seconds of CPU from a page of decisions to new proposals, and of the page that shows them.

    OMP_NUM_THREADS=1 python benchmarks/presort_follow.py

The catalogue is a real one, of pictures that are not there; vectors (192 numbers, 20 classes that
overlap) are drawn, as if the features were cached. A third of the samples, and 1,000 at most, are
decided before; then ten pages of 20 are filed, each after the last was learnt.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np  # noqa: E402

from baseline.features.backbone import FeaturePart  # noqa: E402
from baseline.presort.presorter import Presorter  # noqa: E402
from baseline.settings import load_preset  # noqa: E402
from gleanset import Box, Dataset, Face, Origin  # noqa: E402
from gleanset.db.journal import Choice  # noqa: E402
from gleanset.images.cut import sample_key  # noqa: E402
from gleanset.records import FaceCrop, Measured, Region  # noqa: E402
from gleanset.work.progress import Progress  # noqa: E402
from labeler.sorting.pages import Pages  # noqa: E402
from labeler.sorting.session import SortingSession  # noqa: E402

WIDTH, NOISE, CLASSES, PAGE, PAGES = 192, 1.25, 20, 20, 10
BOX = Box(0, 0, 96, 96)
SIZES = (300, 3000, 30_000)


def drawn(root: Path, count: int, dice: np.random.Generator) -> tuple[Dataset, Presorter]:
    """A dataset of so many samples, and a presorter that has vectors of all of them."""
    dataset = Dataset.create(root)
    with dataset.db.write():
        for number, phash in enumerate(dice.integers(0, 2**62, count).tolist()):
            sha256 = f"{number:064x}"
            picture = Measured(sha256, "JPEG", 6000, 96, 96, 1, 1, phash, 100.0)
            dataset.images.add(picture, Origin("folder", f"{number}"))
            cut = FaceCrop(Face("whole", BOX, 1.0), sample_key(sha256, BOX), BOX, phash, 100.0)
            dataset.faces.record(sha256, "whole", "", [cut])
    presorter = Presorter(dataset, load_preset("transfer", {}))
    store = presorter.store
    rows = [(one.key, Region(one.box, one.angle)) for one in dataset.samples.by_key()]
    centres = dice.normal(size=(CLASSES, WIDTH)) / 3
    noise = dice.normal(size=(count, WIDTH)) * NOISE
    store.components = (centres[np.arange(count) % CLASSES] + noise).astype(np.float32)
    store._rows = {row: number for number, row in enumerate(rows)}  # noqa: SLF001
    store.parts, store.generation = (FeaturePart("drawn", True, (WIDTH,)),), 1
    return dataset, presorter


def seconds(work: Callable[[], object]) -> float:
    """Seconds of CPU that it takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measured(root: Path, count: int) -> dict[str, object]:
    """The figures of so many samples."""
    dice = np.random.default_rng(0)
    dataset, presorter = drawn(root, count, dice)
    truth = {one.key: f"c{n % CLASSES}" for n, one in enumerate(dataset.samples.by_key())}
    waiting = dice.permutation(list(truth)).tolist()

    def decide(number: int) -> None:
        some = [waiting.pop() for _ in range(number)]
        dataset.journal.step("Page", [Choice(key, "label", truth[key]) for key in some])

    def solve() -> float:
        return seconds(lambda: presorter.solve(Progress(quiet=True)))

    with dataset:
        decide(before := min(count // 3, 1000))
        first, took, rows = solve(), [], []
        for _ in range(min(PAGES, len(waiting) // PAGE)):
            decide(PAGE)
            known = presorter._presorted  # noqa: SLF001
            took.append(solve())
            now = presorter._presorted.items()  # noqa: SLF001
            rows.append(sum(known.get(key) != one for key, one in now))
        page = seconds(Pages(SortingSession(dataset)).next)
    times = {"beginning": first, "page": median(took), "longest": max(took), "next page": page}
    return {"samples": count, "decided": before, "rows": round(mean(rows)), **times}


if __name__ == "__main__":
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(Path(folder) / "set", size)), flush=True)
