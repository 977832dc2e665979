"""Summaries that `baseline train`, `evaluate` and `compare` print.

All figures are in the result (`--json`), in the run's `metrics.json` and in its report.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseline.evaluation.evaluate import reuse_warning
from baseline.evaluation.metrics import ClassScore, SplitMetrics, describe_copy_search, read_metrics
from gleanset.errors import InputUnusable
from gleanset.html.words import count

if TYPE_CHECKING:
    from baseline.evaluation.compare import ComparedRun
    from baseline.evaluation.evaluate import Reevaluation

Summary = dict[str, Any]
MAX_CONFUSED_PAIRS = 3
SPLIT_NOTES = {
    "train": "training images: not a test",
    "val": "used to tune the model: not a true test",
}
"""What the accuracy on a split is worth; that of test depends on its copies."""


def summarize_training(result: Mapping[str, Any], folder: Path, root: Path) -> Summary:
    """Return the lines that `baseline train` prints for a run with its files in `folder`."""
    split = next((split for split in ("test", "val") if result.get(split)), None)
    lines: Summary = {}
    metrics = None
    if split is None:
        lines["accuracy"] = "unknown: no images in test or val"
    else:
        with suppress(InputUnusable):  # the files of the run are gone
            metrics = read_metrics(folder).splits.get(split)
    if split is not None and metrics is not None:
        lines |= summarize_accuracy(split, metrics, result.get("copies"))
        if confused := _confused_pairs(metrics):
            lines["most confused"] = confused
    if result.get("unknown"):
        lines["unknown"] = str(result["unknown"])
    lines["training images"] = _training_images(result)
    lines["run"] = str(result["run"])
    if result.get("report"):
        lines["report"] = str(result["report"])
    commands = ["baseline predict IMAGE", "webapp serve"]
    if split != "test":
        commands.insert(0, "labeler split --ratio 8:1:1")
    return lines | {"next": [f"{command} -d {shlex.quote(str(root))}" for command in commands]}


def _training_images(result: Mapping[str, Any]) -> str:
    words = f"{result['data']['train']:,} ({count(result['classes'], 'class', 'classes')})"
    if "epochs" in result:
        words += f", {count(result['epochs'], 'epoch')} (best: {result['best_epoch']})"
    if unseen := result.get("unseen_labels"):
        words += f"; {count(unseen, 'label')} not reviewed"
    if unreadable := result.get("unreadable"):
        words += f"; {count(unreadable, 'image')} unreadable"
    return words


def summarize_accuracy(
    split: str, metrics: SplitMetrics, copies: Mapping[str, Any] | None
) -> Summary:
    """Return the accuracy with its 95 % CI, and the majority-class baseline.

    `copies` is from `summarize_copy_search` of the split.
    """
    accuracy = f"{metrics.answer_accuracy:.1%} ({metrics.answered.right}/{metrics.count})"
    if metrics.intervals:
        low, high = metrics.answer_interval
        accuracy += f", 95% CI {100 * low:.1f}-{high:.1%}"
    if metrics.groups:
        accuracy += f", {count(metrics.groups, 'group')}"
    note = SPLIT_NOTES.get(split) or describe_copy_search(copies)
    lines = {f"{split} accuracy": f"{accuracy}; {note}"}
    if metrics.unknown_note:
        lines["predicted unknown"] = metrics.unknown_note
    return lines | {"majority-class baseline": f"{metrics.commonest_class:.1%}"}


def _confused_pairs(metrics: SplitMetrics) -> str:
    if metrics.right == metrics.count:
        return ""
    pairs = metrics.confused(MAX_CONFUSED_PAIRS)
    if not pairs:
        return f"no pair more than once ({count(metrics.count - metrics.right, 'error')})"
    return "; ".join(
        f"{pair.true} as {pair.answered} ({pair.count}/{pair.total})" for pair in pairs
    )


def list_evaluation_warnings(evaluation: Reevaluation) -> list[str]:
    """Return warnings about the figures, and a line for each threshold chosen."""
    small_sample = evaluation.figures.size_warning
    warnings = [
        reuse_warning(evaluation.earlier),
        evaluation.warning,
        small_sample and f"{evaluation.split} has {small_sample}",
    ]
    return [line for line in [*warnings, *evaluation.effects.describe()] if line]


def evaluation_to_json(evaluation: Reevaluation) -> Summary:
    """Return all figures of a repeated evaluation as JSON values."""
    figures: Summary = msgspec.to_builtins(evaluation.figures)
    # As in `baseline train --json`, figures are those of the predictions users get.
    for name in ("answers", "intervals"):
        del figures[name]
    figures |= evaluation.figures.summary() | {
        "classes": evaluation.figures.answered.classes,
        "confusion": evaluation.figures.answered.confusion,
        "mistakes": msgspec.to_builtins(evaluation.figures.answered.mistakes),
    }
    values: Summary = {
        "run": evaluation.run,
        evaluation.split: figures,
        "copies": evaluation.copies,
    }
    if evaluation.earlier is not None:
        values["looked_before"] = evaluation.earlier._asdict()
    thresholds = msgspec.to_builtins(evaluation.effects)
    values |= {name: threshold for name, threshold in thresholds.items() if threshold}
    plain: Summary = msgspec.to_builtins(values)
    return plain


def summarize_evaluation(evaluation: Reevaluation) -> Summary:
    """Return the lines that `baseline evaluate` prints."""
    metrics, split = evaluation.figures, evaluation.split
    lines = summarize_accuracy(split, metrics, evaluation.copies)
    lines["macro F1"] = f"{metrics.answer_macro_f1:.3f}"
    lines["log loss"] = f"{metrics.log_loss:.3f}"
    lines["calibration error (ECE)"] = f"{metrics.ece:.3f}"
    if (before := metrics.uncalibrated) is not None:
        lines["log loss"] += f" ({before.log_loss:.3f} before calibration)"
        lines["calibration error (ECE)"] += f" ({before.ece:.3f} before calibration)"
    if evaluation.earlier is not None and evaluation.earlier.times:
        lines["earlier test evaluations"] = str(evaluation.earlier.times)
    lines["classes"] = {score.name: _class_line(score) for score in metrics.answered.classes}
    return lines | {"run": evaluation.run}


def _class_line(score: ClassScore) -> str:
    if not score.support:
        return "no images"
    return (
        f"precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f}, "
        f"{count(score.support, 'image')}"
    )


COMPARISON_COLUMNS = (
    *("run", "accuracy", "95% CI", "vs first", "p", "log loss", "ECE", "macro F1", "seconds"),
    "parameters",
)


def format_comparison_row(row: ComparedRun) -> tuple[str, ...]:
    """Return the cells of a compared run, under `COMPARISON_COLUMNS`."""
    interval = f"{row.interval.low:.3f}-{row.interval.high:.3f}" if row.interval else "-"
    difference, p = "-", "-"
    if row.against is not None:
        mark = "*" if row.against.clear else ""
        difference, p = f"{row.against.difference:+.3f}{mark}", f"{row.against.p:.3g}"
    return (
        *(row.run, f"{row.accuracy:.3f}", interval, difference, p),
        *(f"{row.log_loss:.3f}", f"{row.ece:.3f}", f"{row.macro_f1:.3f}", f"{row.seconds:.0f}"),
        "-" if row.parameters is None else f"{row.parameters:,}",
    )
