"""The training run that the report shows: the one that was named, or the newest."""

from __future__ import annotations

from pathlib import Path

from baseline.report.read import Metrics, read_metrics
from gleanset import Dataset
from gleanset.errors import InputUnusable

ROOM = "baseline"


def read_run(dataset: Dataset, run_id: str | None) -> tuple[str, Metrics] | None:
    """The id of a run and its figures; None where nothing was trained yet.

    Raises `InputUnusable` for a run that is not there or whose figures cannot be read.
    """
    newest = None if run_id else dataset.runs.newest(ROOM)
    name = run_id or (newest.id if newest else None)
    if name is None:
        return None
    if Path(name).name != name:
        raise InputUnusable(f"{name!r} is not the name of a run", "see: gleanset list runs")
    return name, read_metrics(dataset.root / "runs" / name)
