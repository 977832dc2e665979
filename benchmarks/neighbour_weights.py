"""Which weight of colours suits the vectors of a presort: a head's, or that of neighbours.

    python benchmarks/neighbour_weights.py WORK [--splits 20] [--set NAME=FOLDER ...]

Each split labels 3, 5, 10 pictures a class, or seven tenths of each class, whole moments at a time;
all others are told by their nearest labelled neighbour, and by the head of a presort at its first
options, on the components of all pictures (`baseline/presort/likeness.py`). Weights are chosen
within the labelled ones. WORK keeps a line for each split: what was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from kept_rows import KeptRows, Row
from labelled_tree import DATA
from recognition import SETS, SIZES, dataset_of, examples_of
from scipy import stats

from baseline.data import Examples, find_examples
from baseline.features import FeatureSpec
from baseline.methods.part_weights import choose_part_weights
from baseline.presort.classify import DEFAULT_OPTIONS, fitted_scores
from baseline.presort.likeness import Components, components_of
from baseline.presort.neighbour_weights import choose_neighbour_weights
from baseline.settings import Transfer, load_preset
from baseline.texture import ExpectedWeights, expected_weights
from gleanset.work.progress import Progress

WAYS = ("network", "prior", "head", "neighbours")
KINDS = ("nearest", "learnt")


def judged(components: Components, examples: Examples, expected: ExpectedWeights) -> Row:
    """Accuracy of the nearest neighbour and of the presort's head, by weights chosen each way."""
    place = {key: row for row, key in enumerate(components.keys)}
    parts = [[s for s in examples.splits[name] if s.key in place] for name in ("train", "test")]
    train, test = (np.array([place[s.key] for s in part]) for part in parts)
    y, asked = (np.array([examples.classes.index(str(s.label)) for s in part]) for part in parts)
    groups = [examples.moments[s.key] for s in parts[0]]
    alike = (len(y) / len(examples.classes) / np.bincount(y))[y]
    known = components.rows[train].astype(np.float64), components.parts, y, alike, groups, 0
    chosen = {
        "network": (1.0, 0.0),
        "prior": expected.weights,
        "head": choose_part_weights(*known, expected).weights,
        "neighbours": choose_neighbour_weights(*known, expected).weights,
    }
    told: Row = {}
    same: dict[tuple[float, ...], tuple[float, float]] = {}
    for way, weights in chosen.items():
        if weights not in same:
            vectors = components.weighed(weights)
            nearest = y[(vectors[test] @ vectors[train].T).argmax(1)] == asked
            scores = fitted_scores(
                vectors[train], y, vectors[test], len(examples.classes), DEFAULT_OPTIONS
            )
            learnt = scores.argmax(1) == asked
            same[weights] = float(nearest.mean()), float(learnt.mean())
        told[way] = [*same[weights], weights[1]]
    return told


def measure(work: Path, sets: dict[str, Path], splits: int, done: KeptRows) -> None:
    """Make the rows that are not there yet."""
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    for name, folder in sets.items():
        with dataset_of(work, name, folder) as dataset:
            found, samples = find_examples(dataset), list(dataset.samples.by_key())
            spec = FeatureSpec.of(settings, views=0)
            components = components_of(dataset, samples, spec, Progress())
            expected = expected_weights(components.parts, dataset, samples, Progress())
            for seed, size in itertools.product(range(splits), SIZES):
                part = f"{name}/{size}/{seed}"
                examples = None if part in done else examples_of(found, size, seed)
                if examples is not None:
                    done.keep(part, judged(components, examples, expected))


def print_table(rows: Iterable[Row]) -> None:
    """Print means over the splits, and paired gains over the network with their intervals."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        name, size, _ = row["part"].split("/")
        found[name, size].append(row)
    print(f"| set | a class | splits | {' | '.join(2 * WAYS)} | weight: {' | '.join(WAYS[2:])} |")
    print("|---" * (3 + 2 * len(WAYS) + 2) + "|")
    for (name, size), each in found.items():
        cells = [cell for kind in range(len(KINDS)) for cell in compared(each, kind)]
        mean = [f"{np.mean([row[way][-1] for row in each]):.2f}" for way in WAYS[2:]]
        amount = "all" if size == "0" else size
        print(f"| {' | '.join([name, amount, str(len(each)), *cells, *mean])} |")


def compared(rows: list[Row], kind: int) -> list[str]:
    """Accuracy of the network in per cent, and what each way gains in points, 95 % interval."""
    each = [100 * np.array([row[way][kind] for row in rows]) for way in WAYS]
    cells = [f"{each[0].mean():.1f}"]
    for one in each[1:]:
        gain = one - each[0]
        # Over splits of the same pictures, so it says nothing of other pictures.
        wide = stats.sem(gain) * stats.t.ppf(0.975, len(gain) - 1) if len(gain) > 1 else np.nan
        cells.append(f"{gain.mean():+.1f} ± {wide:.1f}")
    return cells


def main() -> None:
    """Measure what is missing, then print the table: nearest neighbour first, then the head."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=FOLDER")
    given = parser.parse_args()
    done = KeptRows(given.work / "neighbour_weights.jsonl")
    sets = {name: Path(folder) for name, folder in (one.split("=", 1) for one in given.set)}
    measure(given.work, sets or {name: DATA / name for name in SETS}, given.splits, done)
    print_table(done.values())


if __name__ == "__main__":
    main()
