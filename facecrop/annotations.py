"""Annotated pictures: which faces there are, so that detectors can be compared.

Three forms of JSON are read, told apart by their content:

- A list of `{"file": "a.jpg", "boxes": [[x, y, width, height], …]}`; `file` is relative to the
  JSON file. Pictures without faces have an empty list.
- COCO: `images` (`id`, `file_name`), `annotations` (`image_id`, `bbox`, `category_id`) and
  `categories`. Where a category's name has "face" in it, only such annotations count. Crowds
  (`iscrowd`) do not.
- That of the bundled sample: `{"pictures": {"a.jpg": [{"box": [x, y, width, height]}, …]}}`.

Boxes are pixels of the upright picture. The kind of a picture is its field `kind`, else the
folder in which it lies, else what stands before the first `_` of its name.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.records import Box

_FORMS = "docs/detectors.md describes the forms that are read"


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One picture with the boxes of all its faces."""

    path: Path
    boxes: list[Box]
    kind: str


def read_annotations(
    file: Path, images: Path | None = None, by: str | None = None
) -> list[AnnotatedImage]:
    """Return the pictures that a file annotates, in its order.

    `images` is the folder of the pictures where it is not the file's; `by` another field to
    take the kind from. Raises `InputUnusable` for a file that cannot be used.
    """
    data = _loaded(file)
    folder = images or file.parent
    try:
        entries = _entries(data)
        pictures = [
            AnnotatedImage(folder / name, boxes, _kind(name, fields, by))
            for name, fields, boxes in entries
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"{type(error).__name__}: {error}"
        raise InputUnusable(f"{file} is no list of annotated pictures ({said})", _FORMS) from error
    if not pictures:
        raise InputUnusable(f"{file} annotates no picture", _FORMS)
    if not any(entry.path.is_file() for entry in pictures):
        raise InputUnusable(
            f"none of the {len(pictures)} pictures of {file} is in {folder}",
            "name the folder of the pictures with --images DIR",
        )
    return pictures


def _loaded(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "check its name") from error
    except (ValueError, RecursionError) as error:
        raise InputUnusable(f"{file} is no JSON: {error}", _FORMS) from error


AnnotationEntry = tuple[str, Mapping[str, Any], list[Box]]


def _entries(data: Any) -> Iterable[AnnotationEntry]:
    if not isinstance(data, dict):
        return _plain(data)
    if "pictures" in data:
        return _sample(data["pictures"])
    if missing := {"images", "annotations"} - data.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
    return _coco(data)


def _sample(pictures: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterable[AnnotationEntry]:
    for name, faces in pictures.items():
        yield name, {}, [_box(face["box"]) for face in faces]


def _plain(data: Iterable[Mapping[str, Any]]) -> Iterable[AnnotationEntry]:
    for entry in data:
        yield str(entry["file"]), entry, [_box(numbers) for numbers in entry["boxes"]]


def _coco(data: Mapping[str, Any]) -> Iterable[AnnotationEntry]:
    named = {one["id"]: str(one.get("name", "")) for one in data.get("categories", [])}
    faces = {number for number, name in named.items() if "face" in name.lower()}
    boxes: dict[Any, list[Box]] = defaultdict(list)
    for one in data["annotations"]:
        if not one.get("iscrowd") and (not faces or one.get("category_id") in faces):
            boxes[one["image_id"]].append(_box(one["bbox"]))
    for image in data["images"]:
        yield str(image["file_name"]), image, boxes[image["id"]]


def _box(numbers: Iterable[float]) -> Box:
    x, y, width, height = (float(number) for number in numbers)
    if not all(math.isfinite(number) for number in (x, y, width, height)):
        raise ValueError(f"a box of {x}, {y}, {width}, {height}")
    if width <= 0 or height <= 0:
        raise ValueError(f"a box {width:g} wide and {height:g} high")
    return Box(round(x), round(y), max(round(width), 1), max(round(height), 1))


def _kind(name: str, fields: Mapping[str, Any], by: str | None) -> str:
    if by is not None:
        return str(fields.get(by, "other"))
    if "kind" in fields:
        return str(fields["kind"])
    path = PurePosixPath(name)
    if len(path.parts) > 1:
        return path.parent.name or "other"
    return path.stem.partition("_")[0] if "_" in path.stem else "all"
