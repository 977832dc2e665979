"""The report of a run: `runs/<id>/report.html`, one file that can be mailed and opened offline.

It is made of what the run left in its folder and of the catalogue; torch is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from baseline.data.runs import METRICS, read_run_json
from baseline.evaluation.calibration import ConfidenceBin
from baseline.evaluation.decision_rule import load_decision_rule
from baseline.evaluation.metrics import SplitMetrics
from baseline.evaluation.run_metrics import RunMetrics, read_metrics, weights_size
from baseline.use.crops import load_crops
from gleanset import Dataset
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import Line, curves, interval_bar, tag
from gleanset.html.fill import as_bytes, templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count, percent

REPORT = "report.html"
MAX_MISTAKES = 20
MAX_ISSUES = 40


@dataclass(frozen=True, slots=True)
class ReportImage:
    """A picture with two names of classes and a probability."""

    thumbnail: Thumbnail | None
    label: str
    other: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MainSection:
    """The split that a report is about, with its drawings."""

    name: str
    figures: SplitMetrics
    bar: Markup
    mistakes: list[ReportImage]
    before: Markup | None = None
    after: Markup | None = None


def write_report(
    dataset: Dataset, run_id: str, *, target: Path | None = None, scratch: Path | None = None
) -> Path:
    """Write `runs/<id>/report.html`, or `target`; its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.runs_folder / run_id
    path = (target or folder / REPORT).absolute()
    values = collect_run_values(dataset, folder)
    return write_page(path, "page.html.jinja", values, scratch=scratch)


def write_page(
    path: Path, template: str, values: dict[str, object], *, scratch: Path | None = None
) -> Path:
    """Fill a template and write it; everything from outside is escaped, in text and attributes."""
    page = templates("baseline.evaluation.report").get_template(template).render(values)
    write_atomic(path, as_bytes(page), scratch=scratch)
    return path


