"""What is told of each sample of an export, in whatever format, and the table of licences."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gleanset.files.parquet import Column
from gleanset.files.shards import dtype_of
from gleanset.records import SPLITS
from labeler.export.item import ExportItem

LICENCES = "LICENSES.csv"
LICENCE = (
    "sha256",
    "author",
    "licence",
    "source",
    "page",
    "title",
    "changes",
    "original_path",
    "label",
    "split",
)
"""What a manifest and LICENSES.csv say of each picture, besides the name of its file."""


def by_split(items: Sequence[ExportItem]) -> Iterator[tuple[str, list[ExportItem]]]:
    """Yield the splits that have images, each with its items by path and sample."""
    for split in SPLITS:
        chosen = [item for item in items if item.sample.split == split]
        if chosen:
            yield split, sorted(chosen, key=lambda item: (item.path, item.sample.key))


def class_numbers(items: Sequence[ExportItem], first: int = 0) -> dict[str, int]:
    """Return the classes by name, each with its number."""
    labels = sorted({str(item.sample.label) for item in items})
    return {label: number for number, label in enumerate(labels, start=first)}


def with_folds(items: Sequence[ExportItem]) -> bool:
    """Return whether the samples were split into folds."""
    return any(item.sample.fold for item in items)


def told_of(item: ExportItem, classes: Mapping[str, int], folds: bool) -> dict[str, object]:
    """Return all that is told of a sample, besides what its picture's bytes decide."""
    return {
        **described(item, folds),
        "title": item.origin.title or "",
        "split": str(item.sample.split),
        "class": classes[str(item.sample.label)],
    }


def described(item: ExportItem, folds: bool) -> dict[str, str | float]:
    """Return the row of an image; with `folds` its fold from 1 (0: none)."""
    return {**_row(item), "fold": item.sample.fold or 0} if folds else _row(item)


def _row(item: ExportItem) -> dict[str, str | float]:
    """Return what a row says of a picture, besides its place.

    Nothing is null: readers take a column of nulls alone for one of another type.
    """
    origin, box = item.origin, item.sample.box
    return {
        "label": str(item.sample.label),
        "sample": item.sample.key,
        "image_sha256": item.image.sha256,
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "moment": item.sample.moment or "",
        "original_path": item.original_path,
        "source": origin.source,
        "page": origin.page_url or origin.url or "",
        "author": origin.author or "",
        "licence": origin.licence or "",
        "changes": item.changes,
        "weight": item.weight,
    }


BESIDE: Mapping[str, Column] = {"file_name": "string"}
"""A picture by its path from the table on; `datasets` calls the column `image`."""


def table_row(facts: Mapping[str, object], *more: str) -> dict[str, object]:
    """Return what is told of a sample as columns: the class by its number, its name beside it."""
    named = {"label": facts["class"], "class": facts["label"]}
    rest = {name: value for name, value in facts.items() if name not in named}
    return named | rest | dict.fromkeys(more, "")


def feature_lines(row: Mapping[str, object], classes: Sequence[str]) -> Iterator[str]:
    """Yield the columns of such rows as YAML, as the front matter of a card has them."""
    yield from ("dataset_info:", "  features:", "  - name: image", "    dtype: image")
    for name, value in row.items():
        yield f"  - name: {name}"
        if name == "label":
            yield from ("    dtype:", "      class_label:", "        names:")
            for number, label in enumerate(classes):
                yield f"          '{number}': {json.dumps(label, ensure_ascii=False)}"
        else:
            yield f"    dtype: {dtype_of(value)}"


def write_licences(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `LICENSES.csv`: author, licence, origin and changes of each file."""
    numbers = class_numbers(items)
    labels: dict[str, set[str]] = defaultdict(set)
    for item in items:
        labels[item.path].add(str(item.sample.label))
    rows = (
        {"file": path, **told_of(item, numbers, folds=False), "label": ", ".join(sorted(inside))}
        for path, item in sorted({item.path: item for item in items}.items())
        if (inside := labels[path])
    )
    write_sheet(folder / LICENCES, ("file", *LICENCE[1:]), rows)  # without the hash


def write_text(path: Path, text: str) -> None:
    """Write a text, the same bytes on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV; no cell is read as a formula by spreadsheets."""
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(columns)
        sheet.writerows([no_formula(row[column]) for column in columns] for row in rows)


def no_formula(value: object) -> object:
    """Return text that a spreadsheet does not take for a formula; numbers as they are."""
    return f"'{value}" if isinstance(value, str) and _is_risky(value) else value


def from_cell(text: str) -> str:
    """Return the text that `no_formula` made a cell of."""
    return text[1:] if text[:1] == "'" and _is_risky(text[1:]) else text


def _is_risky(text: str) -> bool:
    return text.lstrip("'")[:1] in tuple("=+-@\t\r")
