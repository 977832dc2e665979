"""How many images of unlearnt classes are predicted as "unknown", and how confident the others are.

    python benchmarks/unknown.py WORK

Trains `transfer` on four fifths of the groups of a set, without two of its classes. *Near* are
images of these classes, *far* those of another set. Confidences are medians of those with a name.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from labelled_tree import DATA, import_images, iter_tree
from likeness import SETS, format_interval

from baseline.data.samples import Examples, ensure_val
from baseline.evaluation.decision_rule import UNKNOWN, decide
from baseline.evaluation.evaluate import fit_decision_rule
from baseline.settings import load_preset
from baseline.train.callbacks import TrainingCallback
from baseline.train.cross_validation import add_membership, add_unknown_rule
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData, split_outputs
from curation.split_groups import assign_split_groups
from gleanset import Dataset


def measure_split(dataset: Dataset, other: Dataset, seed: int) -> dict[str, float]:
    """Train, and return the share of each kind that is unknown, and the confidence of the rest."""
    samples = list(dataset.samples.iter_by_key())
    groups = assign_split_groups(dataset.db, [sample.key for sample in samples])
    random = np.random.default_rng(seed)
    classes = sorted(random.permutation(sorted({str(s.label) for s in samples}))[2:].tolist())
    learnt = {key for key in sorted(set(groups.values())) if random.random() < 0.8}
    kinds = {
        "train": [s for s in samples if s.label in classes and groups[s.key] in learnt],
        "known": [s for s in samples if s.label in classes and groups[s.key] not in learnt],
        "near": [s for s in samples if s.label not in classes],
    }
    splits = {"train": tuple(kinds.pop("train")), "val": (), "test": ()}
    examples = ensure_val(Examples(tuple(classes), splits, groups), seed)[0]
    data = TrainingData(dataset, examples, load_preset("transfer", {"views": "2"}))
    trained = fit_method(data, data.settings, TrainingCallback())
    left_out = add_membership(data, trained)
    val = split_outputs(trained.net, data, "val")
    rule = add_unknown_rule(data, trained, val, None, fit_decision_rule(val, examples)[1], left_out)
    effect = rule.effects.unfamiliar
    row = {"printed": effect.left_out_unknown / effect.left_out} if effect else {}
    for kind, images in (kinds | {"far": list(other.samples.iter_by_key())}).items():
        labelled = tuple(replace(sample, label=classes[0]) for sample in images)
        shown = replace(data, dataset=other if kind == "far" else dataset)
        shown.examples = replace(examples, splits={"test": labelled})
        outputs = split_outputs(trained.net, shown, "test")
        assert outputs.membership is not None
        answers = decide(outputs.logits, data.classes, rule, outputs.membership)
        named = answers.classes != UNKNOWN
        row[f"{kind} unknown"] = 1 - float(named.mean())
        if named.any():
            confidences = (answers.probabilities.max(1) * outputs.membership)[named]
            row[f"{kind} confidence"] = float(np.median(confidences))
    return row


def main() -> None:
    """Measure each set, and print its figures with their intervals over the splits."""
    work = Path(sys.argv[1])
    for name in SETS:
        with Dataset.create(work / name) as dataset:
            if not dataset.images.count():
                import_images(dataset, iter_tree(DATA / name))
    for name in SETS:
        values: dict[str, list[float]] = {}
        far = work / (SETS[1] if name == SETS[0] else SETS[0])
        for seed in range(12):
            with Dataset.open(work / name) as own, Dataset.open(far) as other:
                for column, value in measure_split(own, other, seed).items():
                    values.setdefault(column, []).append(value)
        figures = [f"{column} {format_interval(row)}" for column, row in values.items()]
        print(name, *figures, sep=", ")


if __name__ == "__main__":
    main()
