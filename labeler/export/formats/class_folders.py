"""A tree of class folders, which nearly every tool reads; with a table in CSV, or without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import described, with_folds, write_sheet


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """CSV: `samples.csv` beside the tree, one row a picture."""
    folds = with_folds(items)
    rows = [
        {"path": item.path, "split": item.sample.split, **described(item, folds)} for item in items
    ]
    write_sheet(folder / "samples.csv", list(rows[0]), rows)


IMAGEFOLDER = ExportFormat(
    pictures="class folders",
    about="train|val|test/<class>/*",
    reading='from torchvision.datasets import ImageFolder\n\n{0} = ImageFolder("{2}")',
    may_have_no_split=True,
)
CSV = ExportFormat(
    pictures="class folders",
    about="the same with a table",
    reading='import pandas\n\nrows = pandas.read_csv("samples.csv")\n'
    '{0} = rows[rows["split"] == "{0}"]',
    says_paths="`samples.csv`",
    write=write_csv,
    may_have_no_split=True,
)
