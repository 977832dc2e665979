"""Whether the range of a learning curve holds what more pictures bring: simulated, and real.

    python benchmarks/learning_curve.py --runs 200                      # simulated
    python benchmarks/learning_curve.py --runs 200 --drawn 7            # in worlds drawn by a seed
    python benchmarks/learning_curve.py WORK [--splits 4] [--preset transfer]  # real pictures

Simulated: errors follow a power law, pictures come in moments, each training has its own luck; five
folds are judged as `baseline curve` does it, and the range is held against the error of another
training on as many, twice and four times as many pictures. Real: so many pictures a class of each
set are train, the curve is measured within them, and the range is held against the accuracy, on all
other pictures, of a training on 10, 20 and 30 a class. That accuracy is itself counted on few:
covering it is more than what is promised. WORK keeps a line for each part.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from calibration_outputs import FEWEST, dataset_of, drawn
from kept_rows import KeptRows, Row

from baseline.data import Examples, find_examples
from baseline.fold_trials import FoldTrials
from baseline.grouped_split import with_val
from baseline.inference import split_outputs
from baseline.learning_curve.measure import LUCK, SHARES, laws_through, measure_curve
from baseline.methods.registry import fit_method
from baseline.methods.training_data import TrainingData
from baseline.settings import Settings, load_preset
from gleanset import Dataset
from gleanset.work.progress import Progress

SETS = {"photos": 30, "characters": 30, "characters_fan10": 30, "characters_shows5": 20}
"""Trees, and how many pictures a class are learnt from at most."""
STARTS = (5, 10, 15)
TARGETS = (10, 20, 30)
# What is left with endless pictures, what one picture a class adds, and how fast it falls.
LAWS = ((0, 1, 0.5), (0, 0.9, 0.25), (0, 1.2, 1), (0.1, 0.6, 0.4), (0.25, 0.3, 0.5), (0, 0.3, 0.6))
PERFECT = ((0, 0.02, 0.5), (0, 0.1, 0.5), (0, 0.3, 1.5), (0.002, 0, 1), (0.005, 0.05, 1))
# Pictures a class, moments, pictures a moment.
TRAINS = ((5, 25, 1), (10, 50, 1), (10, 25, 2), (20, 100, 1), (20, 40, 5))
FOLDS, TIMES = 5, (1, 2, 4)


class World(NamedTuple):
    """A law, so many pictures a class in moments of a size, and how alike those of a moment are."""

    law: tuple[float, float, float]
    train: tuple[int, int, int]
    alike: float = 0.5

    def error(self, pictures: float) -> float:
        """The error of a training on so many pictures a class."""
        a, b, c = self.law
        return min(a + b * pictures**-c, 0.9)


WORLDS = [World(law, train) for law in LAWS + PERFECT for train in TRAINS]


def drawn_worlds(seed: int, count: int = 40) -> list[World]:
    """Draw worlds in which nothing was chosen, some of them with hardly a mistake."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        left, more = np.exp(random.uniform(np.log(1e-4), np.log((0.3, 1.2))))
        each = int(random.integers(4, 60))
        moments = int(random.integers(4, 12) * each)
        law = (
            round(float(left), 4),
            round(float(more), 4),
            round(float(random.uniform(0.1, 1.5)), 2),
        )
        size = int(random.integers(1, 7))
        found.append(World(law, (each, moments, size), round(float(random.uniform(0, 0.95)), 2)))
    return found


def simulated(runs: int, worlds: Sequence[World]) -> None:
    """Print how often the range held the error, in each world."""
    print("| law a + b n^-c | a class | moments | covered: as many | twice | four times | width |")
    print("|---|---|---|---|---|---|---|")
    random = np.random.default_rng(0)
    every = []
    for world in worlds:
        told = np.array([one_run(world, random) for _ in range(runs)])
        held, widths = told.mean(0)
        every.append(held)
        (a, b, c), (each, moments, size) = world.law, world.train
        shares = " | ".join(f"{share:.2f}" for share in held)
        wide = ", ".join(f"{width:.3f}" for width in widths)
        print(
            f"| {a} + {b} n^-{c} | {each} | {moments} of {size} | {shares} | {wide} |", flush=True
        )
    mean = " | ".join(f"{share:.3f}" for share in np.mean(every, 0))
    least = ", ".join(f"{share:.2f}" for share in np.min(every, 0))
    print(f"| mean of all | | | {mean} | least: {least} |", flush=True)


