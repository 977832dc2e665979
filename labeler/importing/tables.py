"""Tables of labels: Hugging Face's metadata files, and CSV files beside images."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.files.parquet import read_texts, single_columns
from gleanset.records import Rectangle
from labeler.importing.labelled import (
    Frame,
    ImageFinder,
    ImportTree,
    LabelledFiles,
    class_text,
    corners,
    frame_of,
    rectangle,
    refuse_leading_out,
    text_of,
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
    """Read `metadata.jsonl`, else `metadata.parquet` files; None where there are none.

    A row whose label cannot be used refuses its image. Raises `InputUnusable` for a file that is
    damaged, and where no row has a label.
    """
    for name, read in (("metadata.jsonl", _jsonl), ("metadata.parquet", _parquet)):
        if files := [file for file in tree.ending(name) if file.name == name]:
            labelled = LabelledFiles("metadata", tree, f"not in {name}")
            finder = ImageFinder(tree)
            for file in files:
                labelled.tables.add(file)
                read(file, finder, labelled)
            if not (labelled.pictures or labelled.refused or labelled.missing):
                raise InputUnusable(
                    f"no row has a label: {files[0]}", "name the class of each image as label"
                )
            return labelled
    return None


def _jsonl(file: Path, finder: ImageFinder, labelled: LabelledFiles) -> None:
    """Read lines of `file_name` with `label`, or with `objects` of boxes and categories."""
    for number, line in enumerate(text_of(file).split("\n"), start=1):
        if not line.strip():
            continue
        row = _json_object(line, f"{file}, line {number}")
        if not isinstance(name := row.get("file_name"), str):
            raise InputUnusable(f"{file}, line {number} has no file_name", "add it")
        if (image := _image(name, file, finder, labelled)) is None:
            continue
        try:
            labels = _labels(row)
        except ValueError as error:
            detail = f"{file.name}, line {number}: {error}"
            labelled.refused[image] = ("unusable label", detail)
            continue
        labelled.ignored[image] = "row without a label"
        for values, label in labels:
            box = partial(_box, values)
            labelled.annotate(image, label, box, values and frame_of(row))


def _labels(row: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Return the boxes of a row, each with its class; None in the place of a box for the image."""
    if (objects := row.get("objects")) and (boxes := [*_objects(objects)]):
        return boxes
    value = row.get("label")
    return [] if value in (None, "", []) else [(None, _one_class(value))]


def _box(values: Any) -> Rectangle | None:
    return None if values is None else rectangle(values)


def _image(name: str, file: Path, finder: ImageFinder, labelled: LabelledFiles) -> Path | None:
    refuse_leading_out(name, file.parent)
    if (image := finder.named(name, file)) is None:
        labelled.missing.append(name)
    return image


def _one_class(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (label := class_text(value)) is None:
        raise ValueError(f"{value!r} is not one class")
    return label


def _objects(objects: Any) -> Iterator[tuple[Any, str]]:
    """Yield boxes with their classes, given as lists side by side or as a list of objects."""
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
        yield box or (), _one_class(name)


def _category(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in _CATEGORIES if name in row), None)


def _parquet(file: Path, finder: ImageFinder, labelled: LabelledFiles) -> None:
    """Read columns of `file_name`, and the name of the class in `class`, else `label`."""
    columns = {name for name, single in single_columns(file) if single}
    column = "class" if "class" in columns else "label"
    if missing := {"file_name", column} - columns:
        raise InputUnusable(f"{file} has no column {min(missing)}", "add it")
    for name, label in read_texts(file, ["file_name", column]):
        if name is None:
            raise InputUnusable(f"{file} has a row without file_name", "add it")
        if (image := _image(name, file, finder, labelled)) is not None:
            labelled.ignored[image] = "row without a label"
            if label:
                labelled.label(image, label)


def read_csv(tree: ImportTree) -> LabelledFiles | None:
    """Read CSV files that name images and their classes; None where there are none."""
    labelled = LabelledFiles("csv", tree, "not in a table")
    finder = ImageFinder(tree)
    for file in tree.ending(".csv", ".tsv"):
        try:
            rows = list(_csv_rows(file))
        except (InputUnusable, csv.Error):
            continue
        sampled = rows[:_SAMPLED_ROWS]
        image_column = next(
            (
                column
                for column in IMAGE_COLUMNS
                if any(finder.named(row.get(column) or "", file) for row in sampled)
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
    lines = text_of(file).splitlines(keepends=True)
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
    if (image := finder.named(name, file)) is None:
        labelled.missing.append(name)
    elif not label:
        labelled.ignored[image] = "row without a label"
    else:
        read_box, frame = _csv_box(row)
        labelled.annotate(image, label, read_box, frame)


def _csv_box(row: Mapping[str, str]) -> tuple[Callable[[], Rectangle | None], Frame | None]:
    for names, read in (*((n, corners) for n in _CORNERS), *((n, rectangle) for n in _SIZES)):
        if set(names) <= row.keys():
            return partial(read, [row[n] for n in names]), (
                None if "width" in names else frame_of(row)
            )
    if row.get("bbox"):
        return partial(rectangle, _NUMBER.findall(row["bbox"])), frame_of(row)
    return (lambda: None), None


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputUnusable(f"{where} is not JSON: {error}", "see docs/export.md") from error
    if not isinstance(row, dict):
        raise InputUnusable(f"{where} is not a JSON object", "see docs/export.md")
    return row
