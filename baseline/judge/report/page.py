"""The report of a run: gathered as plain values, then laid out as one page that loads nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from baseline.judge.decision_rule import DecisionRule, load_decision_rule
from baseline.judge.report.charts import (
    ConfusedPair,
    ConfusionRow,
    confused_pairs,
    confusion_rows,
    diagram,
    reliability,
    risk,
    roc,
)
from baseline.judge.report.run_files import (
    LayerRow,
    Metrics,
    SplitFigures,
    read_layers,
    read_metrics,
    weights_size,
)
from baseline.judge.unknown_figures import OpenSetResult, load_open_set
from baseline.train.curve_figures import LearningCurve
from baseline.train.curve_files import drawn_curve, load_curve
from baseline.use.crops import load_crops
from curation.snapshots import snapshot_words
from gleanset import Dataset
from gleanset.binomial import UNKNOWN, Interval
from gleanset.db.faces import CropMethod
from gleanset.db.runs import Doubt, Doubts, EvaluationCounts, SplitEvaluations
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import Line, curves, interval_bar
from gleanset.html.fill import as_bytes, templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count, percent

REPORT = "report.html"
WORST = 20
DOUBTED = 40


@dataclass(frozen=True, slots=True)
class JudgedPicture:
    """A picture with two names of classes and a probability."""

    thumbnail: Thumbnail | None
    given: str
    other: str
    confidence: float


@dataclass(frozen=True, slots=True)
class SplitSection:
    """One split, ready to be laid out; `interval` is that of its accuracy."""

    name: str
    figures: SplitFigures
    interval: Interval
    gap: float | None


@dataclass(frozen=True, slots=True)
class MainSection:
    """The split that the report is about: test, or else val."""

    split: SplitSection
    bar: Markup
    matrix: list[ConfusionRow]
    confused: list[ConfusedPair]
    mistakes: list[JudgedPicture]
    before: Markup | None
    after: Markup | None
    risk: Markup | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """The content of the page."""

    run: str
    dataset: str
    snapshot: str
    metrics: Metrics
    summary: str
    splits: list[SplitSection]
    main: MainSection | None
    looks: EvaluationCounts | None
    answers: DecisionRule
    curves: list[tuple[str, Markup]]
    roc: Markup | None
    doubts: list[JudgedPicture]
    doubted: int
    searched: bool
    crops: tuple[CropMethod, ...] | None
    open_set: OpenSetResult | None
    layers: list[LayerRow]
    diagram: Markup | None
    size: int | None
    learning: LearningCurve | None = None
    learning_picture: Markup | None = None


def write_report(
    dataset: Dataset, run_id: str, *, target: Path | None = None, scratch: Path | None = None
) -> Path:
    """Write `runs/<id>/report.html`, or `target`; its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.run_at_hand(run_id)
    path = (target or folder / REPORT).absolute()
    write_atomic(path, as_bytes(render(gather(dataset, folder))), scratch=scratch)
    return path


def render(report: RunReport) -> str:
    """Fill the template. Everything from outside is escaped, in text and in attributes."""
    return templates("baseline.judge.report").get_template("page.html.jinja").render(report=report)


def gather(dataset: Dataset, folder: Path) -> RunReport:
    """Read all that the report of the run in `folder` shows. Raises `InputUnusable`."""
    metrics, thumbnails = read_metrics(folder), Thumbnails(dataset)
    layers, answers = read_layers(folder), load_decision_rule(folder)
    splits = [_split(name, found, metrics) for name, found in metrics.splits.items()]
    told = next((one for one in reversed(splits) if one.name != "train"), None)
    doubts = [doubt for doubt in Doubts(dataset.db).each() if doubt.run == folder.name]
    learning = load_curve(folder)
    known = dataset.runs.get(folder.name)
    side, colours = metrics.settings.get("size", "?"), metrics.settings.get("colour", "rgb")
    return RunReport(
        run=folder.name,
        dataset=dataset.name,
        snapshot=snapshot_words(known.snapshot) if known else "",
        metrics=metrics,
        summary=_summary(metrics, told),
        splits=splits,
        main=_main(dataset, metrics, told, answers, thumbnails) if told else None,
        looks=_looks(dataset, folder.name),
        answers=answers,
        curves=list(_curves(metrics)),
        roc=_roc(metrics.retrieval),
        doubts=doubted_pictures(dataset, thumbnails, doubts),
        doubted=len(doubts),
        crops=load_crops(folder),
        searched=SplitEvaluations(dataset.db).searched_doubts(folder.name),
        open_set=load_open_set(folder),
        layers=layers,
        diagram=diagram(layers, f"{side} × {side} {colours}"),
        size=weights_size(folder),
        learning=learning,
        learning_picture=_inline(drawn_curve(learning), learning.words) if learning else None,
    )


