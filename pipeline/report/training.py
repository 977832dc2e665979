"""What a run learned, ready for the page: curves, settings, matrix, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from baseline.judge.metrics import SplitFigures
from baseline.judge.run_figures import RunFigures
from curation.snapshots import snapshot_words
from gleanset import Dataset
from gleanset.binomial import Interval
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.html.charts import Line, curves, interval_bar
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count, duration, figure, number, percent
from pipeline.report.classes import SPLITS, ClassesSection

WORST = 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake as a picture."""

    thumbnail: Thumbnail | None
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class TestSection:
    """Section 6: the one evaluation on test."""

    judged: SplitFigures
    interval: Interval
    bar: Markup
    looks: EvaluationCounts | None
    errors: list[Mistake]

    @property
    def wrong(self) -> int:
        """How many pictures were not recognised."""
        return self.judged.count - self.judged.right


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """Section 5, with section 6 in `test` where the run was judged."""

    run: str
    preset: str
    loss: Markup | None
    accuracy: Markup | None
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    changed: str
    course: str
    test: TestSection | None


def gather_training(
    dataset: Dataset, run: str, metrics: RunFigures, present: ClassesSection, thumbnails: Thumbnails
) -> TrainingSection:
    """Gather sections 5 and 6; `present` is the dataset as it is now."""
    loss, accuracy = _charts(metrics)
    judged = metrics.test
    return TrainingSection(
        run=run,
        preset=str(metrics.settings.get("preset", "unknown")),
        loss=loss,
        accuracy=accuracy,
        facts=[*_facts(metrics), *_snapshot(dataset, run)],
        settings=[(key.replace("_", " "), _value(v)) for key, v in metrics.settings_used.items()],
        changed=_changed(dataset, metrics, present),
        course=metrics.course,
        test=_test(dataset, run, judged, thumbnails) if judged else None,
    )


def _charts(metrics: RunFigures) -> tuple[Markup | None, Markup | None]:
    epochs, best = metrics.epochs, metrics.best_epoch
    loss = [
        Line("train", "train", [(e.epoch, e.train_loss) for e in epochs]),
        Line("validation", "val", [(e.epoch, e.val_loss) for e in epochs]),
    ]
    accuracy = [
        Line("train", "train", [(e.epoch, e.train_accuracy) for e in epochs]),
        Line("validation", "val", [(e.epoch, e.val_accuracy) for e in epochs]),
    ]
    return (
        curves("Loss by epoch, lower is better", loss, best=best),
        curves("Accuracy by epoch, higher is better", accuracy, best=best, as_percent=True),
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
        yield "validation accuracy", percent(metrics.val.accuracy)
        yield "validation log loss", figure(metrics.val.log_loss)


def _snapshot(dataset: Dataset, run: str) -> Iterator[tuple[str, str]]:
    known = dataset.runs.get(run)
    if known is not None and known.snapshot:
        yield "snapshot", snapshot_words(known.snapshot)


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


def _test(dataset: Dataset, run: str, judged: SplitFigures, thumbnails: Thumbnails) -> TestSection:
    interval = judged.interval
    words = (
        f"{percent(judged.accuracy)} of {count(judged.count, 'test picture')}, 95 % interval "
        f"{percent(interval.low)} to {percent(interval.high)}; always answering the commonest "
        f"class: {percent(judged.commonest_class)}"
    )
    return TestSection(
        judged,
        interval,
        interval_bar(judged.accuracy, *interval, judged.commonest_class, words),
        SplitEvaluations(dataset.db).of_run(run, "test"),
        list(_errors(dataset, judged, thumbnails)),
    )


def _errors(dataset: Dataset, judged: SplitFigures, thumbnails: Thumbnails) -> Iterator[Mistake]:
    for wrong in judged.mistakes[:WORST]:
        sample = dataset.samples.get(wrong.key)
        picture = thumbnails.of_sample(sample) if sample else None
        yield Mistake(picture, wrong.true, wrong.predicted, wrong.confidence)
