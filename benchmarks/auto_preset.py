"""Small sets: learning curves of the presets, and what `--preset auto` takes, on real pictures.

    python benchmarks/auto_preset.py WORK [--splits 10] [--sets photos,characters]
    python benchmarks/auto_preset.py WORK --splits 0 --dear 2 [--presets simple,mobile]
    python benchmarks/auto_preset.py WORK --table        # of what is known, nothing is trained

Each split draws 3, 5, 10 or 20 pictures a class, whole moments at a time, of the classes that keep
at least ten pictures for test, which is all the others; of drawn characters (`drawn`) 40 as well.
Every preset learns from the same ones; `auto` chooses among them by folds of these alone. `simple`,
`mobile` and `finetune` are dear: so many splits as `--dear` says. WORK keeps a line for each
training in results.jsonl: what was stopped goes on where it was, and a line that is removed is
made again. Seconds are CPU seconds of a training, features made before.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from calibration_outputs import FEWEST, dataset_of, drawn
from kept_rows import KeptRows, Row
from labelled_tree import add_pictures, split
from presets import drawn_faces

from baseline.auto.choice import choose_preset
from baseline.data import Examples, find_examples
from baseline.fold_trials import FoldTrials
from baseline.grouped_split import with_val
from baseline.inference import split_outputs
from baseline.methods.registry import fit_method
from baseline.methods.training_data import TrainingData
from baseline.settings import AUTO, load_preset
from gleanset import Dataset
from gleanset.work.progress import Progress

SETS = ("photos", "characters", "characters_fan10", "characters_shows5", "drawn")
SIZES = (3, 5, 10, 20, 40)
MOST = 20
"""Pictures a class of the real sets."""
DRAWN = (8, 60, 128)
"""Drawn characters, pictures of each, and their side."""
CHEAP = ("transfer", "triplet")
DEAR = ("simple", "mobile", "finetune")
Cell = dict[str, dict[int, Row]]
"""The rows of one set and size by preset and split."""


@dataclass(frozen=True)
class Split:
    """Pictures of a tree to learn from, so many a class, and to be judged on."""

    tree: str
    size: int
    seed: int
    examples: Examples

    @property
    def options(self) -> dict[str, str]:
        """The changes to pictures that suit the tree; drawn ones are small."""
        small = {"size": "96"} if self.tree == "drawn" else {}
        return small | {"augment": "photos" if self.tree == "photos" else "characters"}

    def part(self, preset: str) -> str:
        """The name of a line."""
        return f"{self.tree}/{self.size}/{preset}/{self.seed}"


def opened(work: Path, tree: str) -> Dataset:
    """The tree, or the drawn characters, as a dataset that is filled the first time."""
    if tree != "drawn":
        return dataset_of(work, tree)
    dataset = Dataset.create(work / tree)
    if not dataset.images.count():
        add_pictures(dataset, drawn_faces(*DRAWN))
        split(dataset, 0)
    return dataset


def splits(dataset: Dataset, tree: str, seed: int) -> Iterator[Split]:
    """A split for each size, of the classes that have enough pictures."""
    found = find_examples(dataset)
    there = Counter(str(s.label) for part in found.splits.values() for s in part)
    for size in SIZES if tree == "drawn" else [n for n in SIZES if n <= MOST]:
        counts = {name: size for name, n in there.items() if n >= size + FEWEST}
        if len(counts) > 1:
            yield Split(tree, size, seed, drawn(found, counts, seed))


def judged(dataset: Dataset, one: Split, preset: str) -> Row:
    """Train a preset as `baseline train` would, and judge it on test."""
    settings = load_preset(preset, one.options)
    examples, _ = with_val(one.examples, settings.seed)
    started = time.process_time()
    data = TrainingData(dataset, examples, settings)
    told = split_outputs(fit_method(data, settings).net, data, "test")
    return {
        "accuracy": float((told.logits.argmax(1) == told.y).mean()),
        "classes": len(examples.classes),
        "test": len(told),
        "seconds": round(time.process_time() - started, 2),
    }


def chosen(dataset: Dataset, one: Split, work: Path) -> Row:
    """What `auto` takes, by train alone."""
    train = replace(one.examples, splits=one.examples.splits | {"test": ()})
    folder = work / "folds" / one.part(AUTO).replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    trials = FoldTrials(dataset, train, folder, folder)
    started = time.process_time()
    _, choice = choose_preset(trials, one.options, Progress(), lambda line: None)
    return {
        "chosen": choice.preset,
        "why": choice.why,
        "seconds": round(time.process_time() - started, 2),
    }


def main() -> None:
    """Train what is missing, then print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--dear", type=int, default=0, help="splits of the dear presets")
    parser.add_argument("--presets", default=DEAR[0], help="the dear ones")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    done = KeptRows(given.work / "results.jsonl")
    if not given.table:
        for seed in range(max(given.splits, given.dear)):
            for tree in given.sets.split(","):
                with opened(given.work, tree) as dataset:
                    for one in splits(dataset, tree, seed):
                        each(dataset, one, given, done)
    print_table(with_what_was_taken(done))


