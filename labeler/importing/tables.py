"""Tables of labels: `metadata.jsonl` of Hugging Face, and CSV files next to images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.files.names import escapes_folder
from labeler.importing.labelled import (
    ImageFinder,
    ImportTree,
    LabelledFiles,
    parse_name,
    read_text_file,
)

METADATA = "metadata.jsonl"
IMAGE_COLUMNS = (
    *("file_name", "filename", "file", "image", "image_path", "image_name", "img", "img_path"),
    *("path", "filepath", "file_path", "image_id", "imageid", "id", "name"),
)
LABEL_COLUMNS = (
    *("label", "class", "category", "class_name", "classname", "label_name", "species", "breed"),
    "target",
)
_BOX_COLUMNS = frozenset(("bbox", "bbox_x", "x", "x1", "xmin"))
_NO_BOXES = "export COCO or YOLO from your tool, whose boxes are read"
_SAMPLED_ROWS = 50


def read_metadata(tree: ImportTree) -> LabelledFiles | None:
    """Read `file_name` and `label` in `metadata.jsonl` files; None if there are none.

    An image with an unusable label is refused. Raises `InputUnusable` for a damaged file, and if no
    row has a label.
    """
    files = [file for file in tree.iter_files(METADATA) if file.name == METADATA]
    if not files:
        return None
    labelled, finder = LabelledFiles("metadata", tree, f"not in {METADATA}"), ImageFinder(tree)
    for file in files:
        labelled.tables.add(file)
        for number, row in _json_rows(file):
            _read_metadata_row(row, file, number, finder, labelled)
    if not (labelled.images or labelled.refused or labelled.missing):
        raise InputUnusable(
            f"no row has a label: {files[0]}", "name the class of each image as label"
        )
    return labelled


def _json_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(read_text_file(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputUnusable(
                f"{file}, line {number} is not JSON: {error}", "see docs/export.md"
            ) from error
        if not isinstance(row, dict):
            raise InputUnusable(f"{file}, line {number} is not a JSON object", "see docs/export.md")
        yield number, row


def _read_metadata_row(
    row: dict[str, Any], file: Path, number: int, finder: ImageFinder, labelled: LabelledFiles
) -> None:
    if not isinstance(name := row.get("file_name"), str):
        raise InputUnusable(f"{file}, line {number} has no file_name", "add it")
    if escapes_folder(name):
        raise InputUnusable(
            f"{name!r} leads out of {file.parent}", "use image paths relative to that folder"
        )
    if (image := finder.find_by_path(name, file)) is None:
        labelled.missing.append(name)
        return
    value = row.get("label")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if row.get("objects"):
        problem = f"boxes of objects are not read: {_NO_BOXES}"
    elif value in (None, "", []):
        labelled.ignored[image] = "row without a label"
        return
    elif (label := parse_name(value)) is not None:
        labelled.label(image, label)
        return
    else:
        problem = f"{value!r} is not one class"
    labelled.refused[image] = ("unusable label", f"{file.name}, line {number}: {problem}")


def read_csv(tree: ImportTree) -> LabelledFiles | None:
    """Read CSV files with columns of images and classes; None if there are none.

    Raises `InputUnusable` for a table with boxes.
    """
    labelled = LabelledFiles("csv", tree, "not in a table")
    finder = ImageFinder(tree)
    for file in tree.iter_files(".csv", ".tsv"):
        try:
            rows = list(_csv_rows(file))
        except (InputUnusable, csv.Error):
            continue
        sampled = rows[:_SAMPLED_ROWS]
        image_column = next(
            (
                column
                for column in IMAGE_COLUMNS
                if any(finder.find_by_path(row.get(column) or "", file) for row in sampled)
            ),
            None,
        )
        label_column = next((c for c in LABEL_COLUMNS if rows and c in rows[0]), None)
        if image_column is None or label_column is None:
            continue
        if boxes := _BOX_COLUMNS & rows[0].keys():
            raise InputUnusable(
                f"boxes in a CSV file are not read: column {min(boxes)} of {file}", _NO_BOXES
            )
        labelled.tables.add(file)
        for row in rows:
            name, label = row.get(image_column) or "", row.get(label_column) or ""
            _read_csv_row(name.strip(), label.strip(), file, finder, labelled)
    return labelled if labelled.tables else None


def _csv_rows(file: Path) -> Iterator[Mapping[str, str]]:
    lines = read_text_file(file).splitlines(keepends=True)
    separator = max(",;\t", key=(lines[0] if lines else "").count)
    reader = csv.reader(lines, delimiter=separator)
    names = [name.strip().lower() for name in next(reader, [])]
    return (dict(zip(names, row, strict=False)) for row in reader)


def _read_csv_row(
    name: str, label: str, file: Path, finder: ImageFinder, labelled: LabelledFiles
) -> None:
    if not name:
        return
    if (image := finder.find_by_path(name, file)) is None:
        labelled.missing.append(name)
    elif label:
        labelled.label(image, label)
    else:
        labelled.ignored[image] = "row without a label"
