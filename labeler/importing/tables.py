"""Tables of labels: metadata files of Hugging Face, and CSV files next to images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.files.parquet import list_columns, read_texts
from gleanset.records import Rectangle
from labeler.importing.labelled import (
    Frame,
    ImageFinder,
    ImportTree,
    LabelledFiles,
    box_from_corners,
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
_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIZES = (
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_CATEGORIES = ("categories", "category", "labels", "label", "classes", "class", "names", "name")
_SAMPLED_ROWS = 50


def read_metadata(tree: ImportTree) -> LabelledFiles | None:
    """Read `metadata.jsonl`, else `metadata.parquet` files; None if there are none.

    An image with an unusable label is refused. Raises `InputUnusable` for a damaged file, and if no
    row has a label.
    """
    for name, read in (("metadata.jsonl", _read_jsonl), ("metadata.parquet", _read_parquet)):
        if files := [file for file in tree.iter_files(name) if file.name == name]:
            labelled = LabelledFiles("metadata", tree, f"not in {name}")
            finder = ImageFinder(tree)
            for file in files:
                labelled.tables.add(file)
                read(file, finder, labelled)
            if not (labelled.images or labelled.refused or labelled.missing):
                raise InputUnusable(
                    f"no row has a label: {files[0]}", "name the class of each image as label"
                )
            return labelled
    return None


def _read_jsonl(file: Path, finder: ImageFinder, labelled: LabelledFiles) -> None:
    """Read lines with `file_name` and `label`, or `objects` with boxes and categories."""
    for number, line in enumerate(read_text_file(file).split("\n"), start=1):
        if not line.strip():
            continue
        row = _json_object(line, f"{file}, line {number}")
        if not isinstance(name := row.get("file_name"), str):
            raise InputUnusable(f"{file}, line {number} has no file_name", "add it")
        if (image := _find_image(name, file, finder, labelled)) is None:
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


def _find_image(name: str, file: Path, finder: ImageFinder, labelled: LabelledFiles) -> Path | None:
    check_inside_folder(name, file.parent)
    if (image := finder.find_by_path(name, file)) is None:
        labelled.missing.append(name)
    return image


def _parse_single_class(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (label := parse_name(value)) is None:
        raise ValueError(f"{value!r} is not one class")
    return label


def _parse_objects(objects: Any) -> Iterator[tuple[Any, str]]:
    """Yield boxes with their classes, from parallel lists or a list of objects."""
    boxes: Any
    names: Any
    if isinstance(objects, list):
        rows = [row if isinstance(row, dict) else {} for row in objects]
        boxes, names = [row.get("bbox") for row in rows], [_category(row) for row in rows]
    else:
        row = objects if isinstance(objects, dict) else {}
        boxes, names = row.get("bbox"), _category(row)
    if not isinstance(boxes, list) or not isinstance(names, list) or len(boxes) != len(names):
        number = len(boxes) if isinstance(boxes, list) else 0
        categories = len(names) if isinstance(names, list) else 0
        raise ValueError(f"{number} boxes and {categories} categories")
    for box, name in zip(boxes, names, strict=True):
        yield box or (), _parse_single_class(name)


def _category(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in _CATEGORIES if name in row), None)


def _read_parquet(file: Path, finder: ImageFinder, labelled: LabelledFiles) -> None:
    """Read the columns `file_name` and `class` (else `label`)."""
    columns = {name for name, single in list_columns(file) if single}
    column = "class" if "class" in columns else "label"
    if missing := {"file_name", column} - columns:
        raise InputUnusable(f"{file} has no column {min(missing)}", "add it")
    for name, label in read_texts(file, ["file_name", column]):
        if name is None:
            raise InputUnusable(f"{file} has a row without file_name", "add it")
        if (image := _find_image(name, file, finder, labelled)) is not None:
            labelled.ignored[image] = "row without a label"
            if label:
                labelled.label(image, label)


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
        read_box, frame = _csv_box(row)
        labelled.annotate(image, label, read_box, frame)


def _csv_box(row: Mapping[str, str]) -> tuple[Callable[[], Rectangle | None], Frame | None]:
    for names, read in (
        *((n, box_from_corners) for n in _CORNERS),
        *((n, box_from_size) for n in _SIZES),
    ):
        if set(names) <= row.keys():
            return partial(read, [row[n] for n in names]), (
                None if "width" in names else parse_frame(row)
            )
    if row.get("bbox"):
        return partial(box_from_size, _NUMBER.findall(row["bbox"])), parse_frame(row)
    return (lambda: None), None


def _json_object(text: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputUnusable(f"{place} is not JSON: {error}", "see docs/export.md") from error
    if not isinstance(row, dict):
        raise InputUnusable(f"{place} is not a JSON object", "see docs/export.md")
    return row
