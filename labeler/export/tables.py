"""Tables beside a tree of pictures: CSV, and Parquet with the pictures by their paths."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gleanset.files.parquet import ROWS, parquet_file
from labeler.export.plan import ExportItem
from labeler.export.rows import (
    BESIDE,
    LICENCE,
    by_split,
    class_numbers,
    described,
    table_columns,
    table_row,
    told_of,
    with_folds,
)

LICENCES = "LICENSES.csv"
METADATA = "metadata.parquet"
"""What the ImageFolder of `datasets` looks for beside pictures."""


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """CSV: `samples.csv` beside the tree, one row a picture."""
    folds = with_folds(items)
    rows = [
        {"path": item.path, "split": item.sample.split, **described(item, folds)} for item in items
    ]
    write_sheet(folder / "samples.csv", list(rows[0]), rows)


def write_licences(folder: Path, items: Sequence[ExportItem]) -> None:
    """`LICENSES.csv`: one row a file, with who made it, on what terms, where it came from, and
    what was changed of it, as many licences ask to be told.
    """
    numbers = class_numbers(items)
    rows = (
        {"file": path, **told_of(item, numbers, folds=False)}
        for path, item in sorted({item.path: item for item in items}.items())
    )
    write_sheet(folder / LICENCES, ("file", *LICENCE[1:]), rows)  # without the hash


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV; no cell is what a spreadsheet takes for a formula."""
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(columns)
        sheet.writerows([no_formula(row[column]) for column in columns] for row in rows)


def no_formula(value: object) -> object:
    """Text from the net that a spreadsheet does not take for a formula; numbers as they are."""
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


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
