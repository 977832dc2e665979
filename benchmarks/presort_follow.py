"""How long a follower takes from a page of decisions until its new proposals are written.

    OMP_NUM_THREADS=1 python benchmarks/presort_follow.py --samples 300,3000,30000,100000
    python benchmarks/presort_follow.py --beside DATASET      # until its stdin ends

The catalogue is a real one, of pictures that are not there; the vectors are drawn
(192 numbers, classes that overlap, so that some 85 % are told apart), as if the features were
cached. A third of the samples, and 1,000 at most, are decided before; then ten pages of 20 are
filed, each after the last was learnt. *first* is a presort from the beginning, which is what each
page cost before; *usual* and *longest* are of the ten pages: the longest is one that found the
order of likeness and the options anew. Seconds of CPU tell programs apart on a machine with others
at work; wall seconds are given beside. *rows* is how many samples' rows a page changed (mean).
`--beside` follows a dataset that others sort, with drawn vectors; `labeler_window.py` uses it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import numpy as np

from baseline.backbone import FeatureLayer, FeaturePart
from baseline.features import FeatureSpec
from baseline.presort.ending import following
from baseline.presort.follow import PresortFollower
from baseline.presort.likeness import ComponentStore
from baseline.presort.presorter import Presorter
from baseline.presort.standings import StandingTable
from baseline.settings import Transfer, load_preset
from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cut import sample_key
from gleanset.platform import peak_memory
from gleanset.records import FaceCrop, Measured, Region
from gleanset.work.progress import Progress

WIDTH, NOISE, PAGE, PAGES = 192, 1.25, 20, 10


class DrawnVectors(ComponentStore):
    """Components that were drawn, not made of pictures."""

    def __init__(self, dataset: Dataset, truth: dict[str, int], seed: int) -> None:
        settings = load_preset("transfer", {})
        assert isinstance(settings, Transfer)
        super().__init__(dataset, FeatureSpec.of(settings, views=0))
        dice = np.random.default_rng(seed)
        centres = dice.normal(size=(max(truth.values()) + 1, WIDTH)) / 3
        kinds = np.array(list(truth.values()))
        noise = dice.normal(size=(len(kinds), WIDTH)) * NOISE
        self.components = (centres[kinds] + noise).astype(np.float32)
        samples = list(dataset.samples.by_key())
        self._rows = {(one.key, Region(one.box, one.angle)): n for n, one in enumerate(samples)}
        self.parts = (FeaturePart("drawn", True, (FeatureLayer(WIDTH),)),)
        self.generation = 1


class Timed:
    """Seconds of CPU and of the wall."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def seconds(self) -> tuple[float, float]:
        """Since it was made."""
        return time.process_time() - self._cpu, time.perf_counter() - self._wall


def measured(samples: int, classes: int, seed: int) -> dict[str, object]:
    """The figures of one size."""
    with tempfile.TemporaryDirectory() as folder:
        dice = np.random.default_rng(seed)
        _make(Path(folder) / "set", samples, dice)
        with Dataset.open(Path(folder) / "set") as dataset:
            keys = [one.key for one in dataset.samples.by_key()]
            truth = {key: int(dice.integers(classes)) for key in keys}
            waiting = [keys[n] for n in dice.permutation(samples)]
            before = min(samples // 3, 1000)
            _decide(dataset, truth, waiting[:before])
            waiting = waiting[before:]
            presorter = Presorter(dataset, load_preset("transfer", {}))
            presorter.store = DrawnVectors(dataset, truth, seed)
            first = _solved(presorter)
            cpu, wall, rows = [], [], []
            for page in range(min(PAGES, len(waiting) // PAGE)):
                _decide(dataset, truth, waiting[page * PAGE : (page + 1) * PAGE])
                known = presorter.table
                took = _solved(presorter)
                cpu.append(took[0])
                wall.append(took[1])
                table = presorter.table
                assert isinstance(known, StandingTable)
                assert isinstance(table, StandingTable)
                rows.append(len(table.changed(known)))
    return {
        "samples": samples,
        "classes": classes,
        "decided": before,
        "first_cpu_s": round(first[0], 3),
        "usual_cpu_s": round(median(cpu), 3),
        "longest_cpu_s": round(max(cpu), 3),
        "usual_of_first": round(median(cpu) / first[0], 3),
        "first_wall_s": round(first[1], 2),
        "usual_wall_s": round(median(wall), 2),
        "rows": round(mean(rows)),
        "peak_mib": peak_memory() // 2**20,
    }


def follow_beside(root: Path, classes: int, seed: int) -> None:
    """Decide 1,000 samples, then learn beside whoever sorts until stdin ends."""
    with Dataset.open(root) as dataset, following() as program:
        dice = np.random.default_rng(seed)
        keys = [one.key for one in dataset.samples.by_key()]
        truth = {key: int(dice.integers(classes)) for key in keys}
        _decide(dataset, truth, [keys[n] for n in dice.permutation(len(keys))[:1000]])
        presorter = Presorter(dataset, load_preset("transfer", {}))
        presorter.store = DrawnVectors(dataset, truth, seed)
        PresortFollower(presorter, Progress(quiet=True), program).run()


def _make(root: Path, number: int, dice: np.random.Generator) -> None:
    """Make a catalogue of samples, each the whole of a picture that is not there."""
    box = Box(0, 0, 96, 96)
    hashes = dice.integers(0, 2**62, number).tolist()
    with Dataset.create(root) as dataset, dataset.db.write():
        for row, phash in enumerate(hashes):
            sha256 = f"{row:064x}"
            picture = Measured(sha256, "JPEG", 6000, 96, 96, 1, 1, phash, 100.0)
            dataset.images.add(picture, Origin("folder", f"{row}"))
            cut = FaceCrop(Face("whole", box, 1.0), sample_key(sha256, box), box, phash, 100.0)
            dataset.faces.record(sha256, "whole", "", [cut])


def _decide(dataset: Dataset, truth: dict[str, int], keys: list[str]) -> None:
    dataset.journal.step("Page", [Choice(key, "label", f"c{truth[key]}") for key in keys])


def _solved(presorter: Presorter) -> tuple[float, float]:
    clock = Timed()
    presorter.solve(Progress())
    return clock.seconds()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", default="300,3000,30000,100000")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beside", type=Path)
    given = parser.parse_args()
    if given.beside:
        follow_beside(given.beside, given.classes, given.seed)
        return
    for samples in map(int, given.samples.split(",")):
        print(json.dumps(measured(samples, given.classes, given.seed)), flush=True)


if __name__ == "__main__":
    main()
