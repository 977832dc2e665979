"""Trainings that only measure: cross-validation, labels in doubt, sweeps over a grid of settings.

Each of K networks learns all but one fold and predicts that fold (`cross_validation.py`); groups
are never torn. With `--folds` the predictions together give the figures and the report, and no
network is kept: test stays unseen until a preset is chosen and trained. A sweep trains on train and
judges on val. What was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from baseline.data.runs import (
    CROSS_VALIDATION_KIND,
    METRICS,
    TRAINING_KIND,
    make_run_id,
    record_run_end,
    run_folder,
)
from baseline.data.samples import (
    Examples,
    compute_prior_shift,
    ensure_val,
    find_examples,
    find_fold_examples,
    make_folds,
)
from baseline.evaluation.calibration import fit_calibration
from baseline.evaluation.intervals import (
    compare_paired,
    effective_moments,
    share_interval,
    share_interval_or_none,
)
from baseline.evaluation.metrics import (
    compute_classification_metrics,
    empty_split_error,
    mean_log_loss,
)
from baseline.evaluation.outputs import (
    Floats,
    Indices,
    Outputs,
    concatenate_outputs,
    save_outputs,
    softmax,
)
from baseline.evaluation.report.page import (
    REPORT,
    CrossValidationMetrics,
    CrossValidationSummary,
    FoldScore,
    write_folds_report,
)
from baseline.settings import Settings, load_preset
from baseline.train.cross_validation import (
    HELD_OUT,
    Fold,
    FoldResult,
    cross_validate,
    folds_with_val,
    is_cached,
    training_key,
)
from baseline.train.trained_net import load_model
from gleanset import Dataset
from gleanset.binomial import UNKNOWN, few
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count, percent
from gleanset.records import Sample
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class LabelIssueSearch:
    """A search for wrong labels: `judged` of `labelled` samples have an out-of-fold answer.

    `accuracy` is the share of these answers that agree with the label.
    """

    run: str
    folds: int
    labelled: int
    judged: int
    accuracy: float
    doubts: tuple[LabelIssue, ...]


def find_label_issues(
    dataset: Dataset, run: str, folder: Path, folds: int, progress: Progress | None = None
) -> LabelIssueSearch:
    """Train once for each fold with the settings of a run, and keep the labels in doubt.

    The labels of test are looked at, too, which counts as a look at test. Raises
    `InputUnusable` where there are too few moments, and what training raises.
    """
    settings, examples = load_model(folder)[1], find_examples(dataset)
    # All splits as train, each sample once, without balance; labels not looked at are judged, too.
    samples = {sample.key: sample for part in examples.splits.values() for sample in part}
    splits: dict[str, tuple[Sample, ...]] = {
        "train": tuple(samples[key] for key in sorted(samples)),
        "val": (),
        "test": (),
    }
    everything = replace(examples, splits=splits, unseen=frozenset(), weights=())
    parts = make_folds(everything, folds, settings.seed)
    results = cross_validate(
        dataset, settings, folds_with_val(parts, settings.seed), progress or Progress()
    )
    outputs = concatenate_outputs([result.outputs for result in results])
    order = sorted(range(len(outputs)), key=outputs.keys.__getitem__)
    outputs = outputs.at(np.array(order, np.int64))
    groups = [examples.moments[key] for key in outputs.keys]
    shift, unseen = compute_prior_shift(examples, settings), examples.unseen
    doubts = list_label_issues(outputs, groups, examples.classes, run, shift, unseen)
    if test := examples.splits["test"]:
        SplitEvaluations(dataset.db).add(run, "test", [sample.key for sample in test], "doubts")
    LabelIssues(dataset.db).replace(doubts)
    judges = [row for row, key in enumerate(outputs.keys) if key not in unseen]
    agree = float(outputs.right[judges].mean()) if judges else 0.0
    return LabelIssueSearch(run, folds, len(samples), len(outputs), agree, tuple(doubts))


def list_label_issues(
    outputs: Outputs,
    moments: Sequence[str],
    classes: tuple[str, ...],
    run: str,
    shift: Floats,
    unseen: Collection[str] = (),
) -> list[LabelIssue]:
    """Return labels that are likely wrong by out-of-fold answers, which are calibrated first.

    They are not calibrated on labels that are `unseen` (keys), where there are others.
    """
    seen = [row for row, key in enumerate(outputs.keys) if key not in unseen]
    rows = seen or list(range(len(outputs)))
    known = outputs.at(np.array(rows, np.int64))
    fitted = fit_calibration(known.logits, known.y, [moments[row] for row in rows], shift)
    probabilities = softmax(fitted.apply(outputs.logits))
    return [
        LabelIssue(outputs.keys[row], classes[outputs.y[row]], classes[other], sure, margin, run)
        for row, other, sure, margin in find_suspect_labels(probabilities, outputs.y)
    ]


class SuspectLabel(NamedTuple):
    """Row `row` has a label that is likely wrong, `suggested` is the likelier class.

    `confidence` is the probability of `suggested`, `margin` what it has above the label's.
    """

    row: int
    suggested: int
    confidence: float
    margin: float


def find_suspect_labels(probabilities: Floats, y: Indices) -> list[SuspectLabel]:
    """Return the off-diagonal of the confident joint, the widest margin first."""
    classes = probabilities.shape[1]
    sums = np.bincount(y, probabilities[np.arange(len(y)), y], minlength=classes)
    counts = np.bincount(y, minlength=classes)
    # A class without pictures has no mean to reach.
    own = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    sure = np.where(probabilities >= own, probabilities, -1.0)
    suggested = sure.argmax(1)
    rows = np.flatnonzero((sure.max(1) > 0) & (suggested != y))
    suspects = []
    for row in map(int, rows):
        confidence = float(probabilities[row, suggested[row]])
        margin = confidence - float(probabilities[row, y[row]])
        suspects.append(SuspectLabel(row, int(suggested[row]), confidence, margin))
    # Below its label a class is no suggestion, however much above its mean.
    return sorted(
        (one for one in suspects if one.margin > 0), key=lambda one: (-one.margin, one.row)
    )


FOLD_VARIANCE_INFLATION = 1.5
"""By so much the variance of the share right is taken to be larger than that of one network on
these pictures: folds share what they learnt from (benchmarks/cross_validation.py)."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What a cross-validation came to: the run, and what the catalogue keeps of it."""

    run: str
    folder: Path
    result: Mapping[str, Any]

    @property
    def report(self) -> Path:
        """Where its report is."""
        return (self.folder / REPORT).absolute()

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {"run": self.run, **self.result, "report": str(self.report)}

    def words(self) -> dict[str, Any]:
        """Return it as lines for a person."""
        result = self.result
        accuracies = [one["accuracy"] for one in result["folds"] if one["accuracy"] is not None]
        shares = " ".join(f"{100 * one:.1f}" for one in accuracies)
        left = [
            *([f"{result['not_judged']:,} could not be held out"] if result["not_judged"] else []),
            *([f"{result['test']:,} of test were not looked at"] if result["test"] else []),
        ]
        return {
            "run": self.run,
            "right": f"{100 * result['accuracy']:.1f} % of {count(result['judged'], 'picture')}, "
            "none of them learnt by who answered",
            "interval": f"{100 * result['at_least']:.1f} to {100 * result['at_most']:.1f} % "
            f"(95 %), by {count(result['moments'], 'moment')}",
            "folds": f"{shares} %, standard deviation {100 * result['spread']:.1f} points",
            **({"left out": "; ".join(left)} if left else {}),
            "doubts": f"{count(result['doubts'], 'label')} in doubt, kept for review",
            "report": str(self.report),
            "next": "the same command without --folds trains the network to use",
        }


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """Folds of the labelled samples of train and val, or of the split where that is in folds.

    `examples` has all samples as train; `by_split` says whether the folds are those of the split.
    """

    dataset: Dataset
    examples: Examples
    folds: tuple[Fold, ...]
    by_split: bool

    @classmethod
    def of(cls, dataset: Dataset, settings: Settings, folds: int) -> FoldPlan:
        """Deal the folds. Raises `InputUnusable` where there are fewer groups than folds,
        `UsageError` where the split has another number of folds.
        """
        examples = find_fold_examples(dataset)
        dealt = {sample.key: sample.fold for sample in examples.splits["train"] if sample.fold}
        if dealt and (split_folds := max(dealt.values())) != folds:
            raise UsageError(
                f"the split is one into {split_folds} folds, not {folds}",
                f"take those: --folds {split_folds}; or split again: labeler split",
            )
        parts = make_folds(examples, folds, 0, dealt or None)
        dealt_folds = tuple(folds_with_val(parts, settings.seed))
        return cls(dataset, examples, dealt_folds, bool(dealt))

    @property
    def keys(self) -> set[str]:
        """The samples, each once."""
        return {sample.key for sample in self.examples.splits["train"]}

    def missing(self, settings: Settings) -> list[Fold]:
        """Return the folds whose predictions are not known yet."""
        return [fold for fold in self.folds if not is_cached(self.dataset, settings, fold)]

    def digest(self, settings: Settings) -> str:
        """Return a hash of the trainings."""
        keys = [training_key(settings, fold) for fold in self.folds]
        return hashlib.sha256(repr(keys).encode()).hexdigest()[:16]


