"""The report of a run: `runs/<id>/report.html`, one file that can be mailed and opened offline.

It is made of what the run left in its folder and of the catalogue; torch is not needed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from baseline.judge.answers import ChosenThresholds, load_decision_rule
from baseline.judge.curve import drawn_curve, load_curve
from baseline.judge.metrics import SplitFigures
from baseline.judge.open_set import load_open_set
from baseline.judge.report.charts import reliability, risk, roc
from baseline.judge.run_figures import RunFigures, read_layers, read_metrics, weights_size
from baseline.use.crops import load_crops
from curation.snapshots import snapshot_words
from gleanset import Dataset
from gleanset.db.runs import Doubt, Doubts, SplitEvaluations
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
    label: str
    other: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MainSection:
    """The split that a report is about, with its drawings."""

    name: str
    figures: SplitFigures
    bar: Markup
    mistakes: list[JudgedPicture]
    before: Markup | None = None
    after: Markup | None = None
    risk: Markup | None = None


def write_report(
    dataset: Dataset, run_id: str, *, target: Path | None = None, scratch: Path | None = None
) -> Path:
    """Write `runs/<id>/report.html`, or `target`; its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.run_at_hand(run_id)
    path = (target or folder / REPORT).absolute()
    values = run_values(dataset, folder)
    return write_page(path, "page.html.jinja", values, scratch=scratch)


def write_page(
    path: Path, template: str, values: dict[str, object], *, scratch: Path | None = None
) -> Path:
    """Fill a template and write it; everything from outside is escaped, in text and attributes."""
    page = templates("baseline.judge.report").get_template(template).render(values)
    write_atomic(path, as_bytes(page), scratch=scratch)
    return path


def run_values(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Return all that the report of the run in `folder` shows. Raises `InputUnusable`."""
    metrics, thumbnails = read_metrics(folder), Thumbnails(dataset)
    answers = load_decision_rule(folder)
    judged = [(name, figures) for name, figures in metrics.splits.items() if name != "train"]
    main = main_section(dataset, thumbnails, *judged[-1], answers.chosen) if judged else None
    learning = load_curve(folder)
    looks = SplitEvaluations(dataset.db)
    pairs = metrics.retrieval and metrics.retrieval.verification
    return {
        **shared_values(dataset, folder, thumbnails),
        "m": metrics,
        "summary": _summary(metrics, main),
        "main": main,
        "looks": looks.of_run(folder.name, "test"),
        "answers": answers,
        "curves": list(epoch_curves(metrics)),
        "roc": roc(pairs.curve, "Same class or not, by likeness of two pictures")
        if pairs
        else None,
        "searched": looks.searched_doubts(folder.name),
        "crops": load_crops(folder),
        "open_set": load_open_set(folder),
        "layers": read_layers(folder),
        "size": weights_size(folder),
        "learning": learning,
        "learning_picture": _inline(drawn_curve(learning), learning.words) if learning else None,
    }


def shared_values(dataset: Dataset, folder: Path, thumbnails: Thumbnails) -> dict[str, object]:
    """Return what the reports of all kinds of runs show."""
    known = dataset.runs.get(folder.name)
    doubts = [doubt for doubt in Doubts(dataset.db).each() if doubt.run == folder.name]
    return {
        "run": folder.name,
        "dataset": dataset.name,
        "snapshot": snapshot_words(known.snapshot) if known else "",
        "doubts": _doubted_pictures(dataset, thumbnails, doubts[:DOUBTED]),
        "doubted": len(doubts),
    }


def main_section(
    dataset: Dataset,
    thumbnails: Thumbnails,
    name: str,
    figures: SplitFigures,
    chosen: ChosenThresholds | None = None,
) -> MainSection:
    """Return the section of a split; the dot among its risks is what was `chosen` on val."""
    interval, base = figures.interval, figures.commonest_class
    words = (
        f"{percent(figures.accuracy)} right, 95 % interval {percent(interval.low)} to "
        f"{percent(interval.high)}; commonest class {percent(base)}"
    )
    plain, unknown = figures.uncalibrated, chosen and chosen.unknown
    dot = (unknown.coverage, unknown.errors / unknown.answered) if unknown else None
    return MainSection(
        name=name,
        figures=figures,
        bar=interval_bar(figures.accuracy, *interval, base, words),
        mistakes=[
            JudgedPicture(
                _picture_of(dataset, thumbnails, slip.key),
                slip.true,
                slip.predicted,
                slip.confidence,
            )
            for slip in figures.mistakes[:WORST]
        ],
        before=reliability(plain.bins, "Before scaling") if plain else None,
        after=reliability(figures.bins, "After scaling") if figures.bins else None,
        risk=risk(figures.risk, "Wrong answers by share answered", dot) if figures.risk else None,
    )


def _doubted_pictures(
    dataset: Dataset, thumbnails: Thumbnails, doubts: Sequence[Doubt]
) -> list[JudgedPicture]:
    """Return the clearest labels in doubt, each with what it is thought to be."""
    return [
        JudgedPicture(
            _picture_of(dataset, thumbnails, doubt.sample),
            doubt.label,
            doubt.suggested,
            doubt.confidence,
        )
        for doubt in doubts
    ]


def _picture_of(dataset: Dataset, thumbnails: Thumbnails, key: str) -> Thumbnail | None:
    """Return the picture of a sample; None for one that is gone."""
    sample = dataset.samples.get(key)
    return thumbnails.of_sample(sample) if sample else None


def _inline(png: bytes, words: str) -> Markup:
    """Return a picture inside of the page."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return Markup('<img class="curve-picture" src="{}" alt="{}">').format(source, words)


def _summary(metrics: RunFigures, main: MainSection | None) -> str:
    """Return the whole story in one sentence."""
    preset = metrics.settings.get("preset", "?")
    start = f"Preset “{preset}”, {count(len(metrics.classes), 'class', 'classes')}"
    if main is None:
        return f"{start}: there was no picture to judge it on."
    low, high = main.figures.interval
    return (
        f"{start}: {percent(main.figures.accuracy)} of {count(main.figures.count, 'picture')} of "
        f"{main.name} right, 95 % interval {percent(low)} to {percent(high)}; always naming the "
        f"commonest class gets {percent(main.figures.commonest_class)}."
    )


def epoch_curves(metrics: RunFigures) -> Iterator[tuple[str, Markup]]:
    """Yield the curves of the epochs that are recorded, each after its heading."""
    epochs, best = metrics.epochs, metrics.best_epoch or None
    for words, figure, shares in (
        ("Loss: lower is better", "loss", False),
        ("Accuracy: higher is better", "accuracy", True),
    ):
        lines = [
            Line(name, split, [(e.epoch, getattr(e, f"{split}_{figure}")) for e in epochs])
            for split, name in (("train", "train"), ("val", "validation"))
        ]
        if (drawn := curves(words, lines, best=best, as_percent=shares)) is not None:
            yield words, drawn
