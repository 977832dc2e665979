"""The report of a cross-validation: all held-out answers together, and fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baseline.data.runs import METRICS, read_part
from baseline.judge.metrics import SplitFigures
from baseline.judge.report.page import REPORT, main_section, shared_values, write_page
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.html.charts import interval_bar
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import percent


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """What the network of one fold came to on the pictures it had not learnt from."""

    count: int
    moments: int
    accuracy: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class FoldsSummary:
    """What a cross-validation came to; the catalogue keeps it.

    `judged` pictures of so many `moments` were right with a share of `accuracy`, between `at_least`
    and `at_most` with 95 % confidence, and `spread` from fold to fold. `not_judged` could not be
    held out, `test` were not looked at.
    """

    folds: list[FoldFigures]
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
class FoldMetrics:
    """The content of `metrics.json`."""

    classes: list[str]
    settings: dict[str, Any]
    summary: FoldsSummary
    held_out: SplitFigures


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
        "main": main_section(dataset, thumbnails, "the held-out folds", metrics.held_out),
        "bars": [
            "" if share is None else interval_bar(share, share, share, overall, percent(share))
            for share in (row.accuracy for row in metrics.summary.folds)
        ],
    }
    return write_page((folder / REPORT).absolute(), "folds.html.jinja", values, scratch=scratch)


def _read(folder: Path) -> FoldMetrics:
    mend = "measure again: baseline train --folds K -o seed=1"
    metrics = read_part(folder, METRICS, FoldMetrics, mend)
    if metrics is None:
        raise InputUnusable(f"{folder / METRICS} is missing", mend)
    return metrics
