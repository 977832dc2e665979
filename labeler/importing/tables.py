"""Tables of labels: `metadata.jsonl` of Hugging Face, and CSV files next to images."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from labeler.importing.labelled import (
    ImageFinder,
    ImportTree,
    LabelledFiles,
    box_from_size,
    check_inside_folder,
    parse_frame,
    parse_name,
    read_text_file,
)

IMAGE_COLUMNS = (
    *("file_name", "filename", "file", "image", "image_path", "image_name", "img", "img_path"),
    *("path", "filepath", "file_path", "image_id", "imageid", "id", "name"),
)
LABEL_COLUMNS = (
    *("label", "class", "category", "class_name", "classname", "label_name", "species", "breed"),
    "target",
)
METADATA = "metadata.jsonl"
_BOX_COLUMNS = frozenset(("bbox", "bbox_x", "x", "x1", "xmin"))
_CATEGORIES = ("categories", "category", "labels", "label", "classes", "class", "names", "name")
_SAMPLED_ROWS = 50


def read_metadata(tree: ImportTree) -> LabelledFiles | None:
    """Read `metadata.jsonl` files; None if there are none.

    An image with an unusable label is refused. Raises `InputUnusable` for a damaged file, and if no
    row has a label.
    """
    files = [file for file in tree.iter_files(METADATA) if file.name == METADATA]
    if not files:
        return None
    labelled, finder = LabelledFiles("metadata", tree, f"not in {METADATA}"), ImageFinder(tree)
    for file in files:
        labelled.tables.add(file)
        _read_jsonl(file, finder, labelled)
    if not (labelled.images or labelled.refused or labelled.missing):
        raise InputUnusable(
            f"no row has a label: {files[0]}", "name the class of each image as label"
        )
    return labelled


def _read_jsonl(file: Path, finder: ImageFinder, labelled: LabelledFiles) -> None:
    """Read lines with `file_name` and `label`, or `objects` with boxes and categories."""
    for number, line in enumerate(read_text_file(file).split("\n"), start=1):
        if not line.strip():
            continue
        row = _json_object(line, f"{file}, line {number}")
        if not isinstance(name := row.get("file_name"), str):
            raise InputUnusable(f"{file}, line {number} has no file_name", "add it")
        check_inside_folder(name, file.parent)
        if (image := finder.find_by_path(name, file)) is None:
            labelled.missing.append(name)
            continue
        try:
            labels = _row_labels(row)
        except ValueError as error:
            detail = f"{file.name}, line {number}: {error}"
            labelled.refused[image] = ("unusable label", detail)
            continue
        labelled.ignored[image] = "row without a label"
        for values, label in labels:
            box = partial(box_from_size, values) if values is not None else lambda: None
            labelled.annotate(image, label, box, values and parse_frame(row))


def _row_labels(row: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return the boxes of a row with their classes; the box of a whole image is None."""
    if (objects := row.get("objects")) and (boxes := [*_parse_objects(objects)]):
        return boxes
    value = row.get("label")
    return [] if value in (None, "", []) else [(None, _parse_single_class(value))]


def _parse_single_class(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (label := parse_name(value)) is None:
        raise ValueError(f"{value!r} is not one class")
    return label


def _parse_objects(objects: Any) -> Iterator[tuple[Any, str]]:
    """Yield boxes with their classes, from parallel lists."""
    row = objects if isinstance(objects, dict) else {}
    boxes: Any = row.get("bbox")
    names: Any = next((row[name] for name in _CATEGORIES if name in row), None)
    if not isinstance(boxes, list) or not isinstance(names, list) or len(boxes) != len(names):
        number = len(boxes) if isinstance(boxes, list) else 0
        categories = len(names) if isinstance(names, list) else 0
        raise ValueError(f"{number} boxes and {categories} categories")
    for box, name in zip(boxes, names, strict=True):
        yield box or (), _parse_single_class(name)


def read_csv(tree: ImportTree) -> LabelledFiles | None:
    """Read CSV files with columns of images and classes; None if there are none."""
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
            "",
        )
        label_column = next((c for c in LABEL_COLUMNS if rows and c in rows[0]), "")
        if image_column and label_column:
            if boxes := _BOX_COLUMNS & rows[0].keys():
                raise InputUnusable(
                    f"boxes in a CSV file are not read: column {min(boxes)} of {file}",
                    "export COCO or YOLO from your tool",
                )
            labelled.tables.add(file)
            for row in rows:
                _read_row(row, (image_column, label_column), file, finder, labelled)
    return labelled if labelled.tables else None


def _csv_rows(file: Path) -> Iterator[dict[str, str]]:
    lines = read_text_file(file).splitlines(keepends=True)
    separator = max(",;\t", key=(lines[0] if lines else "").count)
    reader = csv.reader(lines, delimiter=separator)
    names = [name.strip().lower() for name in next(reader, [])]
    return (dict(zip(names, row, strict=False)) for row in reader)


def _read_row(
    row: Mapping[str, str],
    columns: tuple[str, str],
    file: Path,
    finder: ImageFinder,
    labelled: LabelledFiles,
) -> None:
    name, label = ((row.get(column) or "").strip() for column in columns)
    if not name:
        return
    if (image := finder.find_by_path(name, file)) is None:
        labelled.missing.append(name)
    elif not label:
        labelled.ignored[image] = "row without a label"
    else:
        labelled.label(image, label)


def _json_object(text: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputUnusable(f"{place} is not JSON: {error}", "see docs/export.md") from error
    if not isinstance(row, dict):
        raise InputUnusable(f"{place} is not a JSON object", "see docs/export.md")
    return row
