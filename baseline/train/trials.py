"""Cross-validated runs, and label issues.

They train with `cross_validation.py`, which caches predictions, and save no model. A
cross-validated run does not use test.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np

from baseline.data.runs import (
    CROSS_VALIDATION_KIND,
    METRICS,
    TRAINING_KIND,
    Say,
    find_equal_run,
    make_run_id,
    record_run_end,
    run_folder,
)
from baseline.data.samples import (
    Examples,
    compute_prior_shift,
    find_examples,
    find_fold_examples,
    make_folds,
)
from baseline.evaluation.intervals import (
    UNKNOWN_INTERVAL,
    effective_groups,
    share_interval_or_none,
    small_sample_warning,
)
from baseline.evaluation.metrics import (
    compute_classification_metrics,
    describe_coverage,
    write_metrics,
)
from baseline.evaluation.outputs import (
    Outputs,
    concatenate_outputs,
    fit_calibration,
    save_outputs,
    softmax,
)
from baseline.evaluation.report.page import (
    REPORT,
    CrossValidationMetrics,
    write_folds_report,
)
from baseline.evaluation.summary import LabelIssuesResult, SuspectLabel
from baseline.settings import Settings
from baseline.train.cross_validation import (
    HELD_OUT,
    FoldResult,
    compute_training_key,
    cross_validate,
    folds_with_val,
    is_cached,
)
from baseline.train.trained_net import load_model
from gleanset import Dataset
from gleanset.arrays import Float64Array
from gleanset.command_result import CommandResult
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.html.words import confidence_interval, count
from gleanset.named_files import find_location, shorten_list
from gleanset.work.progress import Progress


def find_label_issues(
    dataset: Dataset,
    run: str,
    folder: Path,
    folds: int,
    progress: Progress,
) -> LabelIssuesResult:
    """Cross-validate the settings of a run on all labelled samples and store label issues.

    This includes test and is counted as a test evaluation. Raises `InputUnusable` if there are too
    few groups, and what training raises.
    """
    _, settings, _ = load_model(folder)
    examples = find_examples(dataset)
    samples = examples.all_samples()
    # All splits as train; unreviewed labels are checked too.
    splits = {"train": tuple(samples), "val": (), "test": ()}
    everything = examples._replace(splits=splits, unseen=frozenset())
    all_folds = make_folds(everything, folds, settings.seed)
    with_val = folds_with_val(all_folds, settings.seed)
    results = cross_validate(dataset, settings, with_val, progress)

    # By key, whatever the folds were.
    outputs = concatenate_outputs([result.outputs for result in results])
    outputs = outputs.at(np.argsort(np.array(outputs.keys, np.str_)))
    issues = list_label_issues(
        outputs,
        examples,
        settings,
        run,
        examples.unseen,
    )

    test_keys = [sample.key for sample in examples.splits["test"]]
    if test_keys:
        SplitEvaluations(dataset.db).add(run, "test", test_keys, "label-issues")

    LabelIssues(dataset.db).replace(issues)
    reviewed_rows = [
        row for row, key in enumerate(outputs.keys) if key not in examples.unseen
    ]
    accuracy = float(outputs.right[reviewed_rows].mean()) if reviewed_rows else 0.0
    return LabelIssuesResult(
        run=run,
        folds=folds,
        labelled=len(samples),
        evaluated=len(outputs),
        agree=accuracy,
        tested=len(np.unique(outputs.y)),
        classes=len(examples.classes),
        label_issues=len(issues),
        confident=sum(issue.confident for issue in issues),
        samples=[_locate_issue(dataset, issue) for issue in issues],
    )


def _locate_issue(dataset: Dataset, issue: LabelIssue) -> SuspectLabel:
    location = find_location(dataset, issue.sample)
    return SuspectLabel(**issue._asdict(), **location._asdict())


def list_label_issues(
    outputs: Outputs,
    examples: Examples,
    settings: Settings,
    run: str,
    unseen: Collection[str] = (),
) -> list[LabelIssue]:
    """Return label issues by out-of-fold predictions, after calibration.

    Labels of `unseen` keys are not used for the calibration, if there are others.
    """
    reviewed_rows = [row for row, key in enumerate(outputs.keys) if key not in unseen]
    fitted = outputs.at(np.array(reviewed_rows or list(range(len(outputs))), np.int64))
    groups = [examples.groups[key] for key in fitted.keys]
    shift = compute_prior_shift(examples, settings)
    calibration = fit_calibration(fitted.logits, fitted.y, groups, shift)
    probabilities = softmax(calibration.apply(outputs.logits))
    return find_suspect_labels(probabilities, outputs, examples.classes, run)


def find_suspect_labels(
    probabilities: Float64Array, outputs: Outputs, classes: Sequence[str], run: str
) -> list[LabelIssue]:
    """Return labels unlike their predictions (probabilities N x C), largest margin first.

    A suggestion is confident if it reaches the mean probability of its class among the images
    labelled so (Northcutt, Jiang and Chuang, "Confident learning", 2021). On easy sets that mean is
    so high that half of the suggestions for wrong labels stay below it. So labels below it are
    listed, too, as less confident.
    """
    y = outputs.y
    rows = np.arange(len(outputs))

    # The mean probability of each class. A class without images has no threshold to reach.
    label_probabilities = probabilities[rows, y]
    sums = np.bincount(y, label_probabilities, minlength=len(classes))
    counts = np.bincount(y, minlength=len(classes))
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)

    # The likeliest class other than the label.
    other_probabilities = probabilities.copy()
    other_probabilities[rows, y] = -1.0
    suggestions = other_probabilities.argmax(1)
    confidences = probabilities[rows, suggestions]
    margins = confidences - label_probabilities
    # Calibration can change the likeliest class: the accuracy is of scores before it.
    is_contradicted = (margins > 0) | ~outputs.right
    # A class less probable than the label is not a suggestion, even above its threshold.
    is_confident = (margins > 0) & (confidences >= thresholds[suggestions])

    suspects = np.flatnonzero(is_contradicted)
    by_margin = suspects[np.argsort(-margins[suspects], kind="stable")]
    return [
        LabelIssue(
            outputs.keys[row],
            classes[y[row]],
            classes[suggestions[row]],
            float(confidences[row]),
            float(margins[row]),
            run,
            bool(is_confident[row]),
        )
        for row in by_margin.tolist()
    ]


FOLD_VARIANCE_INFLATION = 1.5
"""Variance of the out-of-fold accuracy relative to that of one network on these images: folds share
training images (benchmarks/cross_validation.py)."""


MAX_LISTED_FOLDS = 10
"""The accuracies of more folds are printed as a range."""


class FoldScore(msgspec.Struct, kw_only=True):
    """The out-of-fold accuracy of one fold; None without images."""

    count: int
    groups: int
    accuracy: float | None
    seconds: float


class CrossValidationResult(CommandResult, kw_only=True):
    """A cross-validation, as the catalogue stores it.

    `accuracy` is out of fold with its 95 % interval, `spread` its standard deviation between folds;
    `not_evaluated` images could not be held out, `test` images were not used. `untested` classes
    have no images in any fold; older runs recorded no classes.
    """

    run: str
    folds: list[FoldScore]
    evaluated: int
    groups: int
    effective_groups: float
    not_evaluated: int
    test: int
    accuracy: float
    lower_bound: float
    upper_bound: float
    spread: float
    log_loss: float
    macro_f1: float
    label_issues: int
    classes: int = 0
    untested: list[str] = []
    report: str

    def summary(self) -> dict[str, str]:
        """Return the accuracy first, then each fold and what was left out."""
        parts = [f"{self.accuracy:.1%} ({count(self.evaluated, 'image')})"]
        if self.untested:
            classes_with_images = self.classes - len(self.untested)
            parts.append(describe_coverage(classes_with_images, self.classes))

        parts += [
            confidence_interval(self.lower_bound, self.upper_bound),
            count(self.groups, "group"),
        ]

        accuracies = [fold.accuracy for fold in self.folds if fold.accuracy is not None]
        scores = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
        if len(accuracies) > MAX_LISTED_FOLDS:
            scores = f"{min(accuracies):.1%} to {max(accuracies):.1%}"

        left_out = []
        if self.not_evaluated:
            left_out.append(f"{self.not_evaluated:,} not held out")
        if self.test:
            left_out.append(f"{self.test:,} in test (not used)")

        lines = {
            "out-of-fold accuracy": ", ".join(parts),
            "not tested": ", ".join(shorten_list(self.untested)),
            "folds": f"{scores} (standard deviation {self.spread:.1%})",
            "left out": "; ".join(left_out),
            "label issues": f"{self.label_issues:,}" if self.label_issues else "",
            "run": self.run,
            "report": self.report,
            "note": "no model is kept: the same command without --folds trains one",
        }
        return {name: text for name, text in lines.items() if text}


class FoldPlan(NamedTuple):
    """Folds of the labelled samples of train and val; `examples` has all of them as train."""

    dataset: Dataset
    examples: Examples
    folds: tuple[Examples, ...]

    @classmethod
    def create(cls, dataset: Dataset, settings: Settings, folds: int) -> Self:
        """Assign samples to folds. Raises `InputUnusable` if there are fewer groups than folds."""
        # The same folds for all settings and seeds, so that they can be compared.
        examples = find_fold_examples(dataset)
        all_folds = make_folds(examples, folds, seed=0)
        return cls(
            dataset,
            examples,
            tuple(folds_with_val(all_folds, settings.seed)),
        )

    @property
    def images(self) -> int:
        """The number of samples."""
        return len(self.examples.splits["train"])

    def missing(self, settings: Settings) -> list[Examples]:
        """Return the folds without cached predictions."""
        return [
            fold for fold in self.folds if not is_cached(self.dataset, settings, fold)
        ]


class FoldPreview(CommandResult, kw_only=True):
    """What a cross-validation would train."""

    settings: dict[str, Any]
    folds: int
    images: int
    evaluated: int
    groups: int
    trainings: int


def plan_folds(dataset: Dataset, settings: Settings, folds: int) -> FoldPreview:
    """Return what would be trained. Raises as `run_cross_validation`."""
    plan = FoldPlan.create(dataset, settings, folds)
    held_out = [sample.key for fold in plan.folds for sample in fold.splits["test"]]
    return FoldPreview(
        settings=settings.to_json(),
        folds=folds,
        images=plan.images,
        evaluated=len(held_out),
        groups=len({plan.examples.groups[key] for key in held_out}),
        trainings=len(plan.missing(settings)),
    )


def run_cross_validation(
    dataset: Dataset,
    settings: Settings,
    folds: int,
    *,
    progress: Progress,
    say: Say,
) -> CrossValidationResult:
    """Train for each fold, evaluate all predictions, store label issues and write the report.

    Cached predictions are used. Raises `InputUnusable` if there are fewer groups than folds or no
    training samples, and what training raises.
    """
    with dataset.stage(TRAINING_KIND):
        plan = FoldPlan.create(dataset, settings, folds)
        keys = [compute_training_key(settings, fold) for fold in plan.folds]
        data = hashlib.sha256(repr(keys).encode()).hexdigest()[:16]
        facts = {**settings.to_json(), "folds": folds, "data": data}
        result: Mapping[str, Any]
        finished_run = find_equal_run(dataset, CROSS_VALIDATION_KIND, facts, say)
        if finished_run is not None:
            run = finished_run.id
            result = finished_run.result
        else:
            new_id = make_run_id(dataset, f"{settings.preset}-folds")
            run = dataset.runs.start(new_id, CROSS_VALIDATION_KIND, facts).id
            with record_run_end(dataset, run):
                results = _train_folds(plan, settings, progress, say)
                result = _evaluate_folds(plan, settings, results, run)
            dataset.runs.finish(run, "done", result)
            warning = small_sample_warning(result["groups"], result["effective_groups"])
            if warning:
                say(f"there are {warning}")

        report = run_folder(dataset, run) / REPORT
        if report.with_name(METRICS).is_file() and not report.is_file():
            write_folds_report(dataset, run)

    fields = {**result, "run": run, "report": str(report.absolute())}
    return msgspec.convert(fields, CrossValidationResult, strict=False)


def _train_folds(
    plan: FoldPlan, settings: Settings, progress: Progress, say: Say
) -> list[FoldResult]:
    missing = plan.missing(settings)
    if missing:
        images = count(plan.images, "image")
        say(
            f"{count(len(missing), 'training')} on {images}; if interrupted, run it again"
        )

    results: list[FoldResult] = []
    for result in cross_validate(plan.dataset, settings, plan.folds, progress):
        results.append(result)
        accuracy = "-" if result.accuracy is None else f"{result.accuracy:.1%}"
        images = count(len(result.outputs), "image")
        say(f"fold {len(results)}/{len(plan.folds)}: accuracy {accuracy}, {images}")

    return results


def _evaluate_folds(
    plan: FoldPlan,
    settings: Settings,
    results: Sequence[FoldResult],
    run: str,
) -> dict[str, Any]:
    """Evaluate all folds together; save metrics and label issues, and return the result."""
    outputs = concatenate_outputs([result.outputs for result in results])
    examples = plan.examples
    groups = [examples.groups[key] for key in outputs.keys]
    interval = (
        share_interval_or_none(outputs.right, groups, FOLD_VARIANCE_INFLATION)
        or UNKNOWN_INTERVAL
    )
    metrics = compute_classification_metrics(
        outputs.logits, outputs.y, outputs.keys, examples.classes
    )

    # Without `unseen`: the folds held out reviewed labels only.
    issues = list_label_issues(outputs, examples, settings, run)
    LabelIssues(plan.dataset.db).replace(issues)

    accuracies = [result.accuracy for result in results if result.accuracy is not None]
    counts = plan.dataset.samples.count_by("split", "status", "kept")
    held_out = replace(
        metrics,
        groups=len(set(groups)),
        effective_groups=effective_groups(groups),
        intervals={"accuracy": interval},
    )
    summary: dict[str, Any] = {
        "folds": [
            {
                "count": len(result.outputs),
                "groups": len({examples.groups[key] for key in result.outputs.keys}),
                "accuracy": result.accuracy,
                "seconds": result.seconds,
            }
            for result in results
        ],
        "evaluated": len(outputs),
        "groups": held_out.groups,
        "effective_groups": held_out.effective_groups,
        "not_evaluated": plan.images - len(outputs),
        "test": counts.get(("test", "labelled", "kept"), 0),
        "accuracy": metrics.accuracy,
        "lower_bound": interval.low,
        "upper_bound": interval.high,
        "spread": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        "log_loss": metrics.log_loss,
        "macro_f1": metrics.macro_f1,
        "label_issues": len(issues),
        "classes": len(examples.classes),
        "untested": metrics.empty_classes,
    }

    folder = run_folder(plan.dataset, run)
    save_outputs(folder, {HELD_OUT: outputs})
    content = CrossValidationMetrics(
        list(examples.classes), settings.to_json(), summary, held_out
    )
    write_metrics(folder, content)
    return summary
