"""What is compared: the figures of each run, and how each stands to the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from baseline.judge.calibration import calibration_error
from baseline.judge.decision_rule import load_decision_rule, rule_scores
from baseline.judge.intervals import (
    PairedComparison,
    compare_paired,
    effective_moments,
    intervals,
)
from baseline.judge.metrics import classification_metrics
from baseline.judge.outputs import Outputs, load_outputs, softmax
from baseline.judge.report.run_files import read_layers, read_metrics, weights_size
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.binomial import Interval
from gleanset.errors import InputUnusable


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run. All figures are of its calibrated scores, as it answers.

    `seconds` is the whole training, `parameters` None where the run did not record its layers,
    `size` bytes of weights; `against` compares it with the first run.
    """

    run: str
    preset: str
    accuracy: float
    interval: Interval | None
    log_loss: float
    ece: float
    macro_f1: float
    seconds: float
    parameters: int | None
    size: int | None
    against: PairedComparison | None = None

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        told = {
            "interval": self.interval and list(self.interval),
            "against": self.against and self.against.to_json(),
        }
        return asdict(self) | told


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs on the `count` pictures of `split` that they share; `left_out` are not shared.

    These pictures are of so many `moments`; `effective_moments` of equal size would tell as much.
    """

    split: str
    count: int
    left_out: int
    commonest_class: float
    rows: tuple[ComparedRun, ...]
    moments: int
    effective_moments: float


@dataclass(frozen=True, slots=True)
class _Told:
    """What one run answers, its scores calibrated.

    Labels are told by class names, for runs may number them otherwise.
    """

    run: str
    folder: Path
    classes: tuple[str, ...]
    outputs: Outputs

    def labels(self) -> dict[str, str]:
        """Return the true class of each sample when the run was judged."""
        pairs = zip(self.outputs.keys, self.outputs.y, strict=True)
        return {key: self.classes[number] for key, number in pairs}


def compare(dataset: Dataset, runs: Sequence[str], split: str) -> Comparison:
    """Compare runs by what they said when they were judged; nothing is computed anew.

    Raises `InputUnusable` for a run that is unknown or was not judged on the split, and where
    the runs have no picture of it in common.
    """
    told = [_read(dataset, run, split) for run in dict.fromkeys(runs)]
    shared = _shared(told)
    if not shared:
        raise InputUnusable(
            f"these runs have no picture of {split} in common, or not with the same label",
            f"judge them on the present split: baseline evaluate RUN --split {split}",
        )
    known = moments_of(dataset.db, shared)
    moments = [known[key] for key in shared]
    first = _right(told[0], shared)
    rows = tuple(
        _row(
            one,
            shared,
            moments,
            compare_paired(_right(one, shared), first, moments) if number else None,
        )
        for number, one in enumerate(told)
    )
    labels = told[0].labels()
    counts = np.unique([labels[key] for key in shared], return_counts=True)[1]
    everything = {key for one in told for key in one.outputs.keys}
    return Comparison(
        split,
        len(shared),
        len(everything) - len(shared),
        float(counts.max() / len(shared)),
        rows,
        len(set(moments)),
        effective_moments(moments),
    )


def _read(dataset: Dataset, run: str, split: str) -> _Told:
    found = dataset.runs.get(run)
    if found is None or found.status != "done" or found.room != "baseline":
        raise InputUnusable(f"there is no finished run {run}", "see: gleanset list runs")
    folder = dataset.run_at_hand(run)
    outputs = load_outputs(folder).get(split)
    if outputs is None or not len(outputs):
        raise InputUnusable(
            f"run {run} was not judged on {split}",
            f"judge it: baseline evaluate {run} --split {split} {dataset.option}",
        )
    classes = tuple(read_metrics(folder).classes)
    given = rule_scores(outputs.logits, classes, load_decision_rule(folder))
    return _Told(run, folder, classes, replace(outputs, logits=given))


def _shared(told: Sequence[_Told]) -> list[str]:
    """Keys that all runs were judged on with the same label, sorted."""
    labels: list[Mapping[str, str]] = [one.labels() for one in told]
    keys = set.intersection(*(set(one) for one in labels)) if labels else set()
    return sorted(key for key in keys if len({one[key] for one in labels}) == 1)


def _at(one: _Told, shared: Sequence[str]) -> Outputs:
    place = {key: number for number, key in enumerate(one.outputs.keys)}
    return one.outputs.at(np.array([place[key] for key in shared], dtype=np.int64))


def _right(one: _Told, shared: Sequence[str]) -> np.ndarray:
    told = _at(one, shared)
    right: np.ndarray = told.logits.argmax(1) == told.y
    return right


def _row(
    one: _Told, shared: Sequence[str], moments: Sequence[str], against: PairedComparison | None
) -> ComparedRun:
    told = _at(one, shared)
    figures = classification_metrics(told.logits, told.y, told.keys, one.classes, 0)
    metrics, layers = read_metrics(one.folder), read_layers(one.folder)
    ranges = intervals(told.logits, told.y, moments)
    return ComparedRun(
        run=one.run,
        preset=str(metrics.settings.get("preset", "?")),
        accuracy=figures.accuracy,
        interval=ranges.get("accuracy"),
        log_loss=figures.log_loss,
        ece=calibration_error(softmax(told.logits), told.y).ece,
        macro_f1=figures.macro_f1,
        seconds=metrics.seconds,
        parameters=sum(layer.parameters for layer in layers) if layers else None,
        size=weights_size(one.folder),
        against=against,
    )
