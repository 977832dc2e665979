"""Comparison of runs on the images that all of them were evaluated on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from baseline.data.runs import TRAINING_KIND
from baseline.evaluation.decision_rule import (
    calibrate_with_rule,
    decide_outputs,
    load_decision_rule,
)
from baseline.evaluation.intervals import (
    PairedComparison,
    compare_paired,
    effective_groups,
    share_interval_or_none,
    small_sample_warning,
)
from baseline.evaluation.metrics import (
    compute_class_scores,
    compute_classification_metrics,
    describe_coverage,
    mean_f1,
    read_metrics,
)
from baseline.evaluation.outputs import (
    Outputs,
    calibration_error,
    load_outputs,
    softmax,
)
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.arrays import BoolArray, IntArray
from gleanset.command_result import CommandResult
from gleanset.errors import InputUnusable
from gleanset.html.words import count
from gleanset.named_files import shorten_list
from gleanset.records import Interval
from gleanset.terminal import format_table


@dataclass(frozen=True)
class ComparedRun:
    """Metrics of one run.

    `accuracy`, its `interval`, `macro_f1` and `against` (the comparison with the first run) are of
    the predictions users get; other metrics are of the calibrated scores, before any image is
    predicted as "unknown". `seconds` is the duration of the training, `parameters` None if not
    recorded.
    """

    run: str
    preset: str
    accuracy: float
    interval: Interval | None
    accuracy_before_unknown: float
    log_loss: float
    ece: float
    macro_f1: float
    seconds: float
    parameters: int | None
    against: PairedComparison | None = None


COMPARISON_COLUMNS = (
    "run",
    "accuracy",
    "95% CI",
    "vs first",
    "p",
    "log loss",
    "ECE",
    "macro F1",
    "seconds",
    "parameters",
)


class Comparison(CommandResult):
    """Runs on the `count` images of `split` that all have outputs for; others are `left_out`.

    `untested` of the `classes` have none of these images.
    """

    split: str
    count: int
    left_out: int
    commonest_class: float
    runs: tuple[ComparedRun, ...]
    groups: int
    effective_groups: float
    classes: int
    untested: tuple[str, ...]

    @property
    def size_warning(self) -> str:
        """A warning if there are few groups, or empty."""
        return small_sample_warning(self.groups, self.effective_groups)

    def lines(self) -> list[str]:
        """Return a table of the runs, then what they were compared on."""
        table = format_table([COMPARISON_COLUMNS, *map(_comparison_row, self.runs)])
        return table + super().lines()

    def summary(self) -> dict[str, Any]:
        """Return what the runs were compared on."""
        images = f"{count(self.count, 'image')} of {self.split}"
        basis = [images, count(self.groups, "group")]
        if self.untested:
            classes_with_images = self.classes - len(self.untested)
            basis.append(describe_coverage(classes_with_images, self.classes))

        return {
            "compared on": ", ".join(basis),
            "not tested": ", ".join(shorten_list(self.untested)),
            "majority-class baseline": f"{self.commonest_class:.1%}",
            "left out": self.left_out or "",
        }


def _comparison_row(row: ComparedRun) -> tuple[str, ...]:
    interval = "-"
    if row.interval is not None:
        interval = f"{100 * row.interval.low:.1f}-{row.interval.high:.1%}"
    difference = "-"
    p = "-"
    if row.against is not None:
        mark = "*" if row.against.clear else ""
        difference = f"{row.against.difference:+.1%}{mark}"
        p = f"{row.against.p:.3g}"

    return (
        row.run,
        f"{row.accuracy:.1%}",
        interval,
        difference,
        p,
        f"{row.log_loss:.3f}",
        f"{row.ece:.3f}",
        f"{row.macro_f1:.3f}",
        f"{row.seconds:.0f}",
        "-" if row.parameters is None else f"{row.parameters:,}",
    )


class _RunOutputs(NamedTuple):
    """Calibrated outputs of a run, and the predictions users get (N), which may be `UNKNOWN`.

    Labels are present names, because numbers and names of classes may differ by run.
    """

    run: str
    folder: Path
    classes: tuple[str, ...]
    outputs: Outputs
    predictions: IntArray

    @property
    def correct(self) -> BoolArray:
        """Mask of the images that users get the right class for (N)."""
        return np.asarray(self.predictions == self.outputs.y)

    def labels(self) -> dict[str, str]:
        """Return the label of each sample at the time of the evaluation, by key."""
        keys = self.outputs.keys
        names = [self.classes[number] for number in self.outputs.y]
        return dict(zip(keys, names, strict=True))

    def select(self, keys: Sequence[str]) -> Self:
        """Return the outputs of these samples, in this order."""
        rows = {key: row for row, key in enumerate(self.outputs.keys)}
        index = np.array([rows[key] for key in keys], dtype=np.int64)
        return self._replace(
            outputs=self.outputs.at(index), predictions=self.predictions[index]
        )


def compare(dataset: Dataset, runs: Sequence[str], split: str) -> Comparison:
    """Compare runs by their stored outputs.

    Raises `InputUnusable` for a run that is unknown or was not evaluated on the split, and if the
    runs have no images in common.
    """
    all_outputs = [_load_run(dataset, run, split) for run in dict.fromkeys(runs)]
    labels_by_run = [run.labels() for run in all_outputs]
    # Pairs of key and label: a sample that was relabelled between two evaluations cannot be
    # compared.
    labels = dict(
        sorted(set.intersection(*(set(labels.items()) for labels in labels_by_run)))
    )
    keys = list(labels)
    if not keys:
        raise InputUnusable(
            f"the runs have no images of {split} with the same labels in common",
            f"evaluate them on the current split: baseline evaluate RUN --split {split}",
        )

    group_by_key = assign_split_groups(dataset.db, keys)
    groups = [group_by_key[key] for key in keys]
    common_outputs = [run.select(keys) for run in all_outputs]
    label_counts = Counter(labels.values())
    classes = set.union(*(set(run.classes) for run in all_outputs))

    return Comparison(
        split=split,
        count=len(keys),
        left_out=len(set.union(*map(set, labels_by_run))) - len(keys),
        commonest_class=max(label_counts.values()) / len(keys),
        runs=tuple(
            _compare_run(run, groups, common_outputs[0]) for run in common_outputs
        ),
        groups=len(set(groups)),
        effective_groups=effective_groups(groups),
        classes=len(classes),
        untested=tuple(sorted(classes - label_counts.keys())),
    )


def _load_run(dataset: Dataset, name: str, split: str) -> _RunOutputs:
    run = dataset.runs.get(name)
    if not run or run.status != "done" or run.room != TRAINING_KIND:
        raise InputUnusable(
            f"no finished run {name}", "list the runs: gleanset list runs"
        )

    folder = dataset.runs_folder / name
    outputs = load_outputs(folder).get(split)
    if outputs is None or not len(outputs):
        raise InputUnusable(
            f"run {name} was not evaluated on {split}",
            f"evaluate it: baseline evaluate {name} --split {split} {dataset.option}",
        )

    classes = tuple(read_metrics(folder).classes)
    rule = load_decision_rule(folder)
    scores = calibrate_with_rule(outputs.logits, classes, rule)
    return _RunOutputs(
        run=name,
        folder=folder,
        # The present names: a class that was renamed between two runs is one class.
        classes=tuple(read_metrics(folder, dataset).classes),
        outputs=replace(outputs, logits=scores),
        predictions=decide_outputs(outputs, classes, rule).classes,
    )


def _compare_run(
    run: _RunOutputs, groups: Sequence[str], first: _RunOutputs
) -> ComparedRun:
    scores = run.outputs.logits
    y = run.outputs.y
    correct = run.correct
    figures = compute_classification_metrics(
        scores,
        y,
        run.outputs.keys,
        run.classes,
    )
    metrics = read_metrics(run.folder)
    against = None
    if run is not first:
        against = compare_paired(correct, first.correct, groups)

    return ComparedRun(
        run=run.run,
        preset=str(metrics.settings.get("preset", "?")),
        accuracy=float(correct.mean()),
        interval=share_interval_or_none(correct, groups),
        accuracy_before_unknown=figures.accuracy,
        log_loss=figures.log_loss,
        ece=calibration_error(softmax(scores), y).ece,
        macro_f1=mean_f1(compute_class_scores(y, run.predictions, run.classes)),
        seconds=metrics.seconds,
        parameters=metrics.parameters,
        against=against,
    )
