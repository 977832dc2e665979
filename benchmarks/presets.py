"""Accuracy of each preset on real images, on three splits and seeds.

    python benchmarks/presets.py WORK [--seeds 3] [--set NAME=FOLDER ...] [--only NAME] [--tables]
    python benchmarks/presets.py WORK --cost PYTHON ...    # CPU seconds of the command

WORK keeps datasets, features and `results.jsonl`, with one line for each finished part, so that an
interrupted run can continue. `--tables` prints the tables of docs/results.md from existing results.
Accuracies are pooled over the seeds; 95% intervals come from a bootstrap over groups (2,000
resamples). Needs gleanset[train] and timm.

`--cost` trains **transfer** on all sets together (34 images a class) with features that are ready,
by each of some environments in turn, and prints the CPU seconds with all child processes.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from labelled_tree import NamedImages, iter_tree, open_set, parse_sets, split
from process_usage import read_cpu_seconds
from result_file import ResultFile, Row
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from timm.data import create_transform, resolve_data_config

from baseline.data.pixels import read_crop
from baseline.data.samples import ensure_val, find_examples, pixel_sources
from baseline.features.backbones import CHECKPOINT, PACKAGE
from baseline.features.features import FeatureSpec, compute_features
from baseline.settings import load_preset
from baseline.train.training import TrainingData, fit_method, network_outputs
from gleanset import Dataset
from gleanset.work.progress import NO_PROGRESS

NEAREST_NEIGHBOR = "nearest neighbour on raw features"
LOGISTIC_REGRESSION = "logistic regression on timm's features"
REFERENCE = "transfer"
"""Row that the others are compared with."""
IMAGES_PER_CLASS = 34
COST_ROUNDS = 5
# Smaller and shorter than the presets where two cores would take too long.
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    NEAREST_NEIGHBOR: ("", {}),
    LOGISTIC_REGRESSION: ("", {}),
    "simple": ("simple", {}),
    "simple, colour=grayscale": ("simple", {"colour": "grayscale"}),
    "transfer": ("transfer", {}),
    "triplet": ("triplet", {}),
    "finetune, size=96, epochs=8": ("finetune", {"size": "96", "epochs": "8"}),
    "mobile, size=96, epochs=8": ("mobile", {"size": "96", "epochs": "8"}),
}


def run_row(
    results: ResultFile, folder: Path, data: str, preset: str, seed: int
) -> None:
    """Train a preset on one split and evaluate it."""
    with open_set(results.file.parent / data, iter_tree(folder)) as dataset:
        split(dataset, seed)
        started = time.process_time()
        if preset == NEAREST_NEIGHBOR:
            nearest = KNeighborsClassifier(1, metric="cosine")
            features = compute_packaged_features(dataset)
            correct, groups = predict(dataset, nearest, features, "train")
        elif preset == LOGISTIC_REGRESSION:
            features = compute_timm_features(dataset.root)
            logistic = LogisticRegression(max_iter=2000)
            correct, groups = predict(dataset, logistic, features, "train", "val")
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
    augment = "photos" if data_name == "photos" else "characters"
    settings = load_preset(preset, arguments | {"seed": str(seed), "augment": augment})
    examples, _ = ensure_val(find_examples(dataset), seed)
    data = TrainingData(dataset, examples, settings)
    net = fit_method(data, settings).net
    test = data.arrays("test")
    correct = (
        (network_outputs(net, test).logits.argmax(1) == test.y).astype(int).tolist()
    )
    return correct, data.groups_of(test.keys).tolist()


@cache
def compute_timm_features(root: Path) -> dict[str, Any]:
    """Return the features of all images by timm's model and transforms, by sample key."""
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    package_folder = Path(str(find_spec(PACKAGE).origin)).parent
    weights = torch.load(package_folder / CHECKPOINT).values()
    model.load_state_dict(dict(zip(model.state_dict(), weights, strict=False)))
    transform = create_transform(**resolve_data_config(model.pretrained_cfg))
    with Dataset.open(root) as dataset, torch.inference_mode():
        samples = list(dataset.samples.iter_by_key())
        images = (read_crop(s).convert("RGB") for s in pixel_sources(dataset, samples))
        vectors = (model(transform(image)[None])[0].numpy() for image in images)
        return dict(zip((sample.key for sample in samples), vectors, strict=True))


def compute_packaged_features(dataset: Dataset) -> dict[str, Any]:
    """Return the features of all images by our network and transforms, by sample key."""
    spec = FeatureSpec("efficientnet_lite0", "packaged", 224)
    samples = list(dataset.samples.iter_by_key())
    features = compute_features(dataset, samples, spec, NO_PROGRESS, spec.load())
    return dict(zip(features.keys, features.plain, strict=True))


def predict(dataset: Dataset, model: Any, features: dict[str, Any], *parts: str) -> Any:
    """Fit a classifier of scikit-learn to parts of the split; return the same."""
    examples = find_examples(dataset)
    train = [sample for part in parts for sample in examples.splits[part]]
    model.fit(
        [features[sample.key] for sample in train], [sample.label for sample in train]
    )
    test = examples.splits["test"]
    predicted = model.predict([features[sample.key] for sample in test])
    correct = (
        (predicted == np.array([sample.label for sample in test])).astype(int).tolist()
    )
    return correct, [examples.groups[sample.key] for sample in test]


