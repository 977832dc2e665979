"""The report of a run, `runs/<id>/report.html`: one file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from baseline.data.runs import METRICS, read_run_json
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import SplitMetrics
from baseline.evaluation.report.curves import draw_epoch_curves, draw_interval_bar
from baseline.evaluation.run_metrics import RunMetrics, read_metrics
from baseline.use.crops import load_crops
from gleanset import Dataset
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count, percent

REPORT = "report.html"
MAX_ISSUES = 40


@dataclass(frozen=True, slots=True)
class ReportImage:
    """An image with its label, another class, and that class's probability."""

    thumbnail: Thumbnail | None
    label: str
    other: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MainSection:
    """The split that a report is about."""

    name: str
    figures: SplitMetrics
    bar: Markup
    mistakes: list[ReportImage]


def write_report(
    dataset: Dataset, run_id: str, *, target: Path | None = None, scratch: Path | None = None
) -> Path:
    """Write `runs/<id>/report.html`, or `target`, and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    path = (target or folder / REPORT).absolute()
    values = collect_run_values(dataset, folder)
    return write_page(path, "page.html.jinja", values, scratch=scratch)


def write_page(
    path: Path, template: str, values: dict[str, object], *, scratch: Path | None = None
) -> Path:
    """Render a template, with all values escaped, and write it."""
    page = get_templates("baseline.evaluation.report").get_template(template).render(values)
    write_atomic(path, encode_page(page), scratch=scratch)
    return path


def collect_run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return the values of the report of the run in `folder`. Raises `InputUnusable`."""
    metrics, thumbnails = read_metrics(folder), Thumbnails(dataset)
    answers = load_decision_rule(folder)
    evaluated = [(name, figures) for name, figures in metrics.splits.items() if name != "train"]
    main = build_main_section(dataset, thumbnails, *evaluated[-1]) if evaluated else None
    evaluations = SplitEvaluations(dataset.db)
    return {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "summary": _summary(metrics, main),
        "main": main,
        "looks": evaluations.get_for_run(folder.name, "test"),
        "answers": answers,
        "curves": list(draw_epoch_curves(metrics)),
        "searched": evaluations.has_label_issue_search(folder.name),
        "crops": load_crops(folder),
    }


def shared_values(dataset: Dataset, folder: Path, thumbnails: Thumbnails) -> dict[str, object]:
    """Return the values that the reports of all kinds of runs share."""
    issues = [issue for issue in LabelIssues(dataset.db).iterate() if issue.run == folder.name]
    return {
        "run": folder.name,
        "dataset": dataset.name,
        "issues": _label_issue_images(dataset, thumbnails, issues[:MAX_ISSUES]),
        "label_issue_count": len(issues),
    }


def build_main_section(
    dataset: Dataset,
    thumbnails: Thumbnails,
    name: str,
    figures: SplitMetrics,
) -> MainSection:
    """Return the section of a split."""
    interval, base = figures.answer_interval, figures.commonest_class
    words = (
        f"accuracy {figures.answer_accuracy:.1%}, 95% CI {100 * interval.low:.1f}-"
        f"{interval.high:.1%}; majority-class baseline {base:.1%}"
    )
    return MainSection(
        name=name,
        figures=figures,
        bar=draw_interval_bar(figures.answer_accuracy, *interval, base, words),
        mistakes=[
            ReportImage(
                _load_thumbnail(dataset, thumbnails, mistake.key),
                mistake.true,
                mistake.predicted,
                mistake.confidence,
            )
            for mistake in figures.answer_mistakes
        ],
    )


def _label_issue_images(
    dataset: Dataset, thumbnails: Thumbnails, issues: Sequence[LabelIssue]
) -> list[ReportImage]:
    return [
        ReportImage(
            _load_thumbnail(dataset, thumbnails, issue.sample),
            issue.label,
            issue.suggested,
            issue.confidence,
        )
        for issue in issues
    ]


def _load_thumbnail(dataset: Dataset, thumbnails: Thumbnails, key: str) -> Thumbnail | None:
    sample = dataset.samples.get(key)
    return thumbnails.of_sample(sample) if sample else None


def _summary(metrics: RunMetrics, main: MainSection | None) -> str:
    preset = metrics.settings.get("preset", "?")
    start = f"Preset “{preset}”, {count(len(metrics.classes), 'class', 'classes')}"
    if main is None:
        return f"{start}: no images to evaluate on."
    figures, (low, high) = main.figures, main.figures.answer_interval
    unknown = f" Predicted unknown: {figures.unknown_note}." if figures.unknown_note else ""
    return (
        f"{start}: {main.name} accuracy {figures.answer_accuracy:.1%} "
        f"({figures.right_answers}/{figures.count}), 95% CI {100 * low:.1f}-{high:.1%}; "
        f"majority-class baseline {figures.commonest_class:.1%}.{unknown}"
    )


@dataclass(frozen=True, slots=True)
class FoldScore:
    """Result of one fold on its held-out images."""

    count: int
    groups: int
    accuracy: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class CrossValidationSummary:
    """Result of a cross-validation, as the catalogue stores it.

    Attributes
    ----------
    evaluated, groups : images and groups that were held out
    accuracy, lower_bound, upper_bound : out-of-fold accuracy with its 95 % interval
    spread : standard deviation of the accuracy between folds
    not_evaluated : images that could not be held out
    test : images of test, which were not used
    """

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


@dataclass(frozen=True, slots=True)
class CrossValidationMetrics:
    """The content of `metrics.json`."""

    classes: list[str]
    settings: dict[str, Any]
    summary: CrossValidationSummary
    held_out: SplitMetrics


def write_folds_report(dataset: Dataset, run_id: str, *, scratch: Path | None = None) -> Path:
    """Write `runs/<id>/report.html` and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder, thumbnails = dataset.runs_folder / run_id, Thumbnails(dataset)
    fix = "measure again: baseline train --folds K -o seed=1"
    metrics = read_run_json(folder, METRICS, CrossValidationMetrics, fix)
    if metrics is None:
        raise InputUnusable(f"{folder / METRICS} is missing", fix)
    overall = metrics.summary.accuracy
    values = {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": build_main_section(dataset, thumbnails, "the held-out folds", metrics.held_out),
        "bars": [
            "" if share is None else draw_interval_bar(share, share, share, overall, percent(share))
            for share in (row.accuracy for row in metrics.summary.folds)
        ],
    }
    return write_page((folder / REPORT).absolute(), "folds.html.jinja", values, scratch=scratch)
