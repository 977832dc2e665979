"""Labels in doubt: those that networks contradict which had not learnt them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from baseline.data.grouped_split import held_out_folds
from baseline.data.samples import Examples, find_examples, prior_shift
from baseline.judge.calibration import fit_calibration
from baseline.judge.outputs import Floats, Indices, Outputs, joined_outputs, softmax
from baseline.train.cross_validation import cross_validate, folds_with_val
from baseline.train.storage import load_model
from gleanset import Dataset
from gleanset.db.runs import Doubt, Doubts, SplitEvaluations
from gleanset.records import Sample
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class DoubtSearch:
    """A search for wrong labels: `judged` of `labelled` samples have an out-of-fold answer.

    `accuracy` is the share of these answers that agree with the label.
    """

    run: str
    folds: int
    labelled: int
    judged: int
    accuracy: float
    doubts: tuple[Doubt, ...]


def search_doubts(
    dataset: Dataset, run: str, folder: Path, folds: int, progress: Progress | None = None
) -> DoubtSearch:
    """Train once for each fold with the settings of a run, and keep the labels in doubt.

    The labels of test are looked at, too, which counts as a look at test. Raises
    `InputUnusable` where there are too few moments, and what training raises.
    """
    settings, examples = load_model(folder)[1], find_examples(dataset)
    everything = _as_train(examples)
    parts = held_out_folds(everything, folds, settings.seed)
    results = cross_validate(
        dataset, settings, folds_with_val(parts, settings.seed), progress or Progress()
    )
    outputs = joined_outputs([result.outputs for result in results])
    order = sorted(range(len(outputs)), key=outputs.keys.__getitem__)
    outputs = outputs.at(np.array(order, np.int64))
    groups = [examples.moments[key] for key in outputs.keys]
    shift, unseen = prior_shift(examples, settings), examples.unseen
    doubts = doubts_in(outputs, groups, examples.classes, run, shift, unseen)
    if test := examples.splits["test"]:
        SplitEvaluations(dataset.db).add(run, "test", [sample.key for sample in test], "doubts")
    Doubts(dataset.db).replace(doubts)
    judges = [row for row, key in enumerate(outputs.keys) if key not in unseen]
    agree = float(outputs.right[judges].mean()) if judges else 0.0
    labelled = len(everything.splits["train"])
    return DoubtSearch(run, folds, labelled, len(outputs), agree, tuple(doubts))


def _as_train(examples: Examples) -> Examples:
    """Return the samples of all splits as train, each once, without balance.

    Labels that nobody has looked at are judged, too.
    """
    samples = {sample.key: sample for part in examples.splits.values() for sample in part}
    train = tuple(samples[key] for key in sorted(samples))
    splits: dict[str, tuple[Sample, ...]] = {"train": train, "val": (), "test": ()}
    return replace(examples, splits=splits, unseen=frozenset(), weights=())


def doubts_in(
    outputs: Outputs,
    moments: Sequence[str],
    classes: tuple[str, ...],
    run: str,
    shift: Floats,
    unseen: Collection[str] = (),
) -> list[Doubt]:
    """Return labels that are likely wrong by out-of-fold answers, which are calibrated first.

    They are not calibrated on labels that are `unseen` (keys), where there are others.
    """
    seen = [row for row, key in enumerate(outputs.keys) if key not in unseen]
    rows = seen or list(range(len(outputs)))
    known = outputs.at(np.array(rows, np.int64))
    fitted = fit_calibration(known.logits, known.y, [moments[row] for row in rows], shift)
    probabilities = softmax(fitted.apply(outputs.logits))
    return [
        Doubt(outputs.keys[row], classes[outputs.y[row]], classes[other], sure, margin, run)
        for row, other, sure, margin in suspect_labels(probabilities, outputs.y)
    ]


class SuspectLabel(NamedTuple):
    """Row `row` has a label that is likely wrong, `suggested` is the likelier class.

    `confidence` is the probability of `suggested`, `margin` what it has above the label's.
    """

    row: int
    suggested: int
    confidence: float
    margin: float


def suspect_labels(probabilities: Floats, y: Indices) -> list[SuspectLabel]:
    """Return the off-diagonal of the confident joint, the widest margin first."""
    classes = probabilities.shape[1]
    sums = np.bincount(y, probabilities[np.arange(len(y)), y], minlength=classes)
    counts = np.bincount(y, minlength=classes)
    # A class without pictures has no mean to reach.
    own = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    sure = np.where(probabilities >= own, probabilities, -1.0)
    suggested = sure.argmax(1)
    rows = np.flatnonzero((sure.max(1) > 0) & (suggested != y))
    found = [_suspect(probabilities, y, int(row), int(suggested[row])) for row in rows]
    # Below its label a class is no suggestion, however much above its mean.
    return sorted((one for one in found if one.margin > 0), key=lambda one: (-one.margin, one.row))


def _suspect(probabilities: Floats, y: Indices, row: int, suggested: int) -> SuspectLabel:
    confidence = float(probabilities[row, suggested])
    return SuspectLabel(row, suggested, confidence, confidence - float(probabilities[row, y[row]]))
