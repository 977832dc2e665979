"""COCO: files of images, annotations and categories, in the layouts that tools write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.records import Rectangle
from labeler.importing.labelled import (
    Frame,
    ImageFinder,
    ImportTree,
    LabelledFiles,
    SourceInfo,
    bounding_box,
    box_from_size,
    parse_frame,
    parse_name,
    read_text_file,
)

TABLES = ("images", "annotations", "categories")


@dataclass(frozen=True, slots=True)
class _Image:
    path: Path
    frame: Frame | None


def read_coco(tree: ImportTree) -> LabelledFiles | None:
    """Read the COCO files of a folder; None if there are none.

    Unusable annotations are dropped. Raises `InputUnusable` if no annotation is usable.
    """
    damaged: list[Path] = []
    documents = dict(_read_documents(tree, damaged))
    if not documents:
        return None
    labelled, finder = LabelledFiles("coco", tree, "not in the COCO file"), ImageFinder(tree)
    for file, document in documents.items():
        labelled.tables.add(file)
        _annotate(document, file, _read_images(document, file, finder, labelled), labelled)
    if not labelled.images:
        reasons = ", ".join(sorted({reason for _, reason in labelled.dropped}))
        missing = (
            f"{len(labelled.missing)} images are not below {tree.root}" if labelled.missing else ""
        )
        raise InputUnusable(
            f"no usable annotation in {min(documents)}: {reasons or missing or 'there is none'}",
            "name the folder with the images and the COCO file, and check the ids in the file",
        )
    for file in damaged:
        labelled.drop(file, "file that is not JSON")
    return labelled


def _read_documents(tree: ImportTree, damaged: list[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the COCO files of a folder; add those that are not JSON to `damaged`."""
    for file in tree.iter_files(".json"):
        try:
            document = json.loads(read_text_file(file))
        except (ValueError, RecursionError, InputUnusable):
            damaged.append(file)
            continue
        if _is_coco(document) and not _is_panoptic(document):
            yield file, document


def _is_coco(document: Any) -> bool:
    return isinstance(document, dict) and all(isinstance(document.get(t), list) for t in TABLES)


def _is_panoptic(document: dict[str, Any]) -> bool:
    rows = document["annotations"]
    return bool(rows) and all(isinstance(row, dict) and "segments_info" in row for row in rows)


def _read_images(
    document: dict[str, Any], file: Path, finder: ImageFinder, labelled: LabelledFiles
) -> dict[object, _Image | None]:
    """Return the images of a document by id; None for missing ones.

    Ids of several images, as in badly merged files, are left out.
    """
    images: dict[object, _Image | None] = {}
    repeated: set[object] = set()
    licences = {_key(row.get("id")): _licence(row) for row in _rows(document, "licenses")}
    for row in _rows(document, "images"):
        name = row.get("file_name") or row.get("coco_url")
        if not isinstance(name, str):
            labelled.drop(file, "image without file_name")
            continue
        path = finder.find_by_path(name, file)
        if path is None:
            labelled.missing.append(name)
        else:
            labelled.ignored.setdefault(path, "listed without an annotation")
            labelled.sources[path] = _source(row, licences.get(_key(row.get("license"))))
        key = _key(row.get("id"))
        image = None if path is None else _Image(path, parse_frame(row))
        if key in images and images[key] != image:
            repeated.add(key)
        images[key] = image
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
            labelled.annotate(image.path, label, partial(_box, row), image.frame)


def _licence(row: Mapping[str, Any]) -> str | None:
    name, url = parse_name(row.get("name")), parse_name(row.get("url"))
    return f"{name} ({url})" if name and url else name or url


def _source(row: Mapping[str, Any], licence: str | None) -> SourceInfo:
    author = clean_credit_text(parse_name(row.get("author")))
    pages = (clean_page_url(parse_name(row.get(key))) for key in ("page", "flickr_url", "coco_url"))
    credit = Credit(author, clean_credit_text(licence), next(filter(None, pages), None))
    title = parse_name(row.get("title"))
    original_path = parse_name(row.get("original_path"))
    return SourceInfo(credit, title, original_path)


def _rows(document: dict[str, Any], table: str) -> Iterator[dict[str, Any]]:
    rows = document.get(table)
    return (row for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict))


def _key(value: object) -> object:
    """Return an id as text, so that 1, 1.0 (as pandas writes it) and "1" are equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _box(row: dict[str, Any]) -> Rectangle | None:
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
