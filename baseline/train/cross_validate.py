"""Training anew, as a run did, on other parts of the samples: for out-of-fold answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from baseline.data.grouped_split import Trainer, out_of_fold
from baseline.data.samples import Examples, find_examples, prior_shift
from baseline.judge.calibration import fit_calibration
from baseline.judge.outputs import Floats, Indices, Outputs, softmax
from baseline.settings import Settings
from baseline.train.inference import split_outputs
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from baseline.train.storage import load_model
from gleanset import Dataset
from gleanset.db.runs import Doubt, Doubts, SplitEvaluations
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
    _, settings, _ = load_model(folder)
    examples = find_examples(dataset)
    # To be judged, and not to judge: what nobody has looked at is most in doubt.
    unseen, examples = examples.unseen, replace(examples, unseen=frozenset())
    samples = {sample.key for part in examples.splits.values() for sample in part}
    told = out_of_fold(examples, folds, settings.seed, trainer_of(dataset, settings, progress))
    groups = [examples.moments[key] for key in told.keys]
    shift = prior_shift(examples, settings)
    doubts = doubts_in(told, groups, examples.classes, run, shift, unseen)
    if test := examples.splits["test"]:
        SplitEvaluations(dataset.db).add(run, "test", [sample.key for sample in test], "doubts")
    Doubts(dataset.db).replace(doubts)
    judges = [row for row, key in enumerate(told.keys) if key not in unseen]
    agree = float((told.logits.argmax(1) == told.y)[judges].mean()) if judges else 0.0
    return DoubtSearch(run, folds, len(samples), len(told), agree, tuple(doubts))


def doubts_in(
    told: Outputs,
    moments: Sequence[str],
    classes: tuple[str, ...],
    run: str,
    shift: Floats,
    unseen: Collection[str] = (),
) -> list[Doubt]:
    """Return labels that are likely wrong by out-of-fold answers, which are calibrated first.

    They are not calibrated on labels that are `unseen` (keys), where there are others.
    """
    seen = [row for row, key in enumerate(told.keys) if key not in unseen]
    rows = seen or list(range(len(told)))
    known = told.at(np.array(rows, np.int64))
    fitted = fit_calibration(known.logits, known.y, [moments[row] for row in rows], shift)
    probabilities = softmax(fitted.apply(told.logits))
    return [
        Doubt(
            told.keys[one.row],
            classes[told.y[one.row]],
            classes[one.suggested],
            one.confidence,
            one.margin,
            run,
        )
        for one in suspect_labels(probabilities, told.y)
    ]


def trainer_of(dataset: Dataset, settings: Settings, progress: Progress | None) -> Trainer:
    """Return a function that trains as `settings` say and answers what it had not learnt."""

    def learn(examples: Examples) -> Outputs:
        data = TrainingData(dataset, examples, settings, progress or Progress())
        return split_outputs(fit_method(data, settings).net, data, "test")

    return learn


@dataclass(frozen=True, slots=True)
class SuspectLabel:
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
