"""The reports of runs and cross-validations: one HTML file each, that opens offline."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from baseline.data.runs import METRICS, find_renamed_classes, read_run_json
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import (
    RunMetrics,
    SplitMetrics,
    read_metrics,
    rename_classes,
)
from baseline.use.crops import load_crops
from gleanset import Dataset
from gleanset.db.runs import LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails

REPORT = "report.html"
MAX_ISSUES = 40


class ReportImage(NamedTuple):
    """An image with its label, another class, and that class's probability."""

    thumbnail: Thumbnail | None
    label: str
    other: str
    confidence: float


class MainSection(NamedTuple):
    """The split that a report is about."""

    name: str
    figures: SplitMetrics
    mistakes: list[ReportImage]


def write_report(dataset: Dataset, run_id: str) -> Path:
    """Write `runs/<id>/report.html` and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    values = collect_run_values(dataset, folder)
    path = (folder / REPORT).absolute()
    return write_page(path, "page.html.jinja", values)


def write_page(path: Path, template: str, values: dict[str, object]) -> Path:
    """Render a template, with all values escaped, and write it."""
    templates = get_templates("baseline.evaluation.report")
    page = templates.get_template(template).render(values)
    write_atomic(path, encode_page(page))
    return path


def collect_run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return the values of the report of the run in `folder`. Raises `InputUnusable`."""
    metrics = read_metrics(folder)
    names = find_renamed_classes(dataset, metrics.classes)
    metrics = metrics.with_names(names)
    rule = load_decision_rule(folder)
    thumbnails = Thumbnails(dataset)
    main = None
    # The last of val and test that was evaluated.
    for name, figures in metrics.splits.items():
        if name != "train":
            main = build_main_section(dataset, thumbnails, name, figures)

    evaluations = SplitEvaluations(dataset.db)
    return {
        **collect_shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": main,
        "looks": evaluations.get_for_run(folder.name, "test"),
        "answers": rule.but(effects=rename_classes(rule.effects, names)),
        "charts": list(gather_epoch_charts(metrics)),
        "crops": load_crops(folder),
    }


def collect_shared_values(
    dataset: Dataset, folder: Path, thumbnails: Thumbnails
) -> dict[str, object]:
    """Return the values that the reports of all kinds of runs share."""
    issues = [
        issue for issue in LabelIssues(dataset.db).iterate() if issue.run == folder.name
    ]
    rows = [
        (issue.sample, issue.label, issue.suggested, issue.confidence)
        for issue in issues[:MAX_ISSUES]
    ]
    return {
        "run": folder.name,
        "dataset": dataset.name,
        "issues": _build_report_images(dataset, thumbnails, rows),
        "label_issue_count": len(issues),
    }


def build_main_section(
    dataset: Dataset,
    thumbnails: Thumbnails,
    name: str,
    figures: SplitMetrics,
) -> MainSection:
    """Return the section of a split."""
    rows = map(astuple, figures.answered.mistakes)
    mistakes = _build_report_images(dataset, thumbnails, rows)
    return MainSection(name, figures, mistakes)


def _build_report_images(
    dataset: Dataset, thumbnails: Thumbnails, rows: Iterable[tuple[Any, ...]]
) -> list[ReportImage]:
    """Return images for rows of a sample's key, its label, another class and a confidence."""
    images = []
    for key, label, other, confidence in rows:
        sample = dataset.samples.get(key)
        thumbnail = thumbnails.of_sample(sample) if sample else None
        images.append(ReportImage(thumbnail, label, other, confidence))
    return images


@dataclass(frozen=True)
class CrossValidationMetrics:
    """The content of `metrics.json`.

    `summary` is the result in the catalogue: metrics of each of the `folds`, `evaluated` images
    and `groups` that were held out, `accuracy` out of fold with its 95 % interval, `spread`, its
    standard deviation between folds, `not_evaluated` images that could not be held out, and the
    number of images of `test`, which were not used.
    """

    classes: list[str]
    settings: dict[str, Any]
    summary: dict[str, Any]
    held_out: SplitMetrics


def write_folds_report(dataset: Dataset, run_id: str) -> Path:
    """Write `runs/<id>/report.html` and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    thumbnails = Thumbnails(dataset)
    fix = "measure again: baseline train --folds K -o seed=1"
    metrics = read_run_json(folder, METRICS, CrossValidationMetrics, fix)
    if metrics is None:
        raise InputUnusable(f"{folder / METRICS} is missing", fix)

    values = collect_shared_values(dataset, folder, thumbnails)
    values["m"] = metrics
    values["main"] = build_main_section(
        dataset,
        thumbnails,
        "the held-out folds",
        metrics.held_out,
    )
    path = (folder / REPORT).absolute()
    return write_page(path, "folds.html.jinja", values)


Points = list[tuple[int, float]]


class EpochChart(NamedTuple):
    """A chart by epoch of 520 x 260 pixels; `curves` are points by split, `step` is that of y."""

    caption: str
    curves: dict[str, Points]
    is_share: bool
    step: float
    steps: int

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last epoch."""
        points = list(chain.from_iterable(self.curves.values()))
        epochs = [epoch for epoch, _ in points]
        return min(epochs), max(epochs)

    def x(self, epoch: int) -> float:
        """Return the horizontal position of an epoch."""
        first, last = self.ends
        # A single epoch is in the middle.
        share = (epoch - first) / (last - first) if last > first else 0.5
        return 48 + share * 456

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        share = value / (self.steps * self.step)
        return 228 - share * 192


def gather_epoch_charts(metrics: RunMetrics) -> Iterator[EpochChart]:
    """Yield the charts of loss and of accuracy; nothing for a run without epochs."""
    for figure, better in (("loss", "lower"), ("accuracy", "higher")):
        curves: dict[str, Points] = {}
        for split in ("train", "val"):
            points = []
            for report in metrics.epochs:
                value = getattr(report, f"{split}_{figure}")
                if value is not None and math.isfinite(value):
                    points.append((report.epoch, value))
            if points:
                curves[split] = points

        if curves:
            is_share = figure == "accuracy"
            values = [value for _, value in chain.from_iterable(curves.values())]
            highest = 1.0 if is_share else max(values)
            step = _choose_step(highest)
            yield EpochChart(
                caption=f"{figure.capitalize()}: {better} is better",
                curves=curves,
                is_share=is_share,
                step=step,
                steps=max(1, math.ceil(highest / step - 1e-9)),
            )


def _choose_step(highest: float) -> float:
    """Return a round step that divides 0 to `highest` into about five parts."""
    fifth = max(highest, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(fifth))
    round_steps = [factor * power for factor in (1, 2, 5, 10)]
    return next(step for step in round_steps if step >= fifth * 0.999)
