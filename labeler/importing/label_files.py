"""Label files of other tools: COCO, YOLO, and tables: CSV and `metadata.jsonl` of Hugging Face.

COCO files have images, annotations and categories, in the layouts that tools write. YOLO has a text
file for each image, with class numbers and boxes as fractions of the image.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import filterfalse
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gleanset.command_result import JsonDict
from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.html.words import count
from gleanset.labelled_images import FRACTIONS, Frame, parse_frame
from gleanset.records import Rectangle
from gleanset.source_table import skip_to_header
from labeler.export.rows import unescape_formula
from labeler.importing.labelled import (
    ImportTree,
    LabelledFiles,
    SourceInfo,
    box_from_size,
    make_bounding_box,
    parse_name,
)

TABLES = ("images", "annotations", "categories")


_Image = tuple[Path, Frame | None]
"""An image of a COCO file with the size that its boxes refer to."""


def read_coco(tree: ImportTree) -> LabelledFiles | None:
    """Read the COCO files of a folder; None if there are none.

    Unusable annotations are dropped. Raises `InputUnusable` if no annotation is usable.
    """
    damaged_files: list[Path] = []
    documents = dict(_read_documents(tree, damaged_files))
    if not documents:
        return None

    labels = LabelledFiles("coco", tree, "not in the COCO file", tables={*documents})
    for file, document in documents.items():
        _annotate(
            document,
            file,
            _read_images(document, file, labels),
            labels,
        )

    # An error, instead of reading class folders: the file is meant to have the labels.
    if not labels.images:
        problem = ", ".join(sorted({reason for _, reason in labels.dropped}))
        if not problem and labels.missing:
            images = count(len(labels.missing), "image")
            problem = f"{images} not below {tree.root}, such as {labels.missing[0]}"
        problem = problem or "there is none"
        raise InputUnusable(
            f"no usable annotation in {min(documents)}: {problem}",
            "name the folder with the images and the COCO file, and check the ids in the file",
        )

    # Only now, because the error above names problems of annotations.
    for file in damaged_files:
        labels.drop(file, "file that is not JSON")
    return labels


def _read_documents(
    tree: ImportTree, damaged_files: list[Path]
) -> Iterator[tuple[Path, JsonDict]]:
    """Yield the COCO files of a folder; add those that are not JSON to `damaged_files`."""
    for file in tree.iter_files(".json"):
        try:
            document = json.loads(tree.read_text(file))
        except (ValueError, RecursionError, InputUnusable):
            damaged_files.append(file)
            continue

        is_coco = isinstance(document, dict) and all(
            isinstance(document.get(table), list) for table in TABLES
        )
        if is_coco and not _is_panoptic(document["annotations"]):
            yield file, document


def _is_panoptic(rows: list[Any]) -> bool:
    """Return whether annotations are of COCO panoptic, whose segments are in PNG files."""
    return bool(rows) and all(
        isinstance(row, dict) and "segments_info" in row for row in rows
    )


def _read_images(
    document: JsonDict, file: Path, labels: LabelledFiles
) -> dict[str | None, _Image | None]:
    """Return the images of a document by id; None for missing ones.

    Ids of several images, as in badly merged files, are left out.
    """
    licences = _read_licences(document)
    images: dict[str | None, _Image | None] = {}
    ambiguous_keys = set()
    for row in _iter_rows(document, "images"):
        name = row.get("file_name") or row.get("coco_url")
        if not isinstance(name, str):
            labels.drop(file, "image without file_name")
            continue

        image = None
        path = labels.find_image(name, file)
        if path is not None:
            labels.ignored.setdefault(path, "listed without an annotation")
            labels.sources[path] = read_source(
                row, licences.get(parse_name(row.get("license")))
            )
            image = path, parse_frame(row)

        # An id may be listed twice, as long as both rows are of the same image and size.
        key = parse_name(row.get("id"))
        if images.setdefault(key, image) != image:
            ambiguous_keys.add(key)

    for key in ambiguous_keys:
        labels.drop(file, "id of several images")
        del images[key]
    images.pop(None, None)
    return images


def _read_licences(document: JsonDict) -> dict[str | None, str | None]:
    """Return the names of licences by id, with their addresses."""
    licences = {}
    for row in _iter_rows(document, "licenses"):
        name = parse_name(row.get("name"))
        url = parse_name(row.get("url"))
        text = name or url
        if name and url:
            text = f"{name} ({url})"
        licences[parse_name(row.get("id"))] = text
    return licences


def _annotate(
    document: JsonDict,
    file: Path,
    images: Mapping[str | None, _Image | None],
    labels: LabelledFiles,
) -> None:
    """Add the annotations of a document to `labels`."""
    names: dict[str | None, str | None] = {}  # by id; None for an ambiguous id
    for row in _iter_rows(document, "categories"):
        key = parse_name(row.get("id"))
        name = parse_name(row.get("name"))
        is_clear = key is not None and names.get(key, name) == name
        names[key] = name if is_clear else None

    for row in _iter_rows(document, "annotations"):
        key = parse_name(row.get("image_id"))
        if key not in images:
            labels.drop(file, "annotation of an image that is not listed")
            continue

        image = images[key]
        if image is not None:
            path, frame = image
            labels.annotate(
                path,
                frame,
                names.get(parse_name(row.get("category_id"))),
                partial(_read_coco_box, row),
            )


def read_source(row: Mapping[str, Any], licence: str | None) -> SourceInfo:
    """Return the credit and names in a row; exports of Gleanset have all of them."""
    # The first valid address.
    pages = (
        clean_page_url(parse_name(row.get(key)))
        for key in ("page", "page_url", "flickr_url", "coco_url", "url")
    )
    page = next(filter(None, pages), None)
    author = clean_credit_text(parse_name(row.get("author")))
    return SourceInfo(
        Credit(author, clean_credit_text(licence), page),
        title=parse_name(row.get("title")),
        original_path=parse_name(row.get("original_path")),
        collection=parse_name(row.get("collection")),
    )


def _iter_rows(document: JsonDict, table: str) -> Iterator[JsonDict]:
    """Yield the rows of a table, without those that are not valid."""
    rows = document.get(table)
    if isinstance(rows, list):
        for row in rows:
            if isinstance(row, dict):
                yield row


def _read_coco_box(row: JsonDict) -> Rectangle | None:
    """Return the box of an annotation or its polygons; None for the whole image.

    Raises `ValueError` with the reason for an unusable annotation.
    """
    if row.get("iscrowd") in (1, "1"):  # also true
        raise ValueError("crowd (iscrowd), not one object")

    polygons = row.get("segmentation")
    bbox = row.get("bbox")
    if bbox:
        try:
            return box_from_size(bbox)
        except ValueError:
            # The polygon has a box as well.
            if not polygons:
                raise

    if polygons:
        return make_bounding_box(_flatten_polygons(polygons))
    if row.get("keypoints"):
        raise ValueError("keypoints without bbox")
    return None


def _flatten_polygons(polygons: Any) -> list[float]:
    """Return the coordinates x, y, x, y, … of all polygons. Raises `ValueError`."""
    try:
        # One polygon may be written without a list around it.
        parts = polygons if isinstance(polygons[0], list) else [polygons]
        return [float(number) for part in parts for number in part]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise ValueError("neither a box nor a polygon") from error


_LINE = re.compile(r"\s*\d{1,9}(?:\.0*)?(?:\s+-?\d*\.?\d+(?:[eE][-+]?\d+)?){4,}\s*")
"""A line of YOLO: the number of a class (NumPy writes 0.0), then at least four coordinates."""
_COORDINATE = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?|nan", re.IGNORECASE)
_MIN_COORDINATES = 3
_YAML = (".yaml", ".yml")
_SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NAME_LISTS = (".names", "classes.txt", "_darknet.labels")


def read_yolo(tree: ImportTree) -> LabelledFiles | None:
    """Read the YOLO labels of a folder; None if there are none.

    Raises `InputUnusable` if no file lists the classes.
    """
    label_files = list(_iter_label_files(tree))
    if not any(
        file.image and any(map(_LINE.fullmatch, file.lines)) for file in label_files
    ):
        return None

    labels = LabelledFiles("yolo", tree, "without a YOLO label file")
    names_by_folder = _read_class_names(tree, labels)
    if not names_by_folder:
        raise InputUnusable(
            f"YOLO labels without class names: {tree.root}",
            "add data.yaml with names, or classes.txt with a name on each line; if folders name "
            "the classes: --class-level 1",
        )

    has_keypoints = any(
        "kpt_shape" in tree.read_text(file) for file in tree.iter_files("data.yaml")
    )
    for file, image, lines in label_files:
        labels.tables.add(file)
        if image is None:
            labels.missing.append(str(file))
            continue

        labels.ignored[image] = "YOLO label file without a box"
        # A folder may contain several sets with classes of their own; what is outside of them has
        # the classes of the folder that comes first.
        folders = (folder for folder in file.parents if folder in names_by_folder)
        names = names_by_folder[next(folders, min(names_by_folder))]
        for line in lines:
            if not _LINE.fullmatch(line):
                labels.drop(image, "not a line of YOLO")
                continue

            number, *texts = line.split()
            labels.annotate(
                image,
                FRACTIONS,
                names.get(int(float(number))),
                partial(_read_yolo_box, list(map(float, texts)), has_keypoints),
            )
    return labels


class _LabelFile(NamedTuple):
    """A label file of YOLO with its image, if it is there, and its lines that are not empty."""

    file: Path
    image: Path | None
    lines: list[str]


def _iter_label_files(tree: ImportTree) -> Iterator[_LabelFile]:
    """Yield the text files that have lines of YOLO, or an image of the same name and numbers."""
    for file in tree.iter_files(".txt"):
        try:
            lines = list(filter(str.strip, tree.read_text(file).splitlines()))
        except InputUnusable:
            continue

        # A damaged line is dropped without refusing the file. Captions have hardly any numbers. An
        # empty file is one of YOLO, too: an image without boxes.
        has_boxes = any(map(_LINE.fullmatch, lines))
        image = tree.find_sibling(file)
        if has_boxes or (image and all(map(_has_coordinates, lines))):
            yield _LabelFile(file, image, lines)


def _has_coordinates(line: str) -> bool:
    """Return whether most words of a line are numbers, and there are at least three."""
    words = re.findall(r"[^\s,;]+", line)
    numbers = list(filter(_COORDINATE.fullmatch, words))
    return len(numbers) >= _MIN_COORDINATES and 2 * len(numbers) > len(words)


def _read_yolo_box(values: list[float], has_keypoints: bool) -> Rectangle:
    """Return the box of a line, given the numbers after its class."""
    # Four numbers are a box, five have a confidence, more are a polygon (x, y, x, y, …); but in a
    # set with keypoints these follow the box. A 2 marks a visible one: coordinates are up to 1.
    is_even = len(values) > 5 and len(values) % 2 == 0
    if is_even and not has_keypoints and max(values) < 2:
        return make_bounding_box(values)
    center_x, center_y, width, height = values[:4]
    return box_from_size((center_x - width / 2, center_y - height / 2, width, height))


def _read_class_names(
    tree: ImportTree, labels: LabelledFiles
) -> dict[Path, Mapping[int, str]]:
    """Return the names of classes by number, for each folder with a list of them."""
    names_by_folder: dict[Path, Mapping[int, str]] = {}
    for file in tree.iter_files(*_YAML, *_NAME_LISTS):
        text = tree.read_text(file)
        if file.suffix.lower() in _YAML:
            names = _read_yaml_names(text)
        else:
            names = _tidy_names(enumerate(text.splitlines()))
        if names:
            names_by_folder.setdefault(file.parent, names)
            labels.tables.add(file)
    return names_by_folder


def _read_yaml_names(text: str) -> dict[int, str]:
    """Return `names` of a data.yaml, a list or a mapping."""
    # JSON escapes an emoji as two surrogates, which are an error in YAML.
    text = _SURROGATES.sub(
        lambda pair: str(json.loads(f'"{pair[0]}"')),
        text,
    )
    try:
        # This loader takes all values for text, so `no` and `1.0` are names, and limits how deep
        # they are nested: the loader in Python takes minutes for 100,000 brackets.
        document = yaml.load(text, yaml.CBaseLoader)  # noqa: S506 - makes no objects
    except yaml.YAMLError:
        return {}

    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        # Keys that are not numbers name no class of a label file.
        return _tidy_names(
            (int(key), name)
            for key, name in names.items()
            if re.fullmatch(r"\d{1,9}", key)
        )
    if isinstance(names, list):
        return _tidy_names(enumerate(names))
    return {}


def _tidy_names(names: Iterable[tuple[int, Any]]) -> dict[int, str]:
    """Return the names by number, without empty ones."""
    return {number: text for number, name in names if (text := parse_name(name))}


IMAGE_COLUMNS = (
    "file_name",
    "filename",
    "file",
    "image",
    "image_path",
    "image_name",
    "img",
    "img_path",
    "path",
    "filepath",
    "file_path",
    "image_id",
    "imageid",
    "id",
    "name",
)
LABEL_COLUMNS = (
    "label",
    "class",
    "category",
    "class_name",
    "classname",
    "label_name",
    "species",
    "breed",
    "target",
    "choice",  # of Label Studio
)
"""The first of these that a table has is its class column."""
_OBJECTS = "objects"
"""Column of boxes with their classes in `metadata.jsonl`."""
_BOX_COLUMNS = {"bbox", "bbox_x", "x", "x1", "xmin", _OBJECTS}
_SAMPLE_SIZE = 50
"""Rows of a table by which its columns are recognised."""


def read_tables(tree: ImportTree) -> LabelledFiles:
    """Read tables with columns of images and classes; they are in `tables`.

    Raises `InputUnusable` for a table with boxes.
    """
    labels = LabelledFiles("table", tree, "not in a table")
    for file in tree.iter_files(".csv", ".tsv", ".jsonl"):
        rows = read_rows(tree, file)
        if not any(rows):
            labels.drop(file, "table without a readable row")
            continue

        _add_table(labels, file, rows)
    return labels


def _add_table(
    labels: LabelledFiles, file: Path, rows: Sequence[Mapping[str, str]]
) -> None:
    """Add the rows of a table that names images and classes."""
    first_rows = rows[:_SAMPLE_SIZE]
    columns = set().union(*rows)
    label_columns = [c for c in (*LABEL_COLUMNS, _OBJECTS) if c in columns]
    image_column = _find_image_column(labels.tree, file, first_rows)
    if not (image_column and label_columns):
        return

    # Without its box, a label would be that of the whole image.
    box_columns = _BOX_COLUMNS & columns
    if box_columns:
        raise InputUnusable(
            f"boxes in a table are not read: column {min(box_columns)} of {file}",
            "export COCO or YOLO from your tool, whose boxes are read",
        )

    # Columns of names, such as class_name, before those of numbers.
    label_column = min(
        label_columns,
        key=lambda column: all(
            _COORDINATE.fullmatch(row.get(column) or "0") for row in first_rows
        ),
    )
    if len(label_columns) > 1:
        labels.note = f"classes are in the column {label_column} of {file.name}"

    labels.tables.add(file)
    for row in rows:
        if not row:
            labels.drop(file, "line that is not JSON")
            continue

        name = row.get(image_column, "").strip()
        image = labels.find_image(name, file) if name else None
        if not image:
            continue

        labels.sources[image] = read_source(
            row, row.get("licence") or row.get("license")
        )
        label = row.get(label_column, "").strip()
        # Label Studio writes several choices, and boxes, as JSON.
        if label and not label.startswith(('{"', '[{"')):
            labels.label(image, label)
        else:
            labels.ignored[image] = "row without a single label"


def read_rows(tree: ImportTree, file: Path) -> list[Mapping[str, str]]:
    """Return the rows of a table, a damaged line of JSON as an empty one; none if unreadable."""
    read = _iter_json_rows if file.suffix.lower() == ".jsonl" else _iter_csv_rows
    try:
        return list(read(tree.read_text(file)))
    except (InputUnusable, csv.Error):
        return []


def find_unread_table(tree: ImportTree) -> Path | None:
    """Return a table of images that `read_tables` does not read, because of its columns."""
    for file in tree.iter_files(".csv", ".tsv"):
        for row in read_rows(tree, file)[:_SAMPLE_SIZE]:
            # A number may be a measurement, not the name of a file.
            names = filterfalse(_COORDINATE.fullmatch, row.values())
            if any(map(partial(tree.find_by_path, table=file), names)):
                return file
    return None


def _find_image_column(
    tree: ImportTree, file: Path, rows: Sequence[Mapping[str, str]]
) -> str | None:
    """Return the first column that names an image of the tree in any of the rows."""
    for column in IMAGE_COLUMNS:
        names = (row.get(column, "") for row in rows)
        if any(map(partial(tree.find_by_path, table=file), names)):
            return column
    return None


def _iter_json_rows(text: str) -> Iterator[Mapping[str, str]]:
    """Yield the rows of JSON Lines, with empty texts for values that are not names."""
    for line in filter(str.strip, text.split("\n")):
        row = {}
        # Not JSON, or not an object.
        with suppress(json.JSONDecodeError, RecursionError, AttributeError):
            for column, value in json.loads(line).items():
                # An image with a list of several labels has no class of its own.
                if isinstance(value, list) and len(value) == 1:
                    value = value[0]
                row[column.lower()] = parse_name(value) or ""
        yield row


def _iter_csv_rows(text: str) -> Iterator[Mapping[str, str]]:
    """Return the rows of CSV or TSV; the first line names the columns."""
    lines, delimiter = skip_to_header(io.StringIO(text, newline=""))
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        strict=True,  # an open quotation mark would take the rows below it
    )
    names = [name.strip().lower() for name in next(reader, [])]
    # Not strict: rows may lack cells at their end.
    return (
        dict(zip(names, map(unescape_formula, row), strict=False))
        for row in reader
        if row
    )
