"""What the real head says of many small splits of real pictures, computed once and kept.

Used by `calibration.py`; not a script. A cell names pictures of some classes; each of its splits
draws so many of each class to learn from, whole moments at a time. Every eighth of them is val, as
`baseline train` cuts it; what is left is test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from labelled_tree import DATA, add_pictures, of_tree, split

from baseline.data import Examples, find_examples, prior_shift
from baseline.grouped_split import with_val
from baseline.inference import feature_outputs
from baseline.methods.registry import fit_method
from baseline.methods.training_data import TrainingData
from baseline.networks import FeatureNet
from baseline.settings import load_preset
from gleanset import Dataset
from gleanset.records import Sample

FEWEST = 10
"""Pictures of each class that must be left for test."""
SIZES = (8, 10, 20, 40)
RARE = {"cat": 46, "dog": 4}
LONG_TAIL = {"cat": 45, "dog": 45, "daisy": 12, "tulips": 6, "sunflowers": 3}


@dataclass(frozen=True)
class Said:
    """Scores, classes and moments of val and of test, and what undoes the weights of classes.

    `weights` of test pictures make the classes as frequent as in train.
    """

    val: tuple[np.ndarray, np.ndarray, list[str]]
    test: tuple[np.ndarray, np.ndarray, list[str]]
    shift: np.ndarray
    weights: np.ndarray


def cells(work: Path) -> Iterator[tuple[str, str, dict[str, int]]]:
    """(name, tree, pictures of each class to learn from)."""
    for tree in ("photos", "characters"):
        with dataset_of(work, tree) as dataset:
            there = Counter(str(s.label) for s in dataset.samples.in_splits())
        for size in SIZES:
            counts = {name: size for name, n in sorted(there.items()) if n >= size + FEWEST}
            yield f"{tree}, {size} a class", tree, counts
    yield "8 % dogs among cats", "photos", RARE
    yield "long tail of photos", "photos", LONG_TAIL


def dataset_of(work: Path, tree: str) -> Dataset:
    """The tree as a dataset with moments, filled the first time."""
    dataset = Dataset.create(work / tree)
    if not dataset.images.count():
        add_pictures(dataset, of_tree(DATA / tree))
        split(dataset, 0)
    return dataset


def said(work: Path, name: str, tree: str, counts: Mapping[str, int], seed: int) -> Said:
    """What the preset `transfer` says after learning one split of a cell."""
    file = work / "outputs" / f"{name}-{seed}.npz"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        with dataset_of(work, tree) as dataset:
            np.savez(file, **learnt(dataset, tree, counts, seed))
    with np.load(file) as kept:
        parts = [
            (kept[f"{s}.logits"], kept[f"{s}.y"], kept[f"{s}.moments"].tolist())
            for s in ("val", "test")
        ]
        return Said(parts[0], parts[1], kept["shift"], kept["weights"])


def learnt(
    dataset: Dataset, tree: str, counts: Mapping[str, int], seed: int
) -> dict[str, np.ndarray]:
    """Fit the head of the preset on the split, and ask it about val and test."""
    settings = load_preset("transfer", {"augment": tree, "seed": str(seed)})
    examples = drawn(find_examples(dataset), counts, seed)
    shares = np.array([examples.natural[name] for name in examples.classes], dtype=float)
    examples, _ = with_val(examples, seed)
    material = TrainingData(dataset, examples, settings)
    net = fit_method(material, settings).net
    assert isinstance(net, FeatureNet)
    kept = {"shift": prior_shift(examples, settings)}
    for part in ("val", "test"):
        seen = material.features(part, net.backbone)
        y = material.classes_of(part, seen.keys)
        told = feature_outputs(net, seen.plain, y, seen.keys)
        kept |= {
            f"{part}.logits": told.logits,
            f"{part}.y": y,
            f"{part}.moments": np.array(material.moments_of(seen.keys)),
        }
    there = np.bincount(kept["test.y"], minlength=len(shares))
    kept["weights"] = (shares / shares.sum() / (there / there.sum()))[kept["test.y"]]
    return kept


def drawn(examples: Examples, counts: Mapping[str, int], seed: int) -> Examples:
    """So many pictures of each class in train, all others of these classes in test."""
    moments: dict[str, list[Sample]] = defaultdict(list)
    for part in examples.splits.values():
        for sample in part:
            moments[examples.moments[sample.key]].append(sample)
    train: list[Sample] = []
    test: list[Sample] = []
    have: Counter[str] = Counter()
    for name in np.random.default_rng(seed).permutation(sorted(moments)).tolist():
        labels = Counter(str(sample.label) for sample in moments[name])
        if set(labels) <= set(counts):
            fits = all(have[label] + n <= counts[label] for label, n in labels.items())
            (train if fits else test).extend(moments[name])
            have.update(labels if fits else {})
    splits = {"train": tuple(train), "val": (), "test": tuple(test)}
    return replace(examples, classes=tuple(sorted(counts)), splits=splits, natural=have)
