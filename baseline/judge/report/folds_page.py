"""The report of a cross-validation: all held-out answers together, and fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup

from baseline.data.runs import METRICS
from baseline.judge.report.charts import confused_pairs, confusion_rows
from baseline.judge.report.page import (
    REPORT,
    JudgedPicture,
    MainSection,
    SplitSection,
    doubted_pictures,
    mistaken_pictures,
)
from baseline.judge.report.run_files import SplitFigures
from curation.snapshots import snapshot_words
from gleanset import Dataset
from gleanset.binomial import Interval
from gleanset.db.runs import Doubts
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import interval_bar
from gleanset.html.fill import as_bytes, templates
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import percent

HELD_OUT = "the held-out folds"


@dataclass(frozen=True, slots=True)
class FoldRow:
    """One fold: how many pictures of how many moments it held out, and how many were right."""

    count: int
    moments: int
    seconds: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class FoldsSummary:
    """As `baseline.train.fold_run` keeps it."""

    folds: list[FoldRow]
    judged: int
    moments: int
    not_judged: int
    test: int
    accuracy: float
    at_least: float
    at_most: float
    spread: float
    doubts: int


@dataclass(frozen=True, slots=True)
class FoldMetrics:
    """The content of `metrics.json`."""

    classes: list[str]
    settings: dict[str, Any]
    summary: FoldsSummary
    held_out: SplitFigures


@dataclass(frozen=True, slots=True)
class FoldsReport:
    """The content of the page."""

    run: str
    dataset: str
    snapshot: str
    metrics: FoldMetrics
    main: MainSection
    bars: list[Markup]
    doubts: list[JudgedPicture]


def write_folds_report(dataset: Dataset, run_id: str, *, scratch: Path | None = None) -> Path:
    """Write `runs/<id>/report.html`; its absolute path.

    Raises `InputUnusable` where the run cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.run_at_hand(run_id)
    path = (folder / REPORT).absolute()
    report = _gather(dataset, folder)
    page = templates("baseline.judge.report").get_template("folds.html.jinja").render(report=report)
    write_atomic(path, as_bytes(page), scratch=scratch)
    return path


def _gather(dataset: Dataset, folder: Path) -> FoldsReport:
    metrics, thumbnails = _read(folder), Thumbnails(dataset)
    known = dataset.runs.get(folder.name)
    found = [doubt for doubt in Doubts(dataset.db).each() if doubt.run == folder.name]
    return FoldsReport(
        run=folder.name,
        dataset=dataset.name,
        snapshot=snapshot_words(known.snapshot) if known else "",
        metrics=metrics,
        main=_main(dataset, metrics, thumbnails),
        bars=[_bar(row, metrics) for row in metrics.summary.folds],
        doubts=doubted_pictures(dataset, thumbnails, found),
    )


def _read(folder: Path) -> FoldMetrics:
    path = folder / METRICS
    try:
        return msgspec.json.decode(path.read_bytes(), type=FoldMetrics)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}", "measure again: baseline train --folds K --again"
        ) from error


def _main(dataset: Dataset, metrics: FoldMetrics, thumbnails: Thumbnails) -> MainSection:
    figures, told = metrics.held_out, metrics.summary
    interval = Interval(told.at_least, told.at_most)
    words = (
        f"{percent(figures.accuracy)} right, 95 % interval {percent(interval.low)} to "
        f"{percent(interval.high)}; commonest class {percent(figures.commonest_class)}"
    )
    return MainSection(
        split=SplitSection(HELD_OUT, figures, interval, None),
        bar=interval_bar(figures.accuracy, *interval, figures.commonest_class, words),
        matrix=confusion_rows(figures.confusion, metrics.classes),
        confused=confused_pairs(figures.confusion, metrics.classes),
        mistakes=mistaken_pictures(dataset, thumbnails, figures),
        before=None,
        after=None,
        risk=None,
    )


def _bar(row: FoldRow, metrics: FoldMetrics) -> Markup:
    """Return the share of one fold, with that of all beside it."""
    if row.accuracy is None:
        return Markup("")
    words = f"{percent(row.accuracy)} right"
    return interval_bar(row.accuracy, row.accuracy, row.accuracy, metrics.summary.accuracy, words)
