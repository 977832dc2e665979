"""The reports of runs and cross-validations: one HTML file each, that opens offline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baseline.data.runs import METRICS, read_run_json
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import RunMetrics, SplitMetrics, read_metrics
from baseline.use.crops import load_crops
from gleanset import Dataset
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import choose_step
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails

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
        "main": main,
        "looks": evaluations.get_for_run(folder.name, "test"),
        "answers": answers,
        "charts": list(gather_epoch_charts(metrics)),
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
    return MainSection(
        name=name,
        figures=figures,
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
    values = {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": build_main_section(dataset, thumbnails, "the held-out folds", metrics.held_out),
    }
    return write_page((folder / REPORT).absolute(), "folds.html.jinja", values, scratch=scratch)


Points = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class EpochChart:
    """A chart by epoch of 520 x 260 pixels; `curves` are points by split, `step` is that of y."""

    caption: str
    curves: dict[str, Points]
    is_share: bool
    step: float
    steps: int

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last epoch."""
        epochs = [epoch for points in self.curves.values() for epoch, _ in points]
        return min(epochs), max(epochs)

    def x(self, epoch: int) -> float:
        """Return the horizontal position of an epoch."""
        first, last = self.ends
        return 48 + ((epoch - first) / (last - first) if last > first else 0.5) * 456

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        return 228 - value / (self.steps * self.step) * 192


def gather_epoch_charts(metrics: RunMetrics) -> Iterator[EpochChart]:
    """Yield the charts of loss and of accuracy; nothing for a run without epochs."""
    for figure, better in (("loss", "lower"), ("accuracy", "higher")):
        curves: dict[str, Points] = {}
        for split in ("train", "val"):
            values = [(e.epoch, getattr(e, f"{split}_{figure}")) for e in metrics.epochs]
            points = [(x, y) for x, y in values if y is not None and math.isfinite(y)]
            if points:
                curves[split] = points
        if curves:
            is_share = figure == "accuracy"
            largest = max(value for points in curves.values() for _, value in points)
            highest = 1.0 if is_share else largest
            step = choose_step(highest)
            steps = max(1, math.ceil(highest / step - 1e-9))
            caption = f"{figure.capitalize()}: {better} is better"
            yield EpochChart(caption, curves, is_share, step, steps)
