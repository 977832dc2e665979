"""Label files of other tools: COCO, YOLO, and tables: CSV and `metadata.jsonl` of Hugging Face.

COCO files have images, annotations and categories, in the layouts that tools write. YOLO has a text
file for each image, with class numbers and boxes as fractions of the image.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.records import Rectangle
from gleanset.source_table import find_delimiter
from labeler.importing.labelled import (
    FRACTIONS,
    Frame,
    ImportTree,
    LabelledFiles,
    SourceInfo,
    bounding_box,
    box_from_size,
    parse_frame,
    parse_name,
)

TABLES = ("images", "annotations", "categories")


_Image = tuple[Path, Frame | None]
"""An image of a COCO file with the size that its boxes refer to."""


def read_coco(tree: ImportTree) -> LabelledFiles | None:
    """Read the COCO files of a folder; None if there are none.

    Unusable annotations are dropped. Raises `InputUnusable` if no annotation is usable.
    """
    damaged: list[Path] = []
    documents = dict(_read_documents(tree, damaged))
    if not documents:
        return None
    labelled = LabelledFiles("coco", tree, "not in the COCO file", tables={*documents})
    for file, document in documents.items():
        _annotate(document, file, _read_images(document, file, labelled), labelled)
    if not labelled.images:
        reasons = ", ".join(sorted({reason for _, reason in labelled.dropped}))
        missing = (
            f"{len(labelled.missing)} images are not below {tree.root}"
            if labelled.missing
            else ""
        )
        raise InputUnusable(
            f"no usable annotation in {min(documents)}: {reasons or missing or 'there is none'}",
            "name the folder with the images and the COCO file, and check the ids in the file",
        )
    for file in damaged:
        labelled.drop(file, "file that is not JSON")
    return labelled


def _read_documents(
    tree: ImportTree, damaged: list[Path]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the COCO files of a folder; add those that are not JSON to `damaged`."""
    for file in tree.iter_files(".json"):
        try:
            document = json.loads(tree.read_text(file))
        except (ValueError, RecursionError, InputUnusable):
            damaged.append(file)
            continue
        is_coco = isinstance(document, dict) and all(
            isinstance(document.get(table), list) for table in TABLES
        )
        if not is_coco:
            continue
        rows = document["annotations"]
        if not (
            rows
            and all(isinstance(row, dict) and "segments_info" in row for row in rows)
        ):
            yield file, document


def _read_images(
    document: dict[str, Any], file: Path, labelled: LabelledFiles
) -> dict[object, _Image | None]:
    """Return the images of a document by id; None for missing ones.

    Ids of several images, as in badly merged files, are left out.
    """
    images: dict[object, _Image | None] = {}
    repeated: set[object] = set()
    licences = dict[object, str | None]()
    for row in _rows(document, "licenses"):
        name, url = parse_name(row.get("name")), parse_name(row.get("url"))
        licences[_key(row.get("id"))] = (
            f"{name} ({url})" if name and url else name or url
        )
    for row in _rows(document, "images"):
        name = row.get("file_name") or row.get("coco_url")
        if not isinstance(name, str):
            labelled.drop(file, "image without file_name")
            continue
        key = _key(row.get("id"))
        image = None
        if (path := labelled.find_image(name, file)) is not None:
            labelled.ignored.setdefault(path, "listed without an annotation")
            labelled.sources[path] = _source(
                row, licences.get(_key(row.get("license")))
            )
            image = path, parse_frame(row)
        if images.setdefault(key, image) != image:
            repeated.add(key)
    for _ in repeated:
        labelled.drop(file, "id of several images")
    return {key: image for key, image in images.items() if key not in {None, *repeated}}


def _annotate(
    document: dict[str, Any],
    file: Path,
    images: Mapping[object, _Image | None],
    labelled: LabelledFiles,
) -> None:
    names: dict[object, str | None] = {}
    for row in _rows(document, "categories"):
        key, name = _key(row.get("id")), parse_name(row.get("name"))
        # An id of several classes is ambiguous.
        names[key] = name if key is not None and names.get(key, name) == name else None
    for row in _rows(document, "annotations"):
        key = _key(row.get("image_id"))
        if key not in images:
            labelled.drop(file, "annotation of an image that is not listed")
        elif (image := images[key]) is not None:
            label = names.get(_key(row.get("category_id")))
            labelled.annotate(*image, label, partial(_coco_box, row))


