"""Tables beside a tree of pictures: CSV, and Parquet with the pictures by their paths."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from gleanset.files.parquet import ROWS, parquet_file
from labeler.export.columns import BESIDE, table_columns, table_row
from labeler.export.plan import ExportItem
from labeler.export.rows import (
    by_split,
    class_numbers,
    described,
    no_formula,
    told_of,
    with_folds,
)

METADATA = "metadata.parquet"
"""What the ImageFolder of `datasets` looks for beside pictures."""


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """CSV: `samples.csv` beside the tree, one row a picture."""
    out = io.StringIO()
    folds = with_folds(items)
    columns = ("path", "split", *described(items[0], folds))
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(columns)
    for item in items:
        cells = (
            value if isinstance(value, int | float) else no_formula(value)
            for value in described(item, folds).values()
        )
        rows.writerow([item.path, item.sample.split, *cells])
    (folder / "samples.csv").write_text(out.getvalue(), encoding="utf-8")


def write_split_tables(folder: Path, items: Sequence[ExportItem]) -> None:
    """Hugging Face: one `metadata.parquet` a split, whose paths begin in its folder."""
    numbers, folds = class_numbers(items), with_folds(items)

    def row(item: ExportItem) -> dict[str, object]:
        return table_row(told_of(item, numbers, folds))

    columns, said = table_columns(BESIDE, row(items[0]), list(numbers))
    for split, chosen in by_split(items):
        with parquet_file(folder / split / METADATA, columns, said) as write:
            for first in range(0, len(chosen), ROWS):
                some = chosen[first : first + ROWS]
                write([{"file_name": i.path.removeprefix(f"{split}/")} | row(i) for i in some])
