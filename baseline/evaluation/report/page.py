"""The reports of runs and cross-validations: one HTML file each, that opens offline."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from baseline.data.runs import METRICS, find_renamed_classes, read_run_json
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import (
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
from gleanset.html.thumbnails import Thumbnails
from gleanset.images.data_uri import Thumbnail

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
    return write_page((folder / REPORT).absolute(), "page.html.jinja", values)


def write_page(path: Path, template: str, values: dict[str, object]) -> Path:
    """Render a template, with all values escaped, and write it."""
    templates = get_templates("baseline.evaluation.report")
    write_atomic(
        path,
        encode_page(templates.get_template(template).render(values)),
    )
    return path


def collect_run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return the values of the report of the run in `folder`. Raises `InputUnusable`."""
    metrics = read_metrics(folder)
    names = find_renamed_classes(dataset, metrics.classes)
    metrics = metrics.with_names(names)
    rule = load_decision_rule(folder)
    thumbnails = Thumbnails(dataset)
    name = "test" if metrics.test else "val"
    figures = metrics.splits.get(name)
    main = build_main_section(thumbnails, name, figures) if figures else None

    evaluations = SplitEvaluations(dataset.db)
    return {
        **collect_shared_values(folder, thumbnails),
        "m": metrics,
        "main": main,
        "looks": evaluations.get_for_run(folder.name, "test"),
        "answers": rule.but(effects=rename_classes(rule.effects, names)),
        "crops": load_crops(folder),
    }


def collect_shared_values(folder: Path, thumbnails: Thumbnails) -> dict[str, object]:
    """Return the values that the reports of all kinds of runs share."""
    dataset = thumbnails.dataset
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
        "issues": _build_report_images(thumbnails, rows),
        "label_issue_count": len(issues),
    }


def build_main_section(
    thumbnails: Thumbnails, name: str, figures: SplitMetrics
) -> MainSection:
    """Return the section of a split."""
    # The fields of a mistake are those of a row.
    rows = map(astuple, figures.answer_metrics.mistakes)
    return MainSection(name, figures, _build_report_images(thumbnails, rows))


def _build_report_images(
    thumbnails: Thumbnails, rows: Iterable[tuple[Any, ...]]
) -> list[ReportImage]:
    """Return images for rows of a sample's key, its label, another class and a confidence."""
    images = []
    for key, label, other, confidence in rows:
        sample = thumbnails.dataset.samples.get(key)
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

    values = collect_shared_values(folder, thumbnails)
    values["m"] = metrics
    values["main"] = build_main_section(
        thumbnails, "the held-out folds", metrics.held_out
    )
    return write_page((folder / REPORT).absolute(), "folds.html.jinja", values)