def plan_folds(dataset: Dataset, settings: Settings, folds: int) -> dict[str, Any]:
    """Return what would be trained. Raises as `run_cross_validation`."""
    dealt = FoldPlan.of(dataset, settings, folds)
    judged = [sample.key for fold in dealt.folds for sample in fold.examples.splits["test"]]
    return {
        "settings": settings.to_json(),
        "folds": folds,
        "pictures": len(dealt.keys),
        "judged": len(judged),
        "moments": len({dealt.examples.moments[key] for key in judged}),
        "trainings": len(dealt.missing(settings)),
    }


def run_cross_validation(
    dataset: Dataset,
    settings: Settings,
    folds: int,
    *,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> CrossValidation:
    """Train for each fold, judge all predictions together, keep the doubts, and write the report.

    Trainings that are known are not made again. Raises `InputUnusable` where there
    are fewer groups than folds or nothing to learn from, `UsageError` where the split has
    another number of folds, and what training raises.
    """
    with dataset.stage(TRAINING_KIND) as scratch:
        dealt = FoldPlan.of(dataset, settings, folds)
        facts = {**settings.to_json(), "folds": folds, "data": dealt.digest(settings)}
        if (done := dataset.runs.find_finished(CROSS_VALIDATION_KIND, facts)) is not None:
            say(f"known already, nothing was trained: {done.id} (-o seed=1 trains others)")
            return CrossValidation(done.id, run_folder(dataset, done.id), done.result)
        fresh = make_run_id(dataset, f"{settings.preset}-folds")
        run = dataset.runs.start(fresh, CROSS_VALIDATION_KIND, facts)
        with record_run_end(dataset, run.id):
            results = _train(dealt, settings, progress or Progress(), say)
            result = _judge(dealt, settings, results, run.id, scratch)
        dataset.runs.finish(run.id, "done", result)
        write_folds_report(dataset, run.id, scratch=scratch)
    if words := few(result["moments"], result["effective_moments"]):
        say(f"there are {words}")
    return CrossValidation(run.id, run_folder(dataset, run.id), result)


def _train(dealt: FoldPlan, settings: Settings, progress: Progress, say: Say) -> list[FoldResult]:
    missing = dealt.missing(settings)
    if missing:
        say(
            f"{count(len(missing), 'training')} on {count(len(dealt.keys), 'picture')}; "
            "stopped, the same command goes on"
        )
    results: list[FoldResult] = []
    for result in cross_validate(dealt.dataset, settings, dealt.folds, progress):
        results.append(result)
        images = count(len(result.outputs), "picture")
        accuracy = result.accuracy
        share = "nothing held out" if accuracy is None else f"{percent(accuracy)} right"
        say(f"fold {len(results)} of {len(dealt.folds)}: {share}, {images}")
    return results


def _judge(
    dealt: FoldPlan,
    settings: Settings,
    results: Sequence[FoldResult],
    run: str,
    scratch: Path,
) -> dict[str, Any]:
    outputs, examples = concatenate_outputs([result.outputs for result in results]), dealt.examples
    groups = [examples.moments[key] for key in outputs.keys]
    interval = (
        share_interval(outputs.right, groups, FOLD_VARIANCE_INFLATION)
        if len(set(groups)) > 1
        else UNKNOWN
    )
    judged = compute_classification_metrics(
        outputs.logits, outputs.y, outputs.keys, examples.classes
    )
    shift = compute_prior_shift(examples, settings)
    doubts = list_label_issues(outputs, groups, examples.classes, run, shift)
    # Where the split is one into folds, one of them is test now.
    now = {one.key for one in examples.splits["train"] if one.split == "test"}
    if seen := now & set(outputs.keys):
        SplitEvaluations(dealt.dataset.db).add(run, "test", seen, "folds")
    LabelIssues(dealt.dataset.db).replace(doubts)
    folds = [
        FoldScore(
            len(result.outputs),
            len({examples.moments[key] for key in result.outputs.keys}),
            result.accuracy,
            result.seconds,
        )
        for result in results
    ]
    shares = [fold.accuracy for fold in folds if fold.accuracy is not None]
    in_test = dealt.dataset.samples.count_by("split", "status", "kept")
    summary = CrossValidationSummary(
        folds=folds,
        judged=len(outputs),
        moments=len(set(groups)),
        effective_moments=effective_moments(groups),
        not_judged=len(dealt.keys) - len(outputs),
        test=0 if dealt.by_split else in_test.get(("test", "labelled", "kept"), 0),
        accuracy=judged.accuracy,
        at_least=interval.low,
        at_most=interval.high,
        spread=float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0,
        log_loss=judged.log_loss,
        macro_f1=judged.macro_f1,
        doubts=len(doubts),
    )
    folder = run_folder(dealt.dataset, run)
    save_outputs(folder, {HELD_OUT: outputs}, scratch=scratch)
    figures = replace(
        judged,
        moments=summary.moments,
        effective_moments=summary.effective_moments,
        intervals={"accuracy": interval},
    )
    metrics = CrossValidationMetrics(list(examples.classes), settings.to_json(), summary, figures)
    text = json.dumps(msgspec.to_builtins(metrics), ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)
    kept: dict[str, Any] = msgspec.to_builtins(summary)
    return kept


MAX_CELLS = 200
Grid = Mapping[str, Sequence[str]]

GRIDS: dict[str, Grid] = {
    "simple": {
        "blocks": ("32,64", "32,64,128"),
        "dropout": ("0.2", "0.5"),
        "learning_rate": ("0.0005", "0.002"),
    },
    "transfer": {"strength": ("0.01", "0.1", "1", "10", "100", "1000"), "views": ("0", "2")},
    "finetune": {"learning_rate": ("0.0002", "0.0005", "0.001"), "dropout": ("0.2", "0.5")},
    "triplet": {
        "margin": ("0.1", "0.3"),
        "embedding": ("64", "128"),
        "learning_rate": ("0.0005", "0.002"),
    },
}
"""What is tried for a method where nothing is said."""


def parse_grid(options: Sequence[str]) -> dict[str, list[str]]:
    """Read `dropout=0.2,0.5` as {'dropout': ['0.2', '0.5']}. Raises `UsageError`.

    A value that has commas itself is separated from the next by a semicolon.
    """
    grid: dict[str, list[str]] = {}
    for text in options:
        key, equals, values = (part.strip() for part in text.partition("="))
        parted = values.split(";" if ";" in values or key == "blocks" else ",")
        found = [value.strip() for value in parted if value.strip()]
        if not (key and equals and found):
            raise UsageError(
                f"-o {text}: not KEY=VALUE,VALUE", "write for instance dropout=0.2,0.5"
            )
        grid[key] = list(dict.fromkeys(found))
    return grid


def expand_grid(preset: str, asked: Grid) -> list[dict[str, str]]:
    """Return the options of every cell. Options with one value hold in all of them.

    Raises `UsageError` for an option that the preset does not know, and for a grid too large.
    """
    varied = {key for key, values in asked.items() if len(values) > 1}
    grid = dict(asked)
    if not varied:
        default = GRIDS[str(load_preset(preset, {}).to_json()["method"])]
        grid = {**{k: list(v) for k, v in default.items() if k not in asked}, **asked}
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(cells) > MAX_CELLS:
        raise UsageError(f"{len(cells)} trainings are too many", f"name at most {MAX_CELLS}")
    for options in cells:
        load_preset(preset, options)
    return cells


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a sweep, by its `options`; `failed` says why it came to no predictions."""

    options: dict[str, str]
    accuracy: float | None = None
    log_loss: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    failed: str = ""
    outputs: Outputs | None = None

    @property
    def words(self) -> str:
        """The options and what came of them, in a line."""
        name = ", ".join(f"{key}={value}" for key, value in self.options.items())
        if self.accuracy is None:
            return f"{name}: {self.failed}"
        return f"{name}: val {self.accuracy:.3f}, log loss {self.log_loss:.3f}"

    def to_json(self) -> dict[str, Any]:
        """Return all but the predictions."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "outputs"}


def rank_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Sort cells best first: by accuracy on val, then by log loss; what failed comes last."""

    def key(cell: Cell) -> tuple[float, float]:
        loss = math.inf if cell.log_loss is None else cell.log_loss
        return (-cell.accuracy if cell.accuracy is not None else math.inf, loss)

    return sorted(cells, key=key)


def compare_with_best(cells: Sequence[Cell], moments: Mapping[str, str]) -> dict[str, Any]:
    """Return the interval of the best cell, and how many others may be as good by luck.

    They are compared on the samples of val that every cell could read; `moments` has those of val
    by key.
    """
    best, *others = ((cell.outputs.keys, cell.outputs.right) for cell in cells if cell.outputs)
    shared = set(best[0]).intersection(*(keys for keys, _ in others))
    names = [moments[key] for key in best[0] if key in shared]
    rights = [
        right[[row for row, key in enumerate(keys) if key in shared]]
        for keys, right in (best, *others)
    ]
    interval = share_interval_or_none(rights[0], names)
    return {
        "val": len(names),
        "moments": len(set(names)),
        "interval": interval and list(interval),
        "level_with_best": sum(
            not compare_paired(rights[0], right, names).clear for right in rights[1:]
        ),
    }


def build_best_command(preset: str, best: Cell, root: Path) -> list[str]:
    """Return the words of the command that trains with the best cell."""
    options = [word for key, value in best.options.items() for word in ("-o", f"{key}={value}")]
    return ["baseline", "train", "--preset", preset, *options, "-d", str(root)]


def sweep(
    dataset: Dataset,
    preset: str,
    cells: Sequence[dict[str, str]],
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train every cell on train and judge it on val; the table and the best command.

    A cell whose training diverges is listed as failed. Raises `InputUnusable` where val is empty or
    every cell fails, and what the disk raises.
    """
    progress = progress or Progress()
    with dataset.stage(TRAINING_KIND):
        # The command that is recommended cuts the same val from train, where there is none.
        seeds = {load_preset(preset, cell).seed for cell in cells}
        examples, notice = ensure_val(find_examples(dataset), min(seeds))
        if notice is not None and len(seeds) > 1:
            raise UsageError(
                "the seed also decides what is cut from train for val, which is empty",
                f"give val a share: labeler split --ratio 8:1:1 {dataset.option}",
            )
        if notice is not None:
            say(notice)
        if not examples.splits["val"]:
            raise empty_split_error("val is empty: there is nothing to choose by")
        results: list[Cell] = []
        for options in progress.over(cells, "sweep", len(cells), " trainings"):
            results.append(_train_cell(dataset, preset, options, examples))
            say(results[-1].words)
    results = rank_cells(results)
    best = results[0]
    if best.accuracy is None:
        raise InputUnusable(
            f"every training of the sweep failed: {best.failed}",
            "try lower learning rates: -o learning_rate=0.0001,0.0003",
        )
    return {
        "cells": [cell.to_json() for cell in results],
        "best": best.options,
        "accuracy": best.accuracy,
        **compare_with_best(results, examples.moments),
        "command": shlex.join(build_best_command(preset, best, dataset.root)),
    }


def _train_cell(dataset: Dataset, preset: str, options: dict[str, str], examples: Examples) -> Cell:
    settings = load_preset(preset, options, dataset.pin_of)
    try:
        [result] = cross_validate(dataset, settings, [Fold(examples, "val")])
    except (UsageError, InputUnusable) as error:
        # A rate that makes the loss infinite is a finding, and no reason to stop.
        return Cell(options, failed=error.what)
    outputs = result.outputs
    log_loss = mean_log_loss(outputs.logits, outputs.y)
    return Cell(options, result.accuracy, log_loss, result.epochs, result.seconds, outputs=outputs)
