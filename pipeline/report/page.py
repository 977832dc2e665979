"""The report of a dataset: gathers its content and renders the template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from baseline.evaluation.report.page import MainSection, build_main_section
from baseline.evaluation.run_metrics import RunMetrics, read_metrics
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.db.statistics import FailureCount, Statistics
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import count, duration, figure, number, percent
from gleanset.records import SPLITS
from pipeline.report.classes import MIN_TRAIN_IMAGES, ClassesSection, SamplePreview, gather_classes
from pipeline.report.origins import (
    REQUEST_KINDS,
    OriginsSection,
    explain_reason,
    gather_origins,
    gather_rejections,
    shorten_location,
)

STAGE = "baseline"


def read_run(dataset: Dataset, run_id: str | None) -> tuple[str, RunMetrics] | None:
    """Return the id and metrics of a run; None if there is no run.

    Raises `InputUnusable` for an unknown run or unreadable metrics.
    """
    newest = None if run_id else dataset.runs.get_latest(STAGE)
    name = run_id or (newest.id if newest else None)
    if name is None:
        return None
    if Path(name).name != name:
        raise InputUnusable(f"not a run: {name!r}", "list the runs: gleanset list runs")
    return name, read_metrics(dataset.runs_folder / name)


MAX_BAND_IMAGES = 14


@dataclass(frozen=True, slots=True)
class FigureTile:
    """A number and what it counts."""

    value: str
    words: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """Content of the page."""

    title: str
    description: str
    contact: str
    summary: str
    tiles: list[FigureTile]
    band: list[SamplePreview]
    images: int
    unit: str
    origins: OriginsSection
    rejected: list[FailureCount]
    unsearched: int
    classes: ClassesSection
    training: TrainingSection | None


@dataclass(frozen=True, slots=True)
class _Totals:
    images: int
    samples: int
    unit: str


def gather_report(dataset: Dataset, title: str, run_id: str | None) -> DatasetReport:
    """Gather the content of the report. Raises what `read_run` raises."""
    run = read_run(dataset, run_id)
    thumbnails = Thumbnails(dataset)
    sources, classes = gather_origins(dataset), gather_classes(dataset, thumbnails)
    training = gather_training(dataset, *run, thumbnails) if run else None
    rejected, totals = gather_rejections(dataset), _totals(dataset)
    return DatasetReport(
        title=title,
        description=dataset.settings.description or "",
        contact=dataset.settings.contact or "",
        summary=_summary(totals, sources, classes, training),
        tiles=list(_tiles(totals, classes, training, rejected)),
        band=_band(classes),
        images=totals.images,
        unit=totals.unit,
        origins=sources,
        rejected=rejected,
        unsearched=Statistics(dataset.db).count_unsearched(),
        classes=classes,
        training=training,
    )


def _totals(dataset: Dataset) -> _Totals:
    samples = dataset.samples.count_by("status", "detector")
    used = {key: n for key, n in samples.items() if key[0] in ("queue", "labelled")}
    unit = "sample" if any(detector == WHOLE for _, detector in used) else "face"
    return _Totals(dataset.images.count(), sum(used.values()), unit)


def _summary(
    totals: _Totals, sources: OriginsSection, classes: ClassesSection, run: TrainingSection | None
) -> str:
    if not totals.images:
        return "The dataset is empty."
    origin = f"in {count(totals.images, 'image')} from {count(sources.sources, 'source')}"
    if not classes.labelled:
        return f"{count(totals.samples, totals.unit)} {origin}; none is labelled yet."
    names = count(len(classes.rows), "class", "classes")
    summary = f"{count(classes.labelled, f'labelled {totals.unit}')} of {names} {origin}."
    if not (run and run.test):
        return summary
    metrics, interval = run.test.figures, run.test.figures.answer_interval
    return (
        f"{summary} A model trained on them is right on {percent(metrics.answer_accuracy)} of "
        f"{count(metrics.count, 'test image')} "
        f"(95% CI {percent(interval.low)} to {percent(interval.high)})."
    )


def _tiles(
    totals: _Totals,
    classes: ClassesSection,
    run: TrainingSection | None,
    rejected: list[FailureCount],
) -> Iterator[FigureTile]:
    left_out = sum(left.items for left in rejected)
    pending = sum(reason.count for reason in classes.queue_reasons)
    yield _tile(totals.images, "image", f"{number(left_out)} left out" if left_out else "")
    note = f"{number(pending)} unlabelled" if pending else "all decided"
    yield _tile(totals.samples, totals.unit, note if totals.samples else "")
    class_count = count(len(classes.rows), "class", "classes")
    yield FigureTile(number(classes.labelled), "labelled", f"in {class_count}")
    if run and run.test:
        metrics = run.test.figures
        fraction = f"{number(metrics.right_answers)}/{count(metrics.count, 'image')}"
        yield FigureTile(percent(metrics.answer_accuracy), "test accuracy", fraction)


def _tile(value: int, noun: str, note: str) -> FigureTile:
    return FigureTile(number(value), noun if value == 1 else f"{noun}s", note)


def _band(classes: ClassesSection) -> list[SamplePreview]:
    """Return images for the top of the page, alternating between classes."""
    rounds = zip_longest(*(row.strip for row in classes.rows))
    previews = [preview for turn in rounds for preview in turn if preview and preview.thumbnail]
    return previews[:MAX_BAND_IMAGES]


TEMPLATE = "report.html.jinja"

REPORT = "report.html"


def write_report(
    dataset: Dataset,
    target: Path | None = None,
    *,
    title: str | None = None,
    run_id: str | None = None,
) -> Path:
    """Write the report of a dataset and a run (default: the latest); return its absolute path.

    `target` defaults to `report.html` in the dataset, `title` to the dataset's name. Raises
    `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    target = (target or dataset.root / REPORT).absolute()
    title = title or dataset.name
    page = render_report(gather_report(dataset, title, run_id))
    write_atomic(target, encode_page(page))
    return target


def render_report(report: DatasetReport) -> str:
    """Return the HTML; the template escapes all texts."""
    environment = get_templates("pipeline.report")
    environment.globals.update(splits=SPLITS, few=MIN_TRAIN_IMAGES, request_kinds=REQUEST_KINDS)
    environment.filters.update(explained=explain_reason, short_location=shorten_location)
    return environment.get_template(TEMPLATE).render(report=report)


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """Training of a run, and `test` if it was evaluated."""

    run: str
    preset: str
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    changed: str
    course: str
    test: MainSection | None
    earlier: EvaluationCounts | None


def gather_training(
    dataset: Dataset, run: str, metrics: RunMetrics, thumbnails: Thumbnails
) -> TrainingSection:
    """Gather the section."""
    test = metrics.test
    return TrainingSection(
        run=run,
        preset=str(metrics.settings.get("preset", "unknown")),
        facts=list(_facts(metrics)),
        settings=[(key.replace("_", " "), _value(v)) for key, v in metrics.settings.items()],
        changed=_changed(dataset, metrics),
        course=metrics.course,
        test=build_main_section(dataset, thumbnails, "test", test) if test else None,
        earlier=SplitEvaluations(dataset.db).get_for_run(run, "test"),
    )


def _facts(metrics: RunMetrics) -> Iterator[tuple[str, str]]:
    for split in SPLITS:
        if isinstance(size := metrics.data.get(split), int):
            yield f"{split} images", number(size)
    yield "classes", number(len(metrics.classes))
    yield "time", duration(metrics.seconds)
    if speeds := [e.images_per_second for e in metrics.epochs if e.images_per_second > 0]:
        yield "speed", f"{sum(speeds) / len(speeds):,.0f} images/s"
    if metrics.device:
        yield "computed on", f"{metrics.device}, {metrics.precision or 'fp32'}"
    if metrics.val:
        yield "validation accuracy", percent(metrics.val.answer_accuracy)
        yield "validation log loss", figure(metrics.val.log_loss)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(dataset: Dataset, metrics: RunMetrics) -> str:
    is_same = metrics.data.get("splits") == dataset.samples.hash_splits()
    return "" if is_same else "Labels or splits have changed since this run."
