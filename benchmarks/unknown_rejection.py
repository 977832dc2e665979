"""Share of images that are predicted as "unknown", and confidence of the other predictions.

    python benchmarks/unknown_rejection.py WORK [--set NAME=FOLDER --set NAME=FOLDER ...]

Trains `transfer` on four fifths of the groups of a set, without two of its classes, in 12 splits.
*Known* are the remaining groups, *near* images of the two classes, *far* those of another set.
Prints means with their 95% intervals over the splits; confidences are medians of the images that
are not rejected. *Printed* is the share of images of left-out classes that training reports.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from embedding_quality import SETS, format_interval
from labelled_tree import iter_tree, open_set, parse_sets

from baseline.data.samples import Examples, ensure_val
from baseline.evaluation.decision_rule import UNKNOWN, decide
from baseline.evaluation.evaluate import fit_decision_rule
from baseline.evaluation.outputs import NO_SHIFT
from baseline.settings import load_preset
from baseline.train.training import (
    TrainingCallback,
    TrainingData,
    compute_split_outputs,
    fit_method,
)
from baseline.train.unknown import add_membership, add_unknown_rule
from curation.split_groups import assign_split_groups
from gleanset import Dataset

SPLITS = 12


def measure_split(dataset: Dataset, other: Dataset, seed: int) -> dict[str, float]:
    """Train; return the rejection rate of each kind, and the confidence of the other images."""
    samples = list(dataset.samples.iter_by_key())
    groups = assign_split_groups(dataset.db, [sample.key for sample in samples])
    random = np.random.default_rng(seed)
    classes = sorted(
        random.permutation(sorted({str(s.label) for s in samples}))[2:].tolist()
    )
    train_groups = {
        key for key in sorted(set(groups.values())) if random.random() < 0.8
    }
    kinds = {
        "train": [
            s for s in samples if s.label in classes and groups[s.key] in train_groups
        ],
        "known": [
            s
            for s in samples
            if s.label in classes and groups[s.key] not in train_groups
        ],
        "near": [s for s in samples if s.label not in classes],
    }
    splits = {"train": tuple(kinds.pop("train")), "val": (), "test": ()}
    examples = ensure_val(Examples(tuple(classes), splits, groups), seed)[0]
    data = TrainingData(dataset, examples, load_preset("transfer", {"views": "2"}))
    trained = fit_method(data, data.settings, TrainingCallback())
    left_out = add_membership(data, trained)
    val = compute_split_outputs(trained.net, data, "val")
    rule = add_unknown_rule(
        data,
        trained,
        val,
        None,
        fit_decision_rule(val, examples, NO_SHIFT)[1],
        left_out,
    )
    effect = rule.effects.unfamiliar
    row = {}
    if effect and effect.left_out:  # not with fewer than six classes
        row["printed"] = effect.left_out_unknown / effect.left_out
    for kind, images in (kinds | {"far": list(other.samples.iter_by_key())}).items():
        labelled = tuple(replace(sample, label=classes[0]) for sample in images)
        tested = replace(data, dataset=other if kind == "far" else dataset)
        tested.examples = examples._replace(splits={"test": labelled})
        outputs = compute_split_outputs(trained.net, tested, "test")
        assert outputs.membership is not None
        decisions = decide(outputs.logits, data.classes, rule, outputs.membership)
        is_named = decisions.classes != UNKNOWN
        row[f"{kind} unknown"] = 1 - float(is_named.mean())
        if is_named.any():
            confidences = (decisions.confidences.max(1) * outputs.membership)[is_named]
            row[f"{kind} confidence"] = float(np.median(confidences))
    return row


def main() -> None:
    """Measure each set and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    sets = parse_sets(parser, SETS)
    work = parser.parse_args().work
    for name, folder in sets.items():
        open_set(work / name, iter_tree(folder)).close()
    first, second, *_ = sets
    for name in sets:
        values: dict[str, list[float]] = {}
        far = work / (second if name == first else first)
        for seed in range(SPLITS):
            with Dataset.open(work / name) as own, Dataset.open(far) as other:
                for column, value in measure_split(own, other, seed).items():
                    values.setdefault(column, []).append(value)
        figures = [f"{column} {format_interval(row)}" for column, row in values.items()]
        print(name, *figures, sep=", ")


if __name__ == "__main__":
    main()
