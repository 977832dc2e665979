"""Filling the template: one HTML file that loads nothing from anywhere."""

from __future__ import annotations

from pathlib import Path

from baseline.report.gather import Report, gather
from gleanset import Dataset
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import as_bytes, templates

REPORT = "report.html"


def write_report(
    dataset: Dataset, run_id: str, *, target: Path | None = None, scratch: Path | None = None
) -> Path:
    """Write `runs/<id>/report.html`, or `target`; its absolute path.

    Raises `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    folder = dataset.root / "runs" / run_id
    path = (target or folder / REPORT).absolute()
    write_atomic(path, as_bytes(render(gather(dataset, folder))), scratch=scratch)
    return path


def render(report: Report) -> str:
    """The page. Everything from outside is escaped, in text and in attributes."""
    return templates("baseline.report").get_template("page.html.jinja").render(report=report)