def one_run(world: World, random: np.random.Generator) -> tuple[list[bool], list[float]]:
    """Whether the ranges held the error at each of `TIMES`, and how wide they were."""
    from scipy.stats import norm

    each, moments, size = world.train
    sizes = [0.8 * each * share for share in SHARES if 0.8 * each * share >= 1]
    names = np.repeat(np.arange(moments), size)
    shared = np.repeat(random.normal(size=moments), size)
    luck = random.normal(0, LUCK**0.5, (FOLDS, len(sizes)))
    own = world.alike**0.5 * shared + (1 - world.alike) ** 0.5 * random.normal(size=len(names))
    hits = []
    for place, pictures in enumerate(sizes):
        told = np.array([moved(world.error(pictures), by) for by in luck[:, place]])[names % FOLDS]
        new = random.random(len(names)) < 0.2
        hits.append(np.where(new, random.random(len(names)), norm.cdf(own)) >= told)
    laws = laws_through(sizes, hits, list(map(str, names)), FOLDS)
    ranges = [laws.at(each * times).interval for times in TIMES]
    truth = [moved(world.error(each * t), random.normal(0, LUCK**0.5)) for t in TIMES]
    held = [low <= error <= high for (low, high), error in zip(ranges, truth, strict=True)]
    return held, [high - low for low, high in ranges]


def moved(error: float, by: float) -> float:
    """The error with its logit moved."""
    return float(1 / (1 + (1 - error) / error * np.exp(-by)))


def parts(tree: str, found: Examples) -> Iterator[tuple[int, dict[str, int]]]:
    """Sizes to learn from, of classes that have enough pictures for the largest."""
    there = Counter(str(s.label) for part in found.splits.values() for s in part)
    names = [name for name, n in there.items() if n >= SETS[tree] + FEWEST]
    for size in sorted({*STARTS, *TARGETS}):
        if size <= SETS[tree]:
            yield size, dict.fromkeys(names, size)


def real(given: argparse.Namespace) -> None:
    """Measure what is missing, then print the table."""
    done = KeptRows(given.work / f"curve-{given.preset}.jsonl")
    for seed in range(given.splits):
        for tree in given.sets.split(","):
            with dataset_of(given.work, tree) as dataset:
                found = find_examples(dataset)
                augment = "photos" if tree == "photos" else "characters"
                settings = load_preset(given.preset, {"augment": augment})
                for size, counts in parts(tree, found):
                    part = f"{tree}/{size}/{seed}"
                    if part not in done:
                        split = drawn(found, counts, seed)
                        row = judged(dataset, split, settings)
                        if size in STARTS:
                            row |= expected(dataset, split, settings, given.work / "folds" / part)
                        done.keep(part, row)
    print_table(done)


def judged(dataset: Dataset, split: Examples, settings: Settings) -> Row:
    """The accuracy on test of a training on train."""
    data = TrainingData(dataset, with_val(split, settings.seed)[0], settings)
    told = split_outputs(fit_method(data, settings).net, data, "test")
    return {"accuracy": float((told.logits.argmax(1) == told.y).mean()), "test": len(told)}


def expected(dataset: Dataset, split: Examples, settings: Settings, folder: Path) -> Row:
    """What the curve within train expects at each target."""
    train = replace(split, splits=split.splits | {"test": ()})
    folder.mkdir(parents=True, exist_ok=True)
    curve = measure_curve(FoldTrials(dataset, train, folder, folder), settings, 1, Progress())
    return {"expected": [(p.pictures, p.accuracy, *p.interval) for p in curve.expected]}


def print_table(done: dict[str, Row]) -> None:
    """By set, start and target: how many ranges held the accuracy, and how wide they were."""
    print("| set | a class now | then | held | range, mean width | off in the mean |")
    print("|---|---|---|---|---|---|")
    held: list[bool] = []
    for tree in SETS:
        for start in STARTS:
            for place, times in enumerate((1, 2, 4)):
                rows = []
                for part, row in done.items():
                    name, size, seed = part.split("/")
                    then = done.get(f"{tree}/{start * times}/{seed}")
                    if (name, int(size)) == (tree, start) and then:
                        _, accuracy, low, high = row["expected"][place]
                        rows.append(
                            (
                                low <= then["accuracy"] <= high,
                                high - low,
                                accuracy - then["accuracy"],
                            )
                        )
                if rows:
                    in_it, width, off = np.array(rows, float).T
                    held += [bool(one) for one in in_it]
                    print(
                        f"| {tree} | {start} | {start * times} | {int(in_it.sum())} of "
                        f"{len(rows)} | {width.mean():.2f} | {off.mean():+.3f} |"
                    )
    print(f"| all | | | {sum(held)} of {len(held)} ({np.mean(held):.2f}) | | |")


def main() -> None:
    """Simulate, or measure on real pictures."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--drawn", type=int, metavar="SEED")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--preset", default="transfer")
    given = parser.parse_args()
    if given.work is None:
        simulated(given.runs, WORLDS if given.drawn is None else drawn_worlds(given.drawn))
    else:
        real(given)


if __name__ == "__main__":
    main()