def collect_run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return all that the report of the run in `folder` shows. Raises `InputUnusable`."""
    metrics, thumbnails = read_metrics(folder), Thumbnails(dataset)
    answers = load_decision_rule(folder)
    judged = [(name, figures) for name, figures in metrics.splits.items() if name != "train"]
    main = build_main_section(dataset, thumbnails, *judged[-1]) if judged else None
    looks = SplitEvaluations(dataset.db)
    return {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "summary": _summary(metrics, main),
        "main": main,
        "looks": looks.get_for_run(folder.name, "test"),
        "answers": answers,
        "curves": list(draw_epoch_curves(metrics)),
        "searched": looks.has_label_issue_search(folder.name),
        "crops": load_crops(folder),
        "size": weights_size(folder),
    }


def shared_values(dataset: Dataset, folder: Path, thumbnails: Thumbnails) -> dict[str, object]:
    """Return what the reports of all kinds of runs show."""
    doubts = [doubt for doubt in LabelIssues(dataset.db).iterate() if doubt.run == folder.name]
    return {
        "run": folder.name,
        "dataset": dataset.name,
        "doubts": _doubted_pictures(dataset, thumbnails, doubts[:MAX_ISSUES]),
        "doubted": len(doubts),
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
        f"{percent(figures.answer_accuracy)} right, 95 % interval {percent(interval.low)} to "
        f"{percent(interval.high)}; commonest class {percent(base)}"
    )
    plain = figures.uncalibrated
    return MainSection(
        name=name,
        figures=figures,
        bar=interval_bar(figures.answer_accuracy, *interval, base, words),
        mistakes=[
            ReportImage(
                _picture_of(dataset, thumbnails, slip.key),
                slip.true,
                slip.predicted,
                slip.confidence,
            )
            for slip in figures.mistakes[:MAX_MISTAKES]
        ],
        before=draw_reliability(plain.bins, "Before scaling") if plain else None,
        after=draw_reliability(figures.bins, "After scaling") if figures.bins else None,
    )


def _doubted_pictures(
    dataset: Dataset, thumbnails: Thumbnails, doubts: Sequence[LabelIssue]
) -> list[ReportImage]:
    return [
        ReportImage(
            _picture_of(dataset, thumbnails, doubt.sample),
            doubt.label,
            doubt.suggested,
            doubt.confidence,
        )
        for doubt in doubts
    ]


def _picture_of(dataset: Dataset, thumbnails: Thumbnails, key: str) -> Thumbnail | None:
    sample = dataset.samples.get(key)
    return thumbnails.of_sample(sample) if sample else None


def _summary(metrics: RunMetrics, main: MainSection | None) -> str:
    preset = metrics.settings.get("preset", "?")
    start = f"Preset “{preset}”, {count(len(metrics.classes), 'class', 'classes')}"
    if main is None:
        return f"{start}: there was no picture to judge it on."
    low, high = main.figures.answer_interval
    unknown = f" {main.figures.before_unknown}." if main.figures.before_unknown else ""
    of = f"{count(main.figures.count, 'picture')} of {main.name}"
    return (
        f"{start}: {percent(main.figures.answer_accuracy)} of {of} right, 95 % interval "
        f"{percent(low)} to {percent(high)}; always naming the commonest class gets "
        f"{percent(main.figures.commonest_class)}.{unknown}"
    )


def draw_epoch_curves(metrics: RunMetrics) -> Iterator[tuple[str, Markup]]:
    """Yield the curves of the epochs that are recorded, each after its heading."""
    epochs, kept = metrics.epochs, metrics.best_epoch or None
    for words, figure, shares in (
        ("Loss: lower is better", "loss", False),
        ("Accuracy: higher is better", "accuracy", True),
    ):
        lines = [
            Line(name, split, [(e.epoch, getattr(e, f"{split}_{figure}")) for e in epochs])
            for split, name in (("train", "train"), ("val", "validation"))
        ]
        if (drawn := curves(words, lines, kept=kept, as_percent=shares)) is not None:
            yield words, drawn


SIDE = 320
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 28, 42
_STEPS = 5

Points = Sequence[tuple[float, float]]


def x_at(value: float) -> float:
    """Return the horizontal place of 0..1."""
    return LEFT + value * (SIDE - LEFT - RIGHT)


def y_at(value: float) -> float:
    """Return the vertical place of 0..1."""
    return SIDE - BOTTOM - value * (SIDE - TOP - BOTTOM)


def draw_reliability(bins: Sequence[ConfidenceBin], words: str) -> Markup:
    """Draw bars of the share right by confidence, against the diagonal where both agree."""
    full = max((part.count for part in bins), default=0)
    bars = (_bar(part, full) for part in bins if part.count)
    diagonal = tag("line", x1=x_at(0), x2=x_at(1), y1=y_at(0), y2=y_at(1), class_="best")
    return _square(words, "confidence", "share right", [*bars, diagonal])


def _bar(part: ConfidenceBin, full: int) -> Markup:
    words = (
        f"confidence {percent(part.low)} to {percent(part.high)}: {part.count} answers, "
        f"{percent(part.accuracy)} right, {percent(part.confidence)} sure"
    )
    room = x_at(part.high) - x_at(part.low) - 2
    width = room * (0.25 + 0.75 * (part.count / full) ** 0.5)
    middle = (x_at(part.low) + x_at(part.high)) / 2
    height = max(y_at(0) - y_at(part.accuracy), 1.5)
    place = {"x": middle - width / 2, "y": y_at(0) - height, "width": width, "height": height}
    return tag("rect", tag("title", words), **place, rx=2, class_="reliable")


def _square(words: str, x: str, y: str, inside: Iterable[Markup]) -> Markup:
    names = (
        tag("text", x, x=SIDE - RIGHT, y=SIDE - 6, class_="tick end legend"),
        tag("text", y, x=4, y=14, class_="tick legend"),
    )
    parts = [tag("title", words), *_axes(), *inside, *names]
    return tag("svg", *parts, viewBox=f"0 0 {SIDE} {SIDE}", role="img", class_="chart square")


def _axes() -> Iterable[Markup]:
    for number in range(_STEPS + 1):
        share = number / _STEPS
        at, style = y_at(share), "grid" if number else "axis"
        yield tag("line", x1=LEFT, x2=SIDE - RIGHT, y1=at, y2=at, class_=style)
        yield tag("text", _percent(share), x=LEFT - 6, y=at + 4, class_="tick end")
        yield tag(
            "text", _percent(share), x=x_at(share), y=SIDE - BOTTOM + 16, class_="tick middle"
        )


def _percent(share: float) -> str:
    return f"{share * 100:.4g}"


@dataclass(frozen=True, slots=True)
class FoldScore:
    """What the network of one fold came to on the pictures it had not learnt from."""

    count: int
    moments: int
    accuracy: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class CrossValidationSummary:
    """What a cross-validation came to; the catalogue keeps it.

    `judged` pictures of so many `moments` were right with a share of `accuracy`, between `at_least`
    and `at_most` with 95 % confidence, and `spread` from fold to fold. `not_judged` could not be
    held out, `test` were not looked at.
    """

    folds: list[FoldScore]
    judged: int
    moments: int
    effective_moments: float
    not_judged: int
    test: int
    accuracy: float
    at_least: float
    at_most: float
    spread: float
    log_loss: float
    macro_f1: float
    doubts: int


@dataclass(frozen=True, slots=True)
class CrossValidationMetrics:
    """The content of `metrics.json`."""

    classes: list[str]
    settings: dict[str, Any]
    summary: CrossValidationSummary
    held_out: SplitMetrics


def write_folds_report(dataset: Dataset, run_id: str, *, scratch: Path | None = None) -> Path:
    """Write `runs/<id>/report.html`; its absolute path.

    Raises `InputUnusable` where the run cannot be read, `NotWritable` or `DiskFull`.
    """
    folder, thumbnails = dataset.runs_folder / run_id, Thumbnails(dataset)
    metrics = _read(folder)
    overall = metrics.summary.accuracy
    values = {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "main": build_main_section(dataset, thumbnails, "the held-out folds", metrics.held_out),
        "bars": [
            "" if share is None else interval_bar(share, share, share, overall, percent(share))
            for share in (row.accuracy for row in metrics.summary.folds)
        ],
    }
    return write_page((folder / REPORT).absolute(), "folds.html.jinja", values, scratch=scratch)


def _read(folder: Path) -> CrossValidationMetrics:
    fix = "measure again: baseline train --folds K -o seed=1"
    metrics = read_run_json(folder, METRICS, CrossValidationMetrics, fix)
    if metrics is None:
        raise InputUnusable(f"{folder / METRICS} is missing", fix)
    return metrics
