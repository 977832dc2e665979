"""Filling the template: one HTML file that loads nothing from anywhere."""

from __future__ import annotations

from pathlib import Path

from gleanset import Dataset
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import as_bytes, templates
from pipeline.report.classes import FEW, SPLITS
from pipeline.report.gather import Report, gather

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
    title = title or dataset.settings.name or dataset.root.absolute().name
    page = render(gather(dataset, title, run_id))
    write_atomic(target, as_bytes(page))
    return target


def render(report: Report) -> str:
    """The page. Everything from outside is escaped, in text and in attributes."""
    environment = templates("pipeline.report")
    environment.globals.update(splits=SPLITS, few=FEW)
    return environment.get_template(TEMPLATE).render(report=report)
