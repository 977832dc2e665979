"""The reports of runs and cross-validations: one HTML file each, that opens offline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from baseline.data.runs import METRICS, read_run_json
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import RunMetrics, SplitMetrics, read_metrics
from baseline.use.crops import load_crops
from gleanset import Dataset
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import choose_step, tag
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


WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 36, 32
SPLITS = {"train": "train", "val": "validation"}
Points = list[tuple[int, float]]


def draw_epoch_curves(metrics: RunMetrics) -> Iterator[tuple[str, Markup]]:
    """Yield caption and chart of loss and of accuracy; nothing for a run without epochs."""
    for figure, caption in (
        ("loss", "Loss: lower is better"),
        ("accuracy", "Accuracy: higher is better"),
    ):
        curves: dict[str, Points] = {}
        for split in SPLITS:
            values = [(e.epoch, getattr(e, f"{split}_{figure}")) for e in metrics.epochs]
            points = [(x, y) for x, y in values if y is not None and math.isfinite(y)]
            if points:
                curves[split] = points
        if curves:
            yield caption, _draw(caption, curves, metrics.best_epoch, shares=figure == "accuracy")


def _draw(caption: str, curves: dict[str, Points], best_epoch: int, *, shares: bool) -> Markup:
    epochs = [epoch for points in curves.values() for epoch, _ in points]
    highest = 1.0 if shares else max(value for points in curves.values() for _, value in points)
    step = choose_step(highest)
    top = max(1, math.ceil(highest / step - 1e-9)) * step

    def at_x(epoch: int) -> float:
        span = max(epochs) - min(epochs)
        share = (epoch - min(epochs)) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [tag("title", caption)]
    for number in range(round(top / step) + 1):
        y, label = at_y(number * step), f"{number * step:.0%}" if shares else f"{number * step:.3g}"
        style = "grid" if number else "axis"
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=style))
        parts.append(tag("text", label, x=LEFT - 8, y=y + 4, class_="tick end"))
    ticks = {str(epoch): at_x(epoch) for epoch in (min(epochs), max(epochs))}
    for label, x in (*ticks.items(), ("epoch", WIDTH / 2)):
        parts.append(tag("text", label, x=x, y=HEIGHT - 10, class_="tick middle"))
    if min(epochs) <= best_epoch <= max(epochs):
        x = at_x(best_epoch)
        words = tag("title", f"weights kept from epoch {best_epoch}")
        parts.append(tag("line", words, x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="best"))
    for number, (split, points) in enumerate(curves.items()):
        style, x = f"curve {split}", LEFT + number * 130
        path = " ".join(f"{at_x(epoch):.1f},{at_y(value):.1f}" for epoch, value in points)
        # The circle shows the last value, which is the only one of a training of one epoch.
        end = {"cx": at_x(points[-1][0]), "cy": at_y(points[-1][1])}
        parts.append(tag("polyline", points=path, class_=style))
        parts.append(tag("circle", **end, r=4, class_=f"dot {split}"))
        parts.append(tag("line", x1=x, x2=x + 26, y1=16, y2=16, class_=style))
        parts.append(tag("text", SPLITS[split], x=x + 34, y=20, class_="tick legend"))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart")


def draw_interval_bar(share: float, low: float, high: float, base: float, words: str) -> Markup:
    """Draw a share (0..1), its interval and a mark at `base`."""

    def at(value: float) -> float:
        return 4 + value * 232

    return tag(
        "svg",
        tag("title", words),
        tag("line", x1=at(0), x2=at(1), y1=12, y2=12, class_="track"),
        tag("line", x1=at(low), x2=at(high), y1=12, y2=12, class_="range"),
        tag("line", x1=at(base), x2=at(base), y1=5, y2=19, class_="guess"),
        tag("circle", cx=at(share), cy=12, r=6, class_="share"),
        viewBox="0 0 240 24",
        role="img",
        class_="interval",
    )
