"""Filling the template: one HTML file that loads nothing from anywhere."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from gleanset import Dataset
from gleanset.files.atomic import write_atomic
from pipeline.report import words
from pipeline.report.classes import FEW, SPLITS
from pipeline.report.gather import Report, gather

TEMPLATE = "report.html.jinja"

REPORT = "report.html"


def write_report(
    dataset: Dataset, target: Path | None = None, *, title: str | None = None,
    run_id: str | None = None,
) -> Path:  # fmt: skip
    """Write the report of a dataset and a run (the newest by default); its absolute path.

    `target` is `report.html` in the dataset by default, the title the dataset's name.
    Whatever is missing, from labels to a run, is left out with a word about it. Raises
    `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    target = (target or dataset.root / REPORT).absolute()
    title = title or dataset.settings.name or dataset.root.absolute().name
    page = render(gather(dataset, title, run_id))
    # Names of files may hold what UTF-8 cannot: it is spelled out, not lost.
    write_atomic(target, page.encode("utf-8", "backslashreplace"))
    return target


def render(report: Report) -> str:
    """The page. Everything from outside is escaped, in text and in attributes."""
    environment = Environment(
        loader=PackageLoader("pipeline.report", "."), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        number=words.number, percent=words.percent, figure=words.figure, shortened=words.shortened
    )
    environment.globals.update(count=words.count, splits=SPLITS, few=FEW)
    return environment.get_template(TEMPLATE).render(report=report)