def each(dataset: Dataset, one: Split, given: argparse.Namespace, done: KeptRows) -> None:
    """Make the lines of a split that are not there yet."""
    presets = [*CHEAP, AUTO] if one.seed < given.splits else []
    if one.seed < given.dear:
        presets += given.presets.split(",")
    for preset in presets:
        part = one.part(preset)
        if part in done:
            continue
        made = chosen(dataset, one, given.work) if preset == AUTO else judged(dataset, one, preset)
        done.keep(part, made)


def with_what_was_taken(done: KeptRows) -> dict[str, Row]:
    """The rows; `auto` with the accuracy of what it took."""
    found = dict(done)
    for part, row in done.items():
        if "chosen" in row:
            taken = done.get(part.replace(f"/{AUTO}/", f"/{row['chosen']}/"))
            found[part] = row | {"accuracy": taken["accuracy"] if taken else None}
    return found


def print_table(found: dict[str, Row]) -> None:
    """Mean accuracy over the splits by preset, and what `auto` is behind the best of them."""
    cells: dict[tuple[str, int], Cell] = defaultdict(lambda: defaultdict(dict))
    for part, row in found.items():
        tree, size, preset, seed = part.split("/")
        cells[tree, int(size)][preset][int(seed)] = row
    names = [name for name in (*CHEAP, *DEAR) if any(rows[name] for rows in cells.values())]
    ahead = f"{CHEAP[1]} ahead of {CHEAP[0]}"
    heads = ("set", "a class", "classes", "splits", *names, ahead, "auto took", "behind the best")
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    behind: dict[tuple[str, int], dict[int, float]] = {}
    for (tree, each_class), rows in sorted(cells.items()):
        if seeds_of(rows, *CHEAP):
            print(line_of(tree, each_class, rows, names))
        if seeds_of(rows, *CHEAP, AUTO):
            behind[tree, each_class] = behind_best(rows)
    if behind:
        print(summary(behind))


def seeds_of(rows: Cell, *names: str) -> list[int]:
    """The splits of which all these are known."""
    return sorted(set.intersection(*(set(rows[name]) for name in names)))


def behind_best(rows: Cell) -> dict[int, float]:
    """Points by which `auto` is behind the preset that is best in the mean of the splits."""
    best = max(CHEAP, key=lambda name: sum(points(rows, name, s) for s in seeds_of(rows, *CHEAP)))
    return {s: points(rows, best, s) - points(rows, AUTO, s) for s in seeds_of(rows, *CHEAP, AUTO)}


def points(rows: Cell, name: str, seed: int) -> float:
    """The accuracy of a preset on a split, in points."""
    return 100 * float(rows[name][seed]["accuracy"])


def mean_and_error(values: Sequence[float]) -> str:
    """The mean with its standard error, which one value does not tell."""
    if len(values) < 2:
        return "".join(f"{value:+.1f}" for value in values)
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.1f}"


def line_of(tree: str, size: int, rows: Cell, names: Sequence[str]) -> str:
    """A row of the table."""
    both = seeds_of(rows, *CHEAP)
    told = []
    for name in names:
        seeds = both if name in CHEAP else sorted(rows[name])
        values = [rows[name][seed]["accuracy"] for seed in seeds]
        few = f" ({len(seeds)})" if len(seeds) < len(both) else ""
        told.append(f"{np.mean(values):.3f}{few}" if values else "")
    ahead = mean_and_error([points(rows, CHEAP[1], s) - points(rows, CHEAP[0], s) for s in both])
    took = Counter(row["chosen"] for row in rows[AUTO].values())
    words = ", ".join(f"{name} {count}" for name, count in took.most_common())
    gaps = mean_and_error(list(behind_best(rows).values()))
    classes = rows[CHEAP[0]][both[0]]["classes"]
    cells = (tree, size, classes, len(both), *told, ahead, words, gaps)
    return f"| {' | '.join(map(str, cells))} |"


def summary(behind: dict[tuple[str, int], dict[int, float]]) -> str:
    """What all rows come to: the error is that over splits, for rows share their pictures."""
    by_split: dict[int, list[float]] = defaultdict(list)
    for gaps in behind.values():
        for seed, gap in gaps.items():
            by_split[seed].append(gap)
    means = {row: float(np.mean(list(gaps.values()))) for row, gaps in behind.items()}
    worst = max(means, key=lambda row: means[row])
    over = mean_and_error([float(np.mean(gaps)) for gaps in by_split.values()])
    return (
        f"behind the best, all rows: {over} points over {len(by_split)} splits; at worst "
        f"{means[worst]:+.1f} ({worst[0]}, {worst[1]} a class)"
    )


if __name__ == "__main__":
    main()
