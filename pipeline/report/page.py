"""The whole report: everything it shows as plain values, and the template that lays it out.

The page is one HTML file that loads nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from markupsafe import Markup

from baseline.evaluation.report.page import MainSection, build_main_section, draw_epoch_curves
from baseline.evaluation.run_metrics import RunMetrics, read_metrics
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.db.statistics import Statistics
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import as_bytes, templates
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import count, duration, figure, number, percent
from gleanset.records import SPLITS
from pipeline.report.classes import FEW, ClassesSection, SamplePreview, gather_classes
from pipeline.report.origins import LeftOut, OriginsSection, origins, rejections

ROOM = "baseline"


def read_run(dataset: Dataset, run_id: str | None) -> tuple[str, RunMetrics] | None:
    """Return the id of a run and its figures; None where nothing was trained yet.

    Raises `InputUnusable` for a run that is not there or whose figures cannot be read.
    """
    newest = None if run_id else dataset.runs.get_latest(ROOM)
    name = run_id or (newest.id if newest else None)
    if name is None:
        return None
    if Path(name).name != name:
        raise InputUnusable(f"{name!r} is not the name of a run", "see: gleanset list runs")
    return name, read_metrics(dataset.runs_folder / name)


BAND = 14


@dataclass(frozen=True, slots=True)
class FigureTile:
    """A big number and what it counts."""

    value: str
    words: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """The content of the page."""

    title: str
    description: str
    contact: str
    summary: str
    tiles: list[FigureTile]
    band: list[SamplePreview]
    images: int
    unit: str
    origins: OriginsSection
    rejected: list[LeftOut]
    unsearched: int
    classes: ClassesSection
    training: TrainingSection | None


@dataclass(frozen=True, slots=True)
class _Totals:
    images: int
    samples: int
    unit: str


def gather_report(dataset: Dataset, title: str, run_id: str | None) -> DatasetReport:
    """Read the whole report from a dataset. Raises what `read_run` raises."""
    run = read_run(dataset, run_id)
    thumbnails = Thumbnails(dataset)
    sources, sorted_ = origins(dataset, thumbnails), gather_classes(dataset, thumbnails)
    learned = gather_training(dataset, *run, sorted_, thumbnails) if run else None
    rejected, totals = rejections(dataset), _totals(dataset)
    return DatasetReport(
        title=title,
        description=dataset.settings.description or "",
        contact=dataset.settings.contact or "",
        summary=_summary(totals, sources, sorted_, learned),
        tiles=list(_tiles(totals, sources, sorted_, learned, rejected)),
        band=_band(sorted_),
        images=totals.images,
        unit=totals.unit,
        origins=sources,
        rejected=rejected,
        unsearched=Statistics(dataset.db).count_unsearched(),
        classes=sorted_,
        training=learned,
    )


def _totals(dataset: Dataset) -> _Totals:
    samples = dataset.samples.count_by("status", "detector")
    used = {key: n for key, n in samples.items() if key[0] in ("queue", "labelled")}
    # Whole pictures are not called faces.
    unit = "sample" if any(detector == WHOLE for _, detector in used) else "face"
    return _Totals(dataset.images.count(), sum(used.values()), unit)


def _summary(
    totals: _Totals, sources: OriginsSection, sorted_: ClassesSection, run: TrainingSection | None
) -> str:
    if not totals.images:
        return "Nothing was gathered yet: the dataset is empty."
    story = (
        f"{count(totals.images, 'image')} from {count(sources.sources, 'source')} became "
        f"{count(totals.samples, totals.unit)}"
    )
    if not sorted_.labelled:
        return f"{story}; none is labelled yet."
    names = count(len(sorted_.rows), "class", "classes")
    story += f", {number(sorted_.labelled)} of them labelled in {names}"
    return f"{story}; {_verdict(run)}." if run and run.test else f"{story}."


def _verdict(run: TrainingSection) -> str:
    assert run.test is not None
    judged, interval = run.test.figures, run.test.figures.answer_interval
    return (
        f"a network trained with the preset “{run.preset}” gets "
        f"{percent(judged.answer_accuracy)} of the {count(judged.count, 'test picture')} right "
        f"({percent(0.95)} interval {percent(interval.low)} to {percent(interval.high)})"
    )


def _tiles(
    totals: _Totals,
    sources: OriginsSection,
    sorted_: ClassesSection,
    run: TrainingSection | None,
    rejected: list[LeftOut],
) -> Iterator[FigureTile]:
    left_out = sum(left.count for left in rejected)
    waiting = sum(reason.count for reason in sorted_.waiting)
    yield _tile(totals.images, "image", f"from {count(sources.sources, 'source')}")
    yield FigureTile(number(left_out), "left out", "each with its reason" if left_out else "")
    decided = f"{count(waiting, 'waits', 'wait')} for a decision" if waiting else "all decided"
    yield _tile(totals.samples, totals.unit, decided if totals.samples else "")
    classes_ = count(len(sorted_.rows), "class", "classes")
    yield FigureTile(number(sorted_.labelled), "labelled", f"in {classes_}")
    if run and run.test:
        judged = run.test.figures
        of = f"{number(judged.right_answers)} of {count(judged.count, 'picture')}"
        yield FigureTile(percent(judged.answer_accuracy), "right on test", of)


def _tile(value: int, noun: str, note: str) -> FigureTile:
    return FigureTile(number(value), noun if value == 1 else f"{noun}s", note)


def _band(sorted_: ClassesSection) -> list[SamplePreview]:
    """Return a row of pictures for the top: one of each class in turn."""
    rounds = zip_longest(*(row.strip for row in sorted_.rows))
    pictures = [shown for turn in rounds for shown in turn if shown and shown.thumbnail]
    return pictures[:BAND]


TEMPLATE = "report.html.jinja"

REPORT = "report.html"


def write_report(
    dataset: Dataset,
    target: Path | None = None,
    *,
    title: str | None = None,
    run_id: str | None = None,
) -> Path:
    """Write the report of a dataset and a run (the newest by default); its absolute path.

    `target` is `report.html` in the dataset by default, the title the dataset's name.
    Whatever is missing, from labels to a run, is left out with a word about it. Raises
    `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    target = (target or dataset.root / REPORT).absolute()
    title = title or dataset.name
    page = render_report(gather_report(dataset, title, run_id))
    write_atomic(target, as_bytes(page))
    return target


def render_report(report: DatasetReport) -> str:
    """Return the page. Everything from outside is escaped, in text and in attributes."""
    environment = templates("pipeline.report")
    environment.globals.update(splits=SPLITS, few=FEW)
    return environment.get_template(TEMPLATE).render(report=report)


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """Section 5, with section 6 in `test` where the run was judged."""

    run: str
    preset: str
    curves: list[tuple[str, Markup]]
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    changed: str
    course: str
    test: MainSection | None
    looks: EvaluationCounts | None


def gather_training(
    dataset: Dataset, run: str, metrics: RunMetrics, present: ClassesSection, thumbnails: Thumbnails
) -> TrainingSection:
    """Gather sections 5 and 6; `present` is the dataset as it is now."""
    judged = metrics.test
    return TrainingSection(
        run=run,
        preset=str(metrics.settings.get("preset", "unknown")),
        curves=list(draw_epoch_curves(metrics)),
        facts=list(_facts(metrics)),
        settings=[(key.replace("_", " "), _value(v)) for key, v in metrics.settings_used.items()],
        changed=_changed(dataset, metrics, present),
        course=metrics.course,
        test=build_main_section(dataset, thumbnails, "test", judged) if judged else None,
        looks=SplitEvaluations(dataset.db).get_for_run(run, "test"),
    )


def _facts(metrics: RunMetrics) -> Iterator[tuple[str, str]]:
    for split in SPLITS:
        if isinstance(size := metrics.data.get(split), int):
            yield f"{split} pictures", number(size)
    yield "classes", number(len(metrics.classes))
    yield "time", duration(metrics.seconds)
    if speeds := [e.images_per_second for e in metrics.epochs if e.images_per_second > 0]:
        yield "speed", f"{sum(speeds) / len(speeds):,.0f} pictures/s"
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


def _changed(dataset: Dataset, metrics: RunMetrics, present: ClassesSection) -> str:
    if (then := metrics.data.get("splits")) is not None:
        same = then == dataset.samples.hash_splits()
        return "" if same else "Labels or splits have changed since this run."
    return _other_counts(metrics, present)


def _other_counts(metrics: RunMetrics, present: ClassesSection) -> str:
    """Return the same of an older run, of which nothing but the sizes of its splits is known."""
    then = {split: metrics.data.get(split) for split in SPLITS}
    same_classes = sorted(metrics.classes) == sorted(row.name for row in present.rows)
    if then == present.totals and same_classes:
        return ""
    before = ", ".join(f"{then[split]} {split}" for split in SPLITS)
    now = ", ".join(f"{present.totals[split]} {split}" for split in SPLITS)
    return f"The dataset has changed since this run: it saw {before}; now there are {now}."
