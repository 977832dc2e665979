"""Accuracy of each preset on real images, on three splits and seeds.

    python benchmarks/presets.py WORK [--seeds 3] [--only characters] [--tables]

WORK keeps datasets, features and `results.jsonl`, with one line for each finished part, so that an
interrupted run can continue. `--tables` prints the tables of docs/results.md from existing results.
Accuracies are pooled over the seeds; 95% intervals come from a bootstrap over groups (2,000
resamples). Needs gleanset[train] and the images in ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from labelled_tree import DATA, iter_tree, open_set, split
from result_file import ResultFile, Row

from baseline.data.samples import ensure_val, find_examples
from baseline.features.features import FeatureSpec, compute_features
from baseline.settings import load_preset
from baseline.train.training import TrainingData, fit_method, network_outputs
from gleanset import Dataset

NEAREST_NEIGHBOR = "nearest neighbour on raw features"
REFERENCE = "transfer"
"""Row that the others are compared with."""
# Smaller and shorter than the presets where two cores would take too long.
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    NEAREST_NEIGHBOR: ("", {}),
    "simple": ("simple", {}),
    "simple, colour=grayscale": ("simple", {"colour": "grayscale"}),
    "transfer": ("transfer", {}),
    "triplet": ("triplet", {}),
    "finetune, size=96, epochs=8": ("finetune", {"size": "96", "epochs": "8"}),
    "mobile, size=96, epochs=8": ("mobile", {"size": "96", "epochs": "8"}),
}


def run_row(results: ResultFile, data: str, preset: str, seed: int) -> None:
    """Train a preset on one split and evaluate it."""
    with open_set(results.file.parent / data, iter_tree(DATA / data)) as dataset:
        split(dataset, seed)
        started = time.process_time()
        if preset == NEAREST_NEIGHBOR:
            correct, groups = predict_by_nearest_neighbor(dataset)
        else:
            correct, groups = train_and_test(dataset, data, preset, seed)
        seconds = time.process_time() - started
    row = {
        "correct": correct,
        "groups": groups,
        "count": len(correct),
        "accuracy": float(np.mean(correct)),
        "seconds": round(seconds, 1),
    }
    results.add(f"table/{data}/{preset}/{seed}", row)


def train_and_test(dataset: Dataset, data_name: str, row: str, seed: int) -> Any:
    """Train; return the correctness (0 or 1) and group of each test image."""
    preset, arguments = TABLE[row]
    settings = load_preset(preset, arguments | {"seed": str(seed), "augment": data_name})
    examples, _ = ensure_val(find_examples(dataset), seed)
    data = TrainingData(dataset, examples, settings)
    net = fit_method(data, settings).net
    test = data.arrays("test")
    correct = (network_outputs(net, test).logits.argmax(1) == test.y).astype(int).tolist()
    return correct, data.groups_of(test.keys).tolist()


def predict_by_nearest_neighbor(dataset: Dataset) -> Any:
    """Return the same for the nearest training image by cosine similarity."""
    spec = FeatureSpec("efficientnet_lite0", "packaged", 224)
    examples, vectors, labels = find_examples(dataset), {}, {}
    for part in ("train", "test"):
        features = compute_features(dataset, examples.splits[part], spec)
        norms = np.linalg.norm(features.plain, axis=1, keepdims=True)
        vectors[part] = features.plain / norms
        label_of = {s.key: str(s.label) for s in examples.splits[part]}
        labels[part] = np.array([label_of[key] for key in features.keys])
    predicted = labels["train"][(vectors["test"] @ vectors["train"].T).argmax(1)]
    groups = [examples.groups[key] for key in features.keys]
    return (predicted == labels["test"]).astype(int).tolist(), groups


def bootstrap_interval(rows: list[Row], rounds: int = 2000) -> tuple[float, float, float]:
    """Return pooled accuracy and its 95% interval (group bootstrap)."""
    rng, sums = np.random.default_rng(0), np.zeros((rounds, 2))
    for row in rows:
        groups: dict[str, list[int]] = defaultdict(list)
        for group, correct in zip(row["groups"], row["correct"], strict=True):
            groups[group].append(correct)
        counts = np.array([(sum(group), len(group)) for group in groups.values()])
        sums += counts[rng.integers(0, len(counts), (rounds, len(counts)))].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    pooled = sum(sum(row["correct"]) for row in rows) / sum(len(row["correct"]) for row in rows)
    return pooled, float(low), float(high)


def format_gap(rows: list[Row], reference: list[Row]) -> str:
    """Format how many points `rows` are behind the reference, with a paired interval."""
    gaps = [
        row | {"correct": [a - b for a, b in zip(best["correct"], row["correct"], strict=True)]}
        for row, best in zip(rows, reference, strict=False)
    ]
    return "{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in bootstrap_interval(gaps)))


def read_rows(results: ResultFile, data: str, preset: str) -> list[Row]:
    """Return the stored results of a preset on a set, by seed."""
    parts = [f"table/{data}/{preset}/{seed}" for seed in range(99)]
    return [results[part] for part in parts if part in results]


def format_tables(results: ResultFile) -> Iterator[str]:
    """Yield the tables of docs/results.md as Markdown."""
    for data in ("characters", "photos"):
        yield (
            f"\n**{data}**\n\n| preset | accuracy on test | 95 % interval | by seed "
            f"| points behind {REFERENCE} | CPU s |\n|---|---|---|---|---|---|"
        )
        for preset in TABLE:
            if rows := read_rows(results, data, preset):
                pooled, low, high = bootstrap_interval(rows)
                each = ", ".join(f"{row['accuracy']:.2f}" for row in rows)
                cost = np.median([row["seconds"] for row in rows])
                reference = read_rows(results, data, REFERENCE) if preset != REFERENCE else []
                gap = format_gap(rows, reference) if reference else ""
                yield (
                    f"| {preset} | {pooled:.3f} | {low:.2f} to {high:.2f} | {each} | {gap} "
                    f"| {cost:.0f} |"
                )


def main() -> None:
    """Run the missing parts, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="only parts whose name contains this")
    parser.add_argument("--tables", action="store_true", help="only print stored results")
    arguments = parser.parse_args()
    # Otherwise worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    results = ResultFile(arguments.work / "results.jsonl")
    parts = [
        f"table/{data}/{preset}/{seed}"
        for data in ("characters", "photos")
        for preset in TABLE
        for seed in range(arguments.seeds)
    ]
    for part in parts if not arguments.tables else ():
        if arguments.only in part and part not in results:
            _, data, preset, seed = part.split("/")
            run_row(results, data, preset, int(seed))
    print("\n".join(format_tables(results)))


if __name__ == "__main__":
    main()
