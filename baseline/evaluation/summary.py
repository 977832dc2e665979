"""What training and judging tell a person at their end: how good a run is, and what to believe.

The figures themselves are in the result (`--json`), in the run's `metrics.json` and its report.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseline.evaluation.evaluate import reuse_warning
from baseline.evaluation.metrics import ClassScore, SplitMetrics
from baseline.evaluation.run_metrics import describe_copy_search, read_metrics
from gleanset.errors import InputUnusable
from gleanset.html.words import count

if TYPE_CHECKING:
    from baseline.evaluation.compare import ComparedRun
    from baseline.evaluation.evaluate import Reevaluation

Words = dict[str, Any]
PAIRS = 3
"""So many kinds of mistakes are told; the report has all of them."""
KNOWN = {
    "train": "which it has learnt from: no test at all",
    "val": "which it was tuned by: no true test",
}
"""What a share of right answers on a split is worth, but for test."""
TOLD = ("unknown", "report")
NOT_JUDGED = "unknown: there is no picture in test or val to judge it by"


def summarize_training(done: Mapping[str, Any], folder: Path, root: Path) -> Words:
    """Return the result of a run, whose files are in `folder`, as lines for a person."""
    judged = next((split for split in ("test", "val") if done.get(split)), None)
    lines: Words = {"run": str(done["run"])}
    lines["learnt from"] = _learnt(done)
    figures = None
    if judged is None:
        lines["right"] = NOT_JUDGED
    else:
        with suppress(InputUnusable):  # the files of the run are gone
            figures = read_metrics(folder).splits.get(judged)
    if judged is not None and figures is not None:
        lines |= summarize_accuracy(judged, figures, done.get("copies"))
        lines["confused"] = _confused(figures)
    lines |= {name: str(done[name]) for name in TOLD if done.get(name)}
    commands = ["baseline predict PICTURE", "webapp serve"]
    if judged != "test":
        commands.insert(0, "labeler split --ratio 8:1:1")
    return lines | {"next": [f"{command} -d {shlex.quote(str(root))}" for command in commands]}


def _learnt(done: Mapping[str, Any]) -> str:
    data = done["data"]
    words = f"{count(data['train'], 'picture')} of {count(done['classes'], 'class', 'classes')}"
    if "epochs" in done:
        passes = count(done["epochs"], "pass", "passes")
        words += f" in {passes}; number {done['best_epoch']} is kept"
    if unseen := done.get("unseen_labels"):
        words += f"; nobody has looked at {count(unseen, 'label')} of these"
    if unread := done.get("unreadable"):
        words += f"; {count(unread, 'picture')} could not be read"
    return words


def summarize_accuracy(
    split: str, figures: SplitMetrics, copies: Mapping[str, Any] | None
) -> Words:
    """Say how many are right, whether these pictures are a test, and what that is worth.

    `copies` is the `summarize_copy_search` of the split.
    """
    share = 100 * figures.answer_accuracy
    of = f"{share:.1f} % of {count(figures.count, 'picture')} of {split}"
    lines = {"right": f"{of}, {KNOWN.get(split) or describe_copy_search(copies)}"}
    if words := figures.before_unknown:
        lines["rule for unknown"] = words
    if figures.intervals:
        low, high = figures.answer_interval
        by = f", by {count(figures.moments, 'moment')}" if figures.moments else ""
        lines["interval"] = f"{100 * low:.1f} to {100 * high:.1f} % (95 %){by}"
    commonest = 100 * figures.commonest_class
    lines["to compare"] = f"{commonest:.1f} % are right who always name the commonest class"
    return lines


def _confused(figures: SplitMetrics) -> str:
    if figures.right == figures.count:
        return "nothing"
    pairs = figures.confused(PAIRS)
    if not pairs:
        return f"no two classes more than once ({count(figures.count - figures.right, 'mistake')})"
    return "; ".join(
        f"{pair.true} taken for {pair.answered}: {pair.count} of {pair.total}" for pair in pairs
    )


def list_evaluation_warnings(judged: Reevaluation) -> list[str]:
    """Return what a person should know before believing the figures."""
    few = judged.figures.few
    words = [reuse_warning(judged.looks), judged.warning, few and f"{judged.split} has {few}"]
    return [line for line in [*words, *judged.chosen.describe()] if line]


def evaluation_to_json(judged: Reevaluation) -> Words:
    """Return all figures of a run that was judged again as JSON values."""
    figures: Words = msgspec.to_builtins(judged.figures)
    # As `baseline train --json`: all of them are of the answers, but for what says otherwise.
    for name in ("answers", "intervals"):
        del figures[name]
    figures |= judged.figures.summary() | {"classes": judged.figures.answer_classes}
    values: Words = {"run": judged.run, judged.split: figures, "copies": judged.copies}
    if judged.looks is not None:
        values["looked_before"] = judged.looks._asdict()
    chosen = msgspec.to_builtins(judged.chosen)
    values |= {name: threshold for name, threshold in chosen.items() if threshold}
    plain: Words = msgspec.to_builtins(values)
    return plain


def summarize_evaluation(judged: Reevaluation) -> Words:
    """Return the figures of a run that was judged again as lines for a person."""
    figures, before, classwise = (
        judged.figures,
        judged.figures.uncalibrated,
        judged.figures.classwise,
    )
    lines = {"run": judged.run, **summarize_accuracy(judged.split, figures, judged.copies)}
    lines["macro F1"] = f"{figures.macro_f1:.3f}"
    if before is not None:
        lines["probabilities"] = (
            f"log loss {figures.log_loss:.3f}, ECE {figures.ece:.3f}, as predict answers; by the "
            f"scores before scaling {before.log_loss:.3f} and {before.ece:.3f}"
        )
    if classwise is not None:
        warning = f" ({classwise.warning})" if classwise.warning else ""
        lines["classwise ECE"] = f"{classwise.ece:.3f}{warning}"
    if judged.looks is not None:
        lines["looked at before"] = count(judged.looks.times, "time")
    lines["classes"] = {
        score.name: _of_class(score, judged.split) for score in figures.answer_classes
    }
    return lines


def _of_class(score: ClassScore, split: str) -> str:
    if not score.support:
        return f"not judged: no picture of it is in {split}"
    return (
        f"precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f}, "
        f"{count(score.support, 'picture')}"
    )


COMPARISON_COLUMNS = (
    *("run", "accuracy", "95 %", "against first", "p", "log loss", "ECE", "macro F1", "seconds"),
    *("parameters", "MB"),
)


def format_comparison_row(row: ComparedRun) -> tuple[str, ...]:
    """Return the cells of a compared run, under `COMPARISON_COLUMNS`."""
    range_ = f"{row.interval.low:.3f}-{row.interval.high:.3f}" if row.interval else "-"
    against, p = "-", "-"
    if row.against is not None:
        mark = "*" if row.against.clear else ""
        against, p = f"{row.against.difference:+.3f}{mark}", f"{row.against.p:.3g}"
    return (
        *(row.run, f"{row.accuracy:.3f}", range_, against, p),
        *(f"{row.log_loss:.3f}", f"{row.ece:.3f}", f"{row.macro_f1:.3f}", f"{row.seconds:.0f}"),
        "-" if row.parameters is None else f"{row.parameters:,}",
        "-" if row.size is None else f"{row.size / 1e6:.1f}",
    )