def bootstrap_interval(
    rows: list[Row], rounds: int = 2000
) -> tuple[float, float, float]:
    """Return pooled accuracy and its 95% interval (group bootstrap)."""
    rng = np.random.default_rng(0)
    sums = np.zeros((rounds, 2))
    for row in rows:
        groups: dict[str, list[int]] = defaultdict(list)
        for group, correct in zip(row["groups"], row["correct"], strict=True):
            groups[group].append(correct)
        counts = np.array([(sum(group), len(group)) for group in groups.values()])
        sums += counts[rng.integers(0, len(counts), (rounds, len(counts)))].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    pooled = sum(sum(row["correct"]) for row in rows) / sum(
        len(row["correct"]) for row in rows
    )
    return pooled, float(low), float(high)


def format_gap(rows: list[Row], reference: list[Row]) -> str:
    """Format how many points `rows` are behind the reference, with a paired interval."""
    gaps = [
        row
        | {
            "correct": [
                a - b for a, b in zip(best["correct"], row["correct"], strict=True)
            ]
        }
        for row, best in zip(rows, reference, strict=False)
    ]
    return "{:.1f} ({:.1f} to {:.1f})".format(
        *(100 * value for value in bootstrap_interval(gaps))
    )


def read_rows(results: ResultFile, data: str, preset: str) -> list[Row]:
    """Return the stored results of a preset on a set, by seed."""
    parts = [f"table/{data}/{preset}/{seed}" for seed in range(99)]
    return [results[part] for part in parts if part in results]


def format_tables(results: ResultFile, sets: Iterable[str]) -> Iterator[str]:
    """Yield the tables of docs/results.md as Markdown."""
    for data in sets:
        yield (
            f"\n**{data}**\n\n| preset | accuracy on test | 95 % interval | by seed "
            f"| points behind {REFERENCE} | CPU s |\n|---|---|---|---|---|---|"
        )
        for preset in TABLE:
            if rows := read_rows(results, data, preset):
                pooled, low, high = bootstrap_interval(rows)
                each = ", ".join(f"{row['accuracy']:.2f}" for row in rows)
                cost = np.median([row["seconds"] for row in rows])
                reference = (
                    read_rows(results, data, REFERENCE) if preset != REFERENCE else []
                )
                gap = format_gap(rows, reference) if reference else ""
                yield (
                    f"| {preset} | {pooled:.3f} | {low:.2f} to {high:.2f} | {each} | {gap} "
                    f"| {cost:.0f} |"
                )


def iter_some(folders: Iterable[Path]) -> NamedImages:
    """Yield the first images of each class of some trees."""
    counts = Counter[str]()
    for folder in folders:
        for name, label, post, data in iter_tree(folder):
            counts[label] += 1
            if counts[label] <= IMAGES_PER_CLASS:
                own_post = post and f"{folder.name} {post}"
                yield f"{folder.name}/{name}", label, own_post, data


def print_costs(work: Path, folders: Iterable[Path], pythons: list[str]) -> None:
    """Print the CPU seconds of the command in each environment."""
    with open_set(work / "cost", iter_some(folders)) as dataset:
        split(dataset, 0)
        print(
            f"{dataset.images.count()} images, {len(dataset.classes.list_names())} classes"
        )

    costs: dict[str, list[float]] = defaultdict(list)
    # The first round computes the features.
    for _ in range(COST_ROUNDS + 1):
        for python in pythons:
            shutil.rmtree(work / "cost" / "runs", ignore_errors=True)
            command = [python, "-m", "baseline", "train", "--preset", "transfer"]
            process = subprocess.Popen(
                [*command, "-d", str(work / "cost")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            seconds = 0.0
            while process.poll() is None:
                seconds = max(seconds, read_cpu_seconds(process.pid))
                time.sleep(0.02)
            costs[python].append(seconds)

    for python, seconds_by_round in costs.items():
        each = " ".join(f"{seconds:.1f}" for seconds in seconds_by_round[1:])
        print(f"{python}: {np.median(seconds_by_round[1:]):.1f} CPU s ({each})")


def main() -> None:
    """Run the missing parts, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--only", default="", help="only parts whose name contains this"
    )
    parser.add_argument(
        "--tables", action="store_true", help="only print stored results"
    )
    parser.add_argument("--cost", nargs="+", metavar="PYTHON")
    sets = parse_sets(parser, ("characters", "photos"))
    arguments = parser.parse_args()
    if arguments.cost:
        print_costs(arguments.work, sets.values(), arguments.cost)
        return
    # Otherwise worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    results = ResultFile(arguments.work / "results.jsonl")
    parts = [
        f"table/{data}/{preset}/{seed}"
        for data in sets
        for preset in TABLE
        for seed in range(arguments.seeds)
    ]
    for part in parts if not arguments.tables else ():
        if arguments.only in part and part not in results:
            _, data, preset, seed = part.split("/")
            run_row(results, sets[data], data, preset, int(seed))
    print("\n".join(format_tables(results, sets)))


if __name__ == "__main__":
    main()
