"""What a run learned, ready for the page: curves, settings, matrix, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from baseline.judge.report.page import MainSection, epoch_curves, main_section
from baseline.judge.run_figures import RunFigures
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import duration, figure, number, percent
from gleanset.records import SPLITS
from pipeline.report.classes import ClassesSection


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
    dataset: Dataset, run: str, metrics: RunFigures, present: ClassesSection, thumbnails: Thumbnails
) -> TrainingSection:
    """Gather sections 5 and 6; `present` is the dataset as it is now."""
    judged = metrics.test
    return TrainingSection(
        run=run,
        preset=str(metrics.settings.get("preset", "unknown")),
        curves=list(epoch_curves(metrics)),
        facts=list(_facts(metrics)),
        settings=[(key.replace("_", " "), _value(v)) for key, v in metrics.settings_used.items()],
        changed=_changed(dataset, metrics, present),
        course=metrics.course,
        test=main_section(dataset, thumbnails, "test", judged) if judged else None,
        looks=SplitEvaluations(dataset.db).of_run(run, "test"),
    )


def _facts(metrics: RunFigures) -> Iterator[tuple[str, str]]:
    """Yield the run in a few figures."""
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


def _changed(dataset: Dataset, metrics: RunFigures, present: ClassesSection) -> str:
    """Says so when the dataset is no longer the one the run saw; else empty."""
    if (then := metrics.data.get("splits")) is not None:
        same = then == dataset.samples.fingerprint_of_splits()
        return "" if same else "Labels or splits have changed since this run."
    return _other_counts(metrics, present)


def _other_counts(metrics: RunFigures, present: ClassesSection) -> str:
    """Return the same of an older run, of which nothing but the sizes of its splits is known."""
    then = {split: metrics.data.get(split) for split in SPLITS}
    same_classes = sorted(metrics.classes) == sorted(row.name for row in present.rows)
    if then == present.totals and same_classes:
        return ""
    before = ", ".join(f"{then[split]} {split}" for split in SPLITS)
    now = ", ".join(f"{present.totals[split]} {split}" for split in SPLITS)
    return f"The dataset has changed since this run: it saw {before}; now there are {now}."
