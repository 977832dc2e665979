"""The facts of each sample that all formats write, and the table of licences."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gleanset.command_result import JsonDict
from gleanset.files.parquet import Column
from gleanset.files.shards import get_dtype
from gleanset.records import SPLITS
from labeler.export.item import ALL_SAMPLES, ExportItem, find_original_path

LICENCE_FILE = "LICENSES.csv"
CREDIT_COLUMNS = (
    "author",
    "licence",
    "source",
    "collection",
    "page",
    "title",
    "changes",
    "original_path",
)
LICENCE_COLUMNS = ("sha256", *CREDIT_COLUMNS, "label", "split")
"""Columns of `LICENSES.csv` and fields of a shard's manifest, in addition to the file name."""


def items_by_split(
    items: Sequence[ExportItem],
) -> Iterator[tuple[str, list[ExportItem]]]:
    """Yield each split that has samples, with its items sorted by path and sample.

    Without splits (`--no-split`) there is one, "all".
    """
    for split in (*SPLITS, ALL_SAMPLES):
        members = [item for item in items if item.split == split]
        if members:
            yield split, sorted(members, key=lambda item: (item.path, item.sample.key))


def number_classes(items: Sequence[ExportItem], first: int = 0) -> dict[str, int]:
    """Return the number of each class, in the order of their names."""
    labels = sorted({item.label for item in items})
    return {label: number for number, label in enumerate(labels, start=first)}


def sample_facts(item: ExportItem, classes: Mapping[str, int]) -> JsonDict:
    """Return all facts of a sample that do not depend on the bytes of its file."""
    return {
        **sample_row(item),
        "title": item.origin.title or "",
        "split": item.split,
        "class": classes[item.label],
    }


def sample_row(item: ExportItem) -> dict[str, str | float]:
    """Return the row of a sample without its path.

    No value is null, because readers infer another type for a column of nulls.
    """
    origin = item.origin
    box = item.sample.box
    return {
        "label": item.label,
        "sample": item.sample.key,
        "image_sha256": item.image.sha256,
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "split_group": item.sample.split_group or "",
        "original_path": find_original_path(item.image.origins),
        "source": origin.source,
        "collection": origin.collection or "",
        "page": origin.page_url or origin.url or "",
        "author": origin.author or "",
        "licence": origin.licence or "",
        "changes": item.changes,
    }


PATH_COLUMN: Mapping[str, Column] = {"file_name": "string"}
"""The path of an image relative to the table; `datasets` loads it as the column `image`."""


def make_table_row(facts: Mapping[str, object], *empty_columns: str) -> JsonDict:
    """Return facts as columns for `datasets`: `label` is the class number, `class` its name.

    `empty_columns` are added to an example row of which only the columns and types count.
    """
    # `label` and `class` come first in the table.
    row = {"label": facts["class"], "class": facts["label"]}
    for name, value in facts.items():
        row.setdefault(name, value)
    return row | dict.fromkeys(empty_columns, "")


def describe_features(
    row: Mapping[str, object], classes: Sequence[str]
) -> list[JsonDict]:
    """Return the features of table rows, for the front matter of a card."""
    dtypes: JsonDict = {"image": "image"}
    for name, value in row.items():
        dtypes[name] = get_dtype(value)
    # The column has the numbers of the classes, whose names are here.
    if "label" in row:
        names = {str(number): label for number, label in enumerate(classes)}
        dtypes["label"] = {"class_label": {"names": names}}
    return [{"name": name, "dtype": dtype} for name, dtype in dtypes.items()]


def write_licences(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `LICENSES.csv`: author, licence, source and changes of each file."""
    write_rows(
        folder / LICENCE_FILE, ("file", *LICENCE_COLUMNS[1:]), _iter_licence_rows(items)
    )


def _iter_licence_rows(items: Sequence[ExportItem]) -> Iterator[JsonDict]:
    """Yield a row for each file, with the classes of all its samples."""
    numbers = number_classes(items)
    labels: dict[str, set[str]] = defaultdict(set)
    file_items = {}
    for item in items:
        labels[item.path].add(item.label)
        file_items[item.path] = item

    for path, item in sorted(file_items.items()):
        yield {
            "file": path,
            **sample_facts(item, numbers),
            "label": ", ".join(sorted(labels[path])),
        }


def write_text(path: Path, text: str) -> None:
    """Write a text file with equal bytes on every operating system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_rows(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    """Write rows as CSV, with cells that spreadsheets do not take for formulas."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            [escape_formula(row[column]) for column in columns] for row in rows
        )


def escape_formula(value: object) -> object:
    """Prefix text that a spreadsheet would take for a formula with an apostrophe."""
    if isinstance(value, str) and _is_formula(value):
        return f"'{value}"
    return value


def unescape_formula(text: str) -> str:
    """Reverse `escape_formula`."""
    formula = text.removeprefix("'")
    return formula if _is_formula(formula) else text


def _is_formula(text: str) -> bool:
    # A formula with an apostrophe gets another one, so that `unescape_formula` is exact.
    return text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r"))
