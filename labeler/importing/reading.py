"""What other tools wrote: which picture has which label, and where in it.

Names in such files are data of strangers: a picture is looked for only below the folder that
the file lies in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gleanset.credit import NOTHING, Credit
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import class_folder, leads_out
from gleanset.files.parquet import read_texts, single_columns
from gleanset.images.decode import ENDINGS
from gleanset.records import Box
from labeler.export.formats.captions import captioned

MOST_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One picture with its labels: of a box in pixels, or of the whole picture (None).

    One that lies in no class folder of a tree has none. What a person says of it besides is its
    `credit` and its `group`. `original_path` is its path below the folder that was named.
    """

    path: Path
    labels: tuple[tuple[Box | None, str], ...]
    credit: Credit = NOTHING
    group: str | None = None
    original_path: str | None = None


def check_place(path: Path) -> None:
    """Raises `InputUnusable` for what is neither a file nor a folder."""
    if not (path.is_file() or path.is_dir()):
        raise InputUnusable(f"there is no file or folder {path}", "check its name")


def read_labelled(path: Path, class_level: int | None = None) -> tuple[str, list[LabelledPicture]]:
    """Return what kind of data that is ('coco', 'metadata', 'captions', 'tree'), and its pictures.

    `path` is a COCO file, or a folder: with COCO files in it or in `annotations`, with a
    `metadata.jsonl` or `metadata.parquet` in it or one level down, pictures with texts beside them
    that begin with their class, or else a tree whose folders on `class_level` (the outermost by
    default) are classes. Raises `InputUnusable` for what is none of them, `UsageError` for a level
    where no folder names a class.
    """
    check_place(path)
    kind, found = _named_in_files(path)
    if kind == "tree":
        return kind, list(_tree(path, class_level or 1))
    if class_level is not None:
        raise not_by_folders(path)
    return kind, list(found)


def not_by_folders(path: Path) -> UsageError:
    """Return what is said where a level was given and no folder names a class."""
    return UsageError(f"{path} says itself what its pictures are", "leave --class-level out")


def _named_in_files(path: Path) -> tuple[str, Iterable[LabelledPicture]]:
    if path.is_file():
        return "coco", _coco(path)
    for name, read in (("metadata.jsonl", _metadata), ("metadata.parquet", _metadata_table)):
        if files := sorted(path.glob(name)) + sorted(path.glob(f"*/{name}")):
            return "metadata", [found for file in files for found in read(file)]
    coco = sorted(path.glob("*.json")) + sorted(path.glob("annotations/*.json"))
    if chosen := [file for file in coco if _is_coco(file)]:
        return "coco", (found for file in chosen for found in _coco(file))
    captions = list(_captions(path))
    return ("captions", captions) if any(one.labels for one in captions) else ("tree", ())


def _captions(root: Path) -> Iterator[LabelledPicture]:
    """Pictures beside each other, each with a text that begins with its class; none of a tree."""
    pictures = list(visible_pictures(root))
    if all(path.parent == root for path in pictures):
        for path in pictures:
            label = captioned(root, path.name)
            yield LabelledPicture(path, () if label is None else ((None, label),))


def _tree(root: Path, level: int) -> Iterator[LabelledPicture]:
    """`<class>/…` or `train|val|test/<class>/…`; what is less deep has no label."""
    number = 0
    for path in visible_pictures(root):
        label = class_folder(path.relative_to(root).parts[:-1], level)
        number += label is not None
        yield LabelledPicture(path, () if label is None else ((None, label),))
    if not number:
        deep = f" {level} levels down" if level > 1 else ""
        raise InputUnusable(
            f"{root} has no folders with pictures in them{deep}",
            "put the pictures of each class into a folder of its name",
        )


def visible_pictures(root: Path) -> Iterator[Path]:
    """Yield pictures by their names; what a file manager hides there is none."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if not hidden and path.suffix.lower() in ENDINGS and path.is_file():
            yield path


def _metadata(file: Path) -> Iterator[LabelledPicture]:
    """Hugging Face: `file_name` with `label`, or with `objects` (`bbox`, `categories`)."""
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        told = _object(line, f"{file}, line {number}")
        name, label, boxes = told.get("file_name"), told.get("label"), told.get("objects")
        if not isinstance(name, str):
            raise InputUnusable(f"{file}, line {number} has no file_name", "add it")
        labels: list[tuple[Box | None, str]] = []
        if isinstance(boxes, dict):
            pairs = zip(boxes.get("bbox", ()), boxes.get("categories", ()), strict=False)
            labels = [(_box(box, str(file)), str(category)) for box, category in pairs]
        elif label not in (None, ""):
            labels = [(None, str(label))]
        if labels:
            yield LabelledPicture(_below(file.parent, name), tuple(labels))


def _metadata_table(file: Path) -> Iterator[LabelledPicture]:
    """Hugging Face in Parquet: `file_name`, and the name of the class in `class`, else `label`."""
    columns = {name for name, single in single_columns(file) if single}
    label = "class" if "class" in columns else "label"
    if missing := {"file_name", label} - columns:
        raise InputUnusable(f"{file} has no column {min(missing)}", "add it")
    for name, said in read_texts(file, ["file_name", label]):
        if name is None:
            raise InputUnusable(f"{file} has a row without file_name", "add it")
        if said:
            yield LabelledPicture(_below(file.parent, name), ((None, said),))


def _is_coco(file: Path) -> bool:
    try:
        told = json.loads(_text(file))
    except (ValueError, InputUnusable):
        return False
    return isinstance(told, dict) and {"images", "annotations", "categories"} <= set(told)


def _coco(file: Path) -> Iterator[LabelledPicture]:
    """COCO: pictures lie beside the file, in `images`, or one folder up."""
    document = _object(_text(file), str(file))
    try:
        names = {row["id"]: str(row["name"]) for row in document["categories"]}
        labels: dict[Any, list[tuple[Box | None, str]]] = {
            row["id"]: [] for row in document["images"]
        }
        for row in document["annotations"]:
            place = _box(row["bbox"], str(file)) if row.get("bbox") else None
            labels[row["image_id"]].append((place, names[row["category_id"]]))
        pictures = [(row["id"], str(row["file_name"])) for row in document["images"]]
    except (KeyError, TypeError) as error:
        raise InputUnusable(
            f"{file} is no COCO file: {type(error).__name__} {error}",
            "it needs images, annotations and categories that refer to each other",
        ) from error
    roots = (file.parent, file.parent / "images", file.parent.parent, file.parent.parent / "images")
    for number, name in pictures:
        if labels[number]:
            places = [_below(root, name) for root in roots]
            there = next((place for place in places if place.is_file()), places[0])
            yield LabelledPicture(there, tuple(labels[number]))


def _box(value: Any, where: str) -> Box:
    """`[x, y, width, height]`, rounded to whole pixels."""
    try:
        x, y, width, height = (round(float(number)) for number in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputUnusable(
            f"{where}: {value!r} is not a box", "write [x, y, width, height]"
        ) from error
    return Box(x, y, width, height)


def _below(root: Path, name: str) -> Path:
    if leads_out(name):
        raise InputUnusable(
            f"{name!r} leads out of {root}", "name pictures by their path below that folder"
        )
    return root / name


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputUnusable(f"{where} is not JSON: {error}", "see docs/commands.md") from error
    if not isinstance(told, dict):
        raise InputUnusable(f"{where} is not a JSON object", "see docs/commands.md")
    return told


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InputUnusable(f"{file} is larger than {MOST_BYTES} bytes", "split it")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnusable(f"cannot read {file}: {error}", "check it") from error
