"""What squares, colours, its penalty and its views bring `transfer`, on real pictures.

    python benchmarks/recognition.py WORK [--splits 20] [--set NAME=FOLDER ...]
    python benchmarks/recognition.py WORK --table       # of what is known, nothing is trained

Each split draws 3, 5, 10 pictures a class, or seven tenths of each class, whole moments at a time;
all others are test. `transfer` learns from the same ones with the network alone, of pictures that
are stretched to a square or cut to one, with colours beside it at the weight that it chooses within
train, with the penalty of its preset, and with its views. Nearest neighbours compare by the same
features, scaled by pictures as they are: what looks for likeness sees no other views. Purity is
that of 40 groups of all pictures, made as `baseline presort` does without any label. WORK keeps a
line for each split: what was stopped goes on where it was.
A FOLDER has a folder for each class, and perhaps `sources.json` (benchmarks/labelled_tree.py).
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calibration_outputs import drawn
from kept_rows import KeptRows, Row
from labelled_tree import DATA, add_pictures, of_tree, split
from scipy import stats

from baseline.data import Examples, find_examples
from baseline.features import FeatureSpec, features_of
from baseline.loop.dataset import FeatureSamples
from baseline.methods.logistic import choose_strength, solve
from baseline.methods.part_weights import weighed_scaling
from baseline.methods.scaling import Scaling
from baseline.presort.clusters import similarity_order
from baseline.presort.likeness import components_of
from baseline.settings import Transfer, load_preset, views_of
from baseline.texture import are_drawn, expected_weights
from gleanset import Dataset
from gleanset.work.progress import Progress

SETS = ("characters", "characters_fan10", "characters_shows5", "photos")
SIZES = (3, 5, 10, 0)
NETWORK = "efficientnet_lite0"
EVEN = {"penalty": "l2", "views": "2"}
VARIANTS = {
    "network": {"backbone": NETWORK, "fit": "stretch", **EVEN},
    "square": {"backbone": NETWORK, "fit": "crop", **EVEN},
    "colours": {"backbone": f"{NETWORK}+colours", "fit": "crop", **EVEN},
    "penalty": {"backbone": f"{NETWORK}+colours", "fit": "crop", "views": "2"},
    "preset": {"backbone": f"{NETWORK}+colours", "fit": "crop"},
}
"""What `transfer` was once, and what it became step by step; more views are the last one."""
BEFORE, *AFTER = VARIANTS
GROUPS = 40
KINDS = ("head", "nearest")


def dataset_of(work: Path, name: str, folder: Path) -> Dataset:
    """The tree as a dataset with moments, filled the first time."""
    dataset = Dataset.create(work / name)
    if not dataset.images.count():
        add_pictures(dataset, of_tree(folder))
        split(dataset, 0)
    return dataset


def examples_of(found: Examples, size: int, seed: int) -> Examples | None:
    """A split; None where the classes are too small for it."""
    there = Counter(str(s.label) for part in found.splits.values() for s in part)
    counts = {name: size or n * 7 // 10 for name, n in there.items()}
    counts = {name: n for name, n in counts.items() if there[name] >= n + 3}
    return drawn(found, counts, seed) if len(counts) > 1 else None


class Seen:
    """The features of all pictures of a set, and what `transfer` makes of a part of them."""

    def __init__(
        self, dataset: Dataset, found: Examples, given: Mapping[str, str], photos: bool
    ) -> None:
        augment = {"augment": "photos" if photos else "characters"}
        settings = load_preset("transfer", {**given, **augment})
        assert isinstance(settings, Transfer)
        spec = FeatureSpec.of(settings, views=views_of(settings, 0))
        self.backbone, self.settings = spec.load(), settings
        samples = [sample for part in found.splits.values() for sample in part]
        made = features_of(dataset, samples, spec, Progress(), self.backbone)
        self.expected = expected_weights(self.backbone.parts, dataset, samples, Progress())
        self.row = {key: row for row, key in enumerate(made.keys)}
        self.vectors = made.vectors

    def judged(self, examples: Examples) -> Row:
        """Learn from train as `fit_transfer` does, and judge head and nearest neighbours."""
        train, test = (self.part(examples, split) for split in ("train", "test"))
        seen = 1 + views_of(self.settings, len(train.y))
        train = FeatureSamples(train.x[:, :seen], train.y)
        counts = np.bincount(train.y)
        weights = (len(train.y) / len(counts) / counts)[train.y]
        groups = [examples.moments[s.key] for s in examples.splits["train"] if s.key in self.row]
        scaling, parts = weighed_scaling(
            train, self.backbone, "auto", weights, groups, 0, lambda: self.expected
        )
        x, asked = (scaling.applied(part.x).astype(np.float64) for part in (train, test))
        given, penalty = (x, train.y, weights), (self.settings.penalty, self.backbone.layers)
        strength = choose_strength(*given, groups, 0, *penalty).strength
        head = solve(*given, len(counts), strength, *penalty)
        told = asked[:, 0] @ head.coefficients.T + head.bias
        plain = Scaling.of(train.x[:, :1], self.backbone, parts.weights)
        known, unknown = (unit(plain.applied(part.x[:, 0])) for part in (train, test))
        nearest = train.y[(unknown @ known.T).argmax(1)]
        return {
            "head": float((told.argmax(1) == test.y).mean()),
            "nearest": float((nearest == test.y).mean()),
            "weight": parts.weights[-1],
            "test": len(test.y),
        }

    def part(self, examples: Examples, split: str) -> FeatureSamples:
        """The features of a split."""
        samples = [s for s in examples.splits[split] if s.key in self.row]
        y = [examples.classes.index(str(s.label)) for s in samples]
        return FeatureSamples(self.vectors[[self.row[s.key] for s in samples]], np.array(y))


def unit(rows: Any) -> Any:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def purity(dataset: Dataset, given: Mapping[str, str]) -> float:
    """The share of pictures that are of the commonest class of their group."""
    settings = load_preset("transfer", given)
    assert isinstance(settings, Transfer)
    samples = list(dataset.samples.by_key())
    spec = FeatureSpec.of(settings, views=0)
    found = components_of(dataset, samples, spec, Progress())
    weights = expected_weights(found.parts, dataset, samples, Progress()).weights
    groups = similarity_order(found.weighed(weights), 0, GROUPS).cluster
    labels = {sample.key: str(sample.label) for sample in samples}
    each: dict[int, Counter[str]] = defaultdict(Counter)
    for key, group in zip(found.keys, groups.tolist(), strict=True):
        each[group][labels[key]] += 1
    return sum(max(counts.values()) for counts in each.values()) / len(found.keys)


def measure(work: Path, sets: dict[str, Path], splits: int, done: KeptRows) -> None:
    """Make the rows that are not there yet."""
    for name, folder in sets.items():
        with dataset_of(work, name, folder) as dataset:
            found = find_examples(dataset)
            photos = not are_drawn(dataset, list(dataset.samples.by_key()), Progress())
            for variant, given in VARIANTS.items():
                seen = Seen(dataset, found, given, photos)
                for seed, size in itertools.product(range(splits), SIZES):
                    part = f"{name}/{size}/{variant}/{seed}"
                    examples = None if part in done else examples_of(found, size, seed)
                    if examples is not None:
                        done.keep(part, seen.judged(examples))
            for variant, given in VARIANTS.items():
                if (part := f"{name}/groups/{variant}/0") not in done:
                    done.keep(part, {"purity": purity(dataset, given)})


def print_table(rows: Iterable[Row]) -> None:
    """Print means over the splits, and paired gains with their intervals over splits."""
    found: dict[tuple[str, str], dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        name, size, variant, seed = row["part"].split("/")
        found[name, size][variant][seed] = row
    titles = [f"{kind}: {BEFORE} | {' | '.join(AFTER)} | gain" for kind in KINDS]
    print(f"| set | a class | splits | {' | '.join(titles)} | weight |")
    print("|---" * (4 + len(KINDS) * (len(VARIANTS) + 1)) + "|")
    for (name, size), variants in found.items():
        if size != "groups" and all(variant in variants for variant in VARIANTS):
            cells = [cell for kind in KINDS for cell in compared(variants, kind)]
            weights = [row["weight"] for row in variants[AFTER[-1]].values()]
            amount = "all" if size == "0" else size
            row = [name, amount, str(len(weights)), *cells, f"{np.mean(weights):.2f}"]
            print(f"| {' | '.join(row)} |")
    print(f"\n| set | purity of {GROUPS} groups: {' | '.join(VARIANTS)} |")
    print("|---" * (1 + len(VARIANTS)) + "|")
    for (name, size), variants in found.items():
        if size == "groups":
            cells = [f"{variants[v]['0']['purity']:.3f}" for v in VARIANTS if v in variants]
            print(f"| {name} | {' | '.join(cells)} |")


def compared(variants: dict[str, dict[str, Row]], kind: str) -> list[str]:
    """Accuracy of each variant, and the paired gain of the last in points, 95 % interval."""
    seeds = sorted(set.intersection(*(set(variants[variant]) for variant in VARIANTS)))
    each = [np.array([variants[v][seed][kind] for seed in seeds]) for v in VARIANTS]
    points = 100 * (each[-1] - each[0])
    gain, several = float(points.mean()), len(points) > 1
    # Over splits of the same pictures, so it says nothing of other pictures.
    wide = float(stats.sem(points) * stats.t.ppf(0.975, len(points) - 1)) if several else np.nan
    return [*(f"{found.mean():.3f}" for found in each), f"{gain:+.1f} ± {wide:.1f}"]


def main() -> None:
    """Measure what is missing, then print the tables."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    done = KeptRows(given.work / "results.jsonl")
    sets = {name: Path(folder) for name, folder in (one.split("=", 1) for one in given.set)}
    if not given.table:
        measure(given.work, sets or {name: DATA / name for name in SETS}, given.splits, done)
    print_table(done.values())


if __name__ == "__main__":
    main()