def _inline(png: bytes, words: str) -> Markup:
    """Return a picture inside of the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return Markup('<img class="curve-picture" src="{}" alt="{}">').format(source, words)


def _summary(metrics: Metrics, told: SplitSection | None) -> str:
    """Return the whole story in one sentence."""
    preset = metrics.settings.get("preset", "?")
    start = f"Preset “{preset}”, {count(len(metrics.classes), 'class', 'classes')}"
    if told is None:
        return f"{start}: there was no picture to judge it on."
    low, high = told.interval
    return (
        f"{start}: {percent(told.figures.accuracy)} of {count(told.figures.count, 'picture')} of "
        f"{told.name} right, 95 % interval {percent(low)} to {percent(high)}; always naming the "
        f"commonest class gets {percent(told.figures.commonest_class)}."
    )


def _split(name: str, found: SplitFigures, metrics: Metrics) -> SplitSection:
    given = found.intervals.get("accuracy")
    interval = Interval(*given) if given else UNKNOWN
    return SplitSection(name, found, interval, metrics.gap.get(name))


def _looks(dataset: Dataset, run: str) -> EvaluationCounts | None:
    """Return all looks at test up to now at what this run was judged on; None where it was not."""
    return SplitEvaluations(dataset.db).of_run(run, "test")


def _main(
    dataset: Dataset,
    metrics: Metrics,
    told: SplitSection,
    answers: DecisionRule,
    thumbnails: Thumbnails,
) -> MainSection:
    found = told.figures
    words = (
        f"{percent(found.accuracy)} right, 95 % interval {percent(told.interval.low)} to "
        f"{percent(told.interval.high)}; commonest class {percent(found.commonest_class)}"
    )
    return MainSection(
        split=told,
        bar=interval_bar(found.accuracy, *told.interval, found.commonest_class, words),
        matrix=confusion_rows(found.confusion, metrics.classes),
        confused=confused_pairs(found.confusion, metrics.classes),
        mistakes=mistaken_pictures(dataset, thumbnails, found),
        before=reliability(found.uncalibrated.bins, "Before scaling")
        if found.uncalibrated
        else None,
        after=reliability(found.bins, "After scaling") if found.bins else None,
        risk=risk(found.risk, "Wrong answers by share answered", _chosen(answers))
        if found.risk
        else None,
    )


def _chosen(answers: DecisionRule) -> tuple[float, float] | None:
    """Return coverage and error rate on val of the threshold for "unknown"."""
    told: Any = answers.chosen.get("unknown")
    if not isinstance(told, dict) or not told.get("answered"):
        return None
    return float(told["coverage"]), float(told["errors"] / told["answered"])


def picture_of(dataset: Dataset, thumbnails: Thumbnails, key: str) -> Thumbnail | None:
    """Return the picture of a sample; None for one that is gone."""
    sample = dataset.samples.get(key)
    return thumbnails.of_sample(sample) if sample else None


def doubted_pictures(
    dataset: Dataset, thumbnails: Thumbnails, doubts: Sequence[Doubt]
) -> list[JudgedPicture]:
    """Return the clearest labels in doubt, each with what it is thought to be."""
    return [
        JudgedPicture(
            picture_of(dataset, thumbnails, one.sample), one.given, one.suggested, one.confidence
        )
        for one in doubts[:DOUBTED]
    ]


def mistaken_pictures(
    dataset: Dataset, thumbnails: Thumbnails, figures: SplitFigures
) -> list[JudgedPicture]:
    """Return the surest mistakes, each with what it was taken for."""
    return [
        JudgedPicture(
            picture_of(dataset, thumbnails, one.key), one.true, one.predicted, one.confidence
        )
        for one in figures.mistakes[:WORST]
    ]


def _curves(metrics: Metrics) -> Iterator[tuple[str, Markup]]:
    epochs, best = metrics.epochs, metrics.best_epoch or None
    kinds: Iterable[tuple[str, str, bool]] = (
        ("Loss: lower is better", "loss", False),
        ("Accuracy: higher is better", "accuracy", True),
    )
    for words, figure, shares in kinds:
        lines = [
            Line(said, split, [(e.epoch, getattr(e, f"{split}_{figure}")) for e in epochs])
            for split, said in (("train", "train"), ("val", "validation"))
        ]
        if (drawn := curves(words, lines, best=best, as_percent=shares)) is not None:
            yield words, drawn


def _roc(retrieval: dict[str, Any] | None) -> Markup | None:
    told = (retrieval or {}).get("verification")
    points = [(float(x), float(y)) for x, y in told["curve"]] if told else []
    return roc(points, "Same class or not, by likeness of two pictures") if points else None
