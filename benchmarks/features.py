"""What cached features, bf16 and an honest split are worth, on real pictures.

    python benchmarks/features.py WORK [--only leak]

WORK is that of `benchmarks/presets.py`: its dataset `characters` with its cached features. Times
are CPU seconds, the quickest of several interleaved rounds, so a busy machine changes little.
Needs gleanset[train] and ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept_rows import KeptRows
from labelled_tree import DATA, of_tree, split
from presets import dataset_of

from baseline.backbone import Backbone
from baseline.backbones import load_backbone
from baseline.compute import choose_compute
from baseline.data import find_examples, load_arrays
from baseline.extraction import BATCH, Extractor
from baseline.features import FeatureSpec, features_of
from baseline.loop.dataset import FeatureSamples
from baseline.loop.lr_schedule import build_optimiser
from baseline.loop.objective import Classify
from baseline.loop.samplers import shuffled
from baseline.loop.steps import Stepper
from baseline.methods.logistic import solve
from baseline.methods.registry import fit_method
from baseline.methods.scaling import Scaling
from baseline.methods.training_data import TrainingData
from baseline.networks import build_net
from baseline.settings import load_preset
from gleanset import Dataset

SPEC = FeatureSpec("efficientnet_lite0", "packaged", 224)
ROUNDS = 3


def quickest(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """CPU seconds of each, the least of interleaved rounds after one to warm up."""
    best = dict.fromkeys(ways, float("inf"))
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if number:
                best[name] = min(best[name], time.process_time() - start)
    return best


def extraction(done: KeptRows) -> None:
    """One batch by the network as timm gives it, in float32, and by ours."""
    backbone = load_backbone("efficientnet_lite0", "packaged")[0]
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (BATCH, 3, 224, 224), np.uint8)
    x = torch.from_numpy(pictures).float() / 255

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return backbone(x)

    ours = {p: Extractor(backbone, 224, 3, p) for p in ("fp32", "bf16")}  # type: ignore[arg-type]
    ways: dict[str, Callable[[], object]] = {
        "plain": plain,
        **{p: (lambda e=e: e(pictures)) for p, e in ours.items()},
    }
    told = {name: 1000 * seconds / BATCH for name, seconds in quickest(ways).items()}
    done.keep(
        "features/extraction",
        {
            "ms": told,
            "fp32": told["plain"] / told["fp32"],
            "bf16": told["plain"] / told["bf16"],
        },
    )


def accuracies(done: KeptRows, dataset: Dataset) -> None:
    """Logistic heads on features in bf16 and float32, three splits."""
    found: dict[str, list[float]] = {"bf16": [], "fp32": []}
    for seed in range(3):
        split(dataset, seed)
        examples = find_examples(dataset)
        for precision, told in found.items():
            settings = load_preset(
                "transfer", {"views": "0", "strength": "10", "precision": precision}
            )
            material = TrainingData(dataset, examples, settings)
            net = fit_method(material, settings).net
            test = material.features("test", net.backbone)  # type: ignore[arg-type]
            with torch.inference_mode():
                guessed = net.head(torch.from_numpy(test.plain)).argmax(1).numpy()
            told.append(float((guessed == material.classes_of("test", test.keys)).mean()))
    done.keep("features/precision", {k: float(np.mean(v)) for k, v in found.items()})


def epochs(done: KeptRows, dataset: Dataset) -> None:
    """An epoch of a linear head: over cached features, and through the backbone each time."""
    split(dataset, 0)
    settings: Any = load_preset("transfer", {"head": "linear", "views": "0"})
    examples = find_examples(dataset)
    material = TrainingData(dataset, examples, settings)
    net: Any = build_net(settings, len(examples.classes))
    net.backbone.load_state_dict(load_backbone(settings.backbone, "packaged")[0].state_dict())
    train = material.labelled("train", material.features("train", net.backbone))
    pictures = load_arrays(dataset, examples, settings, splits=["train"])["train"]
    extractor = Extractor(net.backbone, 224, 3, "auto")
    objective = Classify(torch.ones(len(examples.classes)), by_head=True)
    stepper = Stepper(
        net,
        objective,
        build_optimiser([list(net.head.parameters())], settings),
        choose_compute(),
        print,
    )

    def learn(vectors: FeatureSamples) -> None:
        for index in shuffled(len(vectors.y), 32)(np.random.default_rng(0)):
            x = vectors.take(index, None)
            stepper.step(x, torch.from_numpy(vectors.y[index]), 0)

    told = quickest(
        {
            "cached": lambda: learn(train),
            "not cached": lambda: learn(FeatureSamples(extractor(pictures.x)[:, None], pictures.y)),
        }
    )
    same = float(np.abs(extractor(pictures.x) - train.x[:, 0]).max())
    done.keep(
        "features/epoch",
        {
            "seconds": told,
            "ratio": told["not cached"] / told["cached"],
            "largest_difference": same,
        },
    )


def balanced_first(done: KeptRows, dataset: Dataset) -> None:
    """Rare classes repeated before a random split: copies of a picture on both sides.

    A quarter of the moments is kept from all of it: what is right there is what a model is worth.
    Beside it a split by moment, train alone balanced.
    """
    backbone = SPEC.load()
    for seed in range(5):
        split(dataset, seed, ratio="3:0:1")
        samples = list(dataset.samples.in_splits())
        features = features_of(dataset, samples, SPEC)
        names = sorted({str(s.label) for s in samples})
        y = np.array([names.index(str(s.label)) for s in samples])
        unseen = np.array([s.split == "test" for s in samples])
        draw = np.random.default_rng(seed)
        seen = np.flatnonzero(~unseen)
        most = int(np.bincount(y[seen]).max())
        told = {}
        for name, pool in (("balanced first", _repeated(seen, y, most, draw)), ("random", seen)):
            order = draw.permutation(pool)
            cut = len(order) * 8 // 10
            told[name] = _judged(features.plain, y, order[:cut], order[cut:], unseen, backbone)
        done.keep(f"features/leak/{seed}", told)


def _repeated(index: Any, y: Any, most: int, draw: np.random.Generator) -> Any:
    groups = [index[y[index] == name] for name in np.unique(y)]
    return np.concatenate([np.resize(draw.permutation(group), most) for group in groups])


def _judged(
    x: Any, y: Any, learnt: Any, own: Any, unseen: Any, backbone: Backbone
) -> dict[str, list[float]]:
    """Accuracy on its own test and on the unseen: of a logistic head, and of the nearest."""
    scaled = Scaling.of(x[learnt], backbone).applied(x).astype(np.float64)
    known = scaled[learnt, None], y[learnt], np.ones(len(learnt))
    solved = solve(*known, int(y.max()) + 1, 10.0, "l2")
    logistic = (scaled @ solved.coefficients.T + solved.bias).argmax(1)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    nearest = y[learnt][(unit @ unit[learnt].T).argmax(1)]
    return {
        name: [float((guess[part] == y[part]).mean()) for part in (own, np.flatnonzero(unseen))]
        for name, guess in (("logistic", logistic), ("nearest neighbour", nearest))
    }


def tables(done: KeptRows) -> None:
    """What the parts came to."""
    for part, row in sorted(done.items()):
        if part.startswith("features/") and "leak" not in part:
            print(part, {k: v for k, v in row.items() if k != "part"})
    rows = [row for part, row in done.items() if part.startswith("features/leak/")]
    for kind in ("random", "balanced first") if rows else ():
        for trainer in ("logistic", "nearest neighbour"):
            own, real = np.mean([row[kind][trainer] for row in rows], axis=0)
            print(f"| {trainer} | {kind} | {own:.3f} | {real:.3f} | {100 * (own - real):+.1f} |")


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", default="", help="parts whose name has this in it")
    options = parser.parse_args()
    # Worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    done = KeptRows(options.work / "results.jsonl")
    with dataset_of(done, "characters", of_tree(DATA / "characters")) as dataset:
        parts: dict[str, Callable[[], None]] = {
            "features/extraction": lambda: extraction(done),
            "features/epoch": lambda: epochs(done, dataset),
            "features/precision": lambda: accuracies(done, dataset),
            "features/leak/4": lambda: balanced_first(done, dataset),
        }
        for name, part in parts.items():
            if options.only in name and name not in done:
                part()
    tables(done)


if __name__ == "__main__":
    main()
