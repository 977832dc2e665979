"""The reports of runs and cross-validations: one HTML file each, that opens offline."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
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


def write_report(
    dataset: Dataset,
    run_id: str,
    *,
    target: Path | None = None,
    scratch: Path | None = None,
) -> Path:
    """Write `runs/<id>/report.html`, or `target`, and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    path = (target or folder / REPORT).absolute()
    values = collect_run_values(dataset, folder)
    return write_page(path, "page.html.jinja", values, scratch=scratch)


def write_page(
    path: Path, template: str, values: dict[str, object], *, scratch: Path | None
) -> Path:
    """Render a template, with all values escaped, and write it."""
    page = (
        get_templates("baseline.evaluation.report")
        .get_template(template)
        .render(values)
    )
    write_atomic(path, encode_page(page), scratch=scratch)
    return path


def collect_run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return the values of the report of the run in `folder`. Raises `InputUnusable`."""
    metrics = read_metrics(folder)
    names = find_renamed_classes(dataset, metrics.classes)
    metrics = metrics.with_names(names)
    thumbnails = Thumbnails(dataset)
    rule = load_decision_rule(folder)
    evaluated = [
        (name, figures) for name, figures in metrics.splits.items() if name != "train"
    ]
    main = (
        build_main_section(dataset, thumbnails, *evaluated[-1]) if evaluated else None
    )
    evaluations = SplitEvaluations(dataset.db)
    return {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": main,
        "looks": evaluations.get_for_run(folder.name, "test"),
        "answers": rule.but(effects=rename_classes(rule.effects, names)),
        "charts": list(gather_epoch_charts(metrics)),
        "crops": load_crops(folder),
    }


def shared_values(
    dataset: Dataset, folder: Path, thumbnails: Thumbnails
) -> dict[str, object]:
    """Return the values that the reports of all kinds of runs share."""
    issues = [
        issue for issue in LabelIssues(dataset.db).iterate() if issue.run == folder.name
    ]
    listed = issues[:MAX_ISSUES]
    return {
        "run": folder.name,
        "dataset": dataset.name,
        "issues": _report_images(
            dataset,
            thumbnails,
            ((i.sample, i.label, i.suggested, i.confidence) for i in listed),
        ),
        "label_issue_count": len(issues),
    }


def build_main_section(
    dataset: Dataset,
    thumbnails: Thumbnails,
    name: str,
    figures: SplitMetrics,
) -> MainSection:
    """Return the section of a split."""
    mistakes = map(astuple, figures.answered.mistakes)
    return MainSection(name, figures, _report_images(dataset, thumbnails, mistakes))


def _report_images(
    dataset: Dataset, thumbnails: Thumbnails, rows: Iterable[tuple[Any, ...]]
) -> list[ReportImage]:
    """Return images for rows that begin with a sample's key."""
    images = []
    for key, *content in rows:
        sample = dataset.samples.get(key)
        thumbnail = thumbnails.of_sample(sample) if sample else None
        images.append(ReportImage(thumbnail, *content))
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


def write_folds_report(dataset: Dataset, run_id: str, *, scratch: Path | None) -> Path:
    """Write `runs/<id>/report.html` and return its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    thumbnails = Thumbnails(dataset)
    fix = "measure again: baseline train --folds K -o seed=1"
    metrics = read_run_json(folder, METRICS, CrossValidationMetrics, fix)
    if metrics is None:
        raise InputUnusable(f"{folder / METRICS} is missing", fix)
    values = {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": build_main_section(
            dataset, thumbnails, "the held-out folds", metrics.held_out
        ),
    }
    return write_page(
        (folder / REPORT).absolute(), "folds.html.jinja", values, scratch=scratch
    )


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
            values = [
                (e.epoch, getattr(e, f"{split}_{figure}")) for e in metrics.epochs
            ]
            points = [(x, y) for x, y in values if y is not None and math.isfinite(y)]
            if points:
                curves[split] = points
        if curves:
            is_share = figure == "accuracy"
            largest = max(value for points in curves.values() for _, value in points)
            highest = 1.0 if is_share else largest
            step = _choose_step(highest)
            steps = max(1, math.ceil(highest / step - 1e-9))
            caption = f"{figure.capitalize()}: {better} is better"
            yield EpochChart(caption, curves, is_share, step, steps)


def _choose_step(highest: float) -> float:
    """Return a round step that divides 0 to `highest` into about five parts."""
    raw = max(highest, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    return next(
        factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999
    )