def _source(row: Mapping[str, Any], licence: str | None) -> SourceInfo:
    author = clean_credit_text(parse_name(row.get("author")))
    pages = (
        clean_page_url(parse_name(row.get(key)))
        for key in ("page", "flickr_url", "coco_url")
    )
    credit = Credit(author, clean_credit_text(licence), next(filter(None, pages), None))
    return SourceInfo(
        credit, parse_name(row.get("title")), parse_name(row.get("original_path"))
    )


def _rows(document: dict[str, Any], table: str) -> Iterator[dict[str, Any]]:
    rows = document.get(table)
    return (
        row for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict)
    )


def _key(value: object) -> object:
    """Return an id as text, so that 1, 1.0 (as pandas writes it) and "1" are equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (
        str(value)
        if isinstance(value, int | str) and not isinstance(value, bool)
        else None
    )


def _coco_box(row: dict[str, Any]) -> Rectangle | None:
    """Return the box of an annotation or its polygons; None for the whole image.

    Raises `ValueError` with the reason for an unusable annotation.
    """
    if row.get("iscrowd") in (1, True, "1"):
        raise ValueError("crowd (iscrowd), not one object")
    polygons = row.get("segmentation")
    if bbox := row.get("bbox"):
        try:
            return box_from_size(bbox)
        except ValueError:
            if not polygons:
                raise
    if polygons:
        return bounding_box(_flatten_polygons(polygons))
    if row.get("keypoints"):
        raise ValueError("keypoints without bbox")
    return None


def _flatten_polygons(polygons: Any) -> list[float]:
    try:
        parts = polygons if isinstance(polygons[0], list) else [polygons]
        return [float(number) for part in parts for number in part]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise ValueError("neither a box nor a polygon") from error


_LINE = re.compile(r"\s*\d{1,9}(?:\s+-?\d*\.?\d+(?:[eE][-+]?\d+)?){4,}\s*")
_COORDINATE = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_MIN_COORDINATES = 3
_YAML = (".yaml", ".yml")
_SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NAME_LISTS = (".names", "classes.txt", "_darknet.labels")


def read_yolo(tree: ImportTree) -> LabelledFiles | None:
    """Read the YOLO labels of a folder; None if there are none.

    Raises `InputUnusable` if no file lists the classes.
    """
    labels = dict(_label_files(tree))
    if not any(_LINE.fullmatch(line) for _, lines in labels.values() for line in lines):
        return None
    labelled = LabelledFiles("yolo", tree, "without a YOLO label file")
    names = _class_names(tree, labelled)
    if not names:
        raise InputUnusable(
            f"YOLO labels without class names: {tree.root}",
            "add data.yaml with names, or classes.txt with a name on each line; if folders name "
            "the classes: --class-level 1",
        )
    keypoints = any(
        "kpt_shape" in tree.read_text(file) for file in tree.iter_files("data.yaml")
    )
    for file, (image, lines) in labels.items():
        labelled.tables.add(file)
        labelled.ignored[image] = "YOLO label file without a box"
        nearest = next(
            (folder for folder in file.parents if folder in names), min(names)
        )
        for line in lines:
            if not _LINE.fullmatch(line):
                labelled.drop(image, "not a line of YOLO")
                continue
            number, *values = line.split()
            box = partial(_yolo_box, list(map(float, values)), keypoints)
            labelled.annotate(image, FRACTIONS, names[nearest].get(int(number)), box)
    return labelled


def _label_files(tree: ImportTree) -> Iterator[tuple[Path, tuple[Path, list[str]]]]:
    """Yield YOLO label files with their image and lines."""
    for file in tree.iter_files(".txt"):
        try:
            lines = [line for line in tree.read_text(file).splitlines() if line.strip()]
        except InputUnusable:
            continue
        # A damaged line is dropped without refusing the file.
        is_yolo = any(map(_LINE.fullmatch, lines)) or all(map(_has_coordinates, lines))
        if is_yolo and (image := tree.find_sibling(file)) is not None:
            yield file, (image, lines)


def _has_coordinates(line: str) -> bool:
    parts = [part for part in re.split(r"[\s,;]+", line) if part]
    numbers = sum(_COORDINATE.fullmatch(part) is not None for part in parts)
    return numbers >= _MIN_COORDINATES and 2 * numbers > len(parts)


def _yolo_box(values: list[float], keypoints: bool) -> Rectangle:
    if len(values) > 5 and len(values) % 2 == 0 and not keypoints:
        return bounding_box(values)
    x, y, width, height = values[:4]
    return box_from_size((x - width / 2, y - height / 2, width, height))


def _class_names(
    tree: ImportTree, labelled: LabelledFiles
) -> dict[Path, Mapping[int, str]]:
    names: dict[Path, Mapping[int, str]] = {}
    for file in tree.iter_files(*_YAML, *_NAME_LISTS):
        text = tree.read_text(file)
        is_yaml = file.suffix.lower() in _YAML
        if (
            listed := _yaml_names(text)
            if is_yaml
            else _tidy_names(enumerate(text.splitlines()))
        ):
            names.setdefault(file.parent, listed)
            labelled.tables.add(file)
    return names


def _yaml_names(text: str) -> dict[int, str]:
    """Return `names` of a data.yaml, a list or a mapping."""
    # JSON escapes an emoji as two surrogates, which are an error in YAML.
    text = _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text)
    try:
        # This loader takes all values for text, so `no` and `1.0` are names, and limits how deep
        # they are nested: the loader in Python takes minutes for 100,000 brackets.
        document = yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - makes no objects
    except yaml.YAMLError:
        return {}
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        numbers = {key: int(key) for key in names if re.fullmatch(r"\d{1,9}", key)}
        return _tidy_names((number, names[key]) for key, number in numbers.items())
    return _tidy_names(enumerate(names)) if isinstance(names, list) else {}


def _tidy_names(names: Iterable[tuple[int, Any]]) -> dict[int, str]:
    """Return the names by number, without empty ones."""
    return {
        number: name.strip()
        for number, name in names
        if isinstance(name, str) and name.strip()
    }


METADATA = "metadata.jsonl"
IMAGE_COLUMNS = (
    *(
        "file_name",
        "filename",
        "file",
        "image",
        "image_path",
        "image_name",
        "img",
        "img_path",
    ),
    *("path", "filepath", "file_path", "image_id", "imageid", "id", "name"),
)
LABEL_COLUMNS = (
    *(
        "label",
        "class",
        "category",
        "class_name",
        "classname",
        "label_name",
        "species",
        "breed",
    ),
    "target",
)
_OBJECTS = ("objects",)
_BOX_COLUMNS = {"bbox", "bbox_x", "x", "x1", "xmin", *_OBJECTS}
_NO_BOXES = "export COCO or YOLO from your tool, whose boxes are read"
_SAMPLED_ROWS = 50


def read_tables(tree: ImportTree) -> LabelledFiles | None:
    """Read tables with columns of images and classes; None if there are none.

    Raises `InputUnusable` for a table with boxes.
    """
    labelled = LabelledFiles("table", tree, "not in a table")
    for file in tree.iter_files(".csv", ".tsv", METADATA):
        try:
            rows = list(
                (_json_rows if file.name == METADATA else _csv_rows)(
                    tree.read_text(file)
                )
            )
        except (
            InputUnusable,
            csv.Error,
            json.JSONDecodeError,
            RecursionError,
            AttributeError,
        ):
            labelled.drop(file, "table that cannot be read")
            continue
        names_image = (
            column
            for column in IMAGE_COLUMNS
            if any(
                tree.find_by_path(row.get(column) or "", file)
                for row in rows[:_SAMPLED_ROWS]
            )
        )
        image_column = next(names_image, None)
        columns = set().union(*rows[:_SAMPLED_ROWS])
        label_column = next(
            (c for c in (*LABEL_COLUMNS, *_OBJECTS) if c in columns), None
        )
        if image_column is None or label_column is None:
            continue
        if boxes := _BOX_COLUMNS & columns:
            raise InputUnusable(
                f"boxes in a table are not read: column {min(boxes)} of {file}",
                _NO_BOXES,
            )
        labelled.tables.add(file)
        for row in rows:
            name, label = (row.get(c, "").strip() for c in (image_column, label_column))
            if not name or (image := labelled.find_image(name, file)) is None:
                continue
            if label:
                labelled.label(image, label)
            else:
                labelled.ignored[image] = "row without a label"
    return labelled if labelled.tables else None


def _json_rows(text: str) -> Iterator[Mapping[str, str]]:
    for line in filter(str.strip, text.split("\n")):
        cells = json.loads(line)
        cells |= {
            k: v[0] for k, v in cells.items() if isinstance(v, list) and len(v) == 1
        }
        yield {name.lower(): parse_name(value) or "" for name, value in cells.items()}


def _csv_rows(text: str) -> Iterator[Mapping[str, str]]:
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, delimiter=find_delimiter(lines[0] if lines else ""))
    names = [name.strip().lower() for name in next(reader, [])]
    return (dict(zip(names, row, strict=False)) for row in reader)
