"""Detecting the layout of labelled folders and reading their labels."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import VIDEO_EXTENSIONS, find_class_folder, find_split_folders
from labeler.export.tree import read_marker
from labeler.importing.label_files import read_coco, read_csv, read_metadata, read_yolo
from labeler.importing.labelled import ImportTree, LabelledFiles
from labeler.importing.round_trip import (
    NO_CLASS_FOLDER,
    add_credits,
    check_class_folders,
    read_export,
)

# Folder names for kinds of files rather than classes.
_GENERIC = re.compile(
    r"(jpe?g|png|rgb|raw|ped|train|val|test|all|my)?[ _-]*"
    r"(images?|imgs?|pics?|pictures?|photos?|frames?|masks?|labels?|annotations?|data(set)?s?"
    r"|files?|segmentation(class|object)|imagesets?)[ _\d-]*",
    re.IGNORECASE,
)


def read_class_folders(tree: ImportTree, level: int | None) -> LabelledFiles:
    """Read `<class>/…` or `train|val|test/<class>/…`.

    Raises `InputUnusable` if no folder names a class; without `level` also if all names are
    generic, such as `images`.
    """
    marker = read_marker(tree.root)
    check_class_folders(tree.root, marker)
    labelled = LabelledFiles("tree", tree, NO_CLASS_FOLDER)
    folders = {path: path.relative_to(tree.root).parts[:-1] for path in tree.images}
    if not marker.get("no_split"):
        labelled.splits = find_split_folders(folders.values())
    for path, inside in folders.items():
        if (label := find_class_folder(inside, level or 1, labelled.splits)) is not None:
            labelled.label(path, label)
    names = labelled.count_classes()
    if not names:
        depth = f" {level} levels down" if (level or 1) > 1 else ""
        raise InputUnusable(f"{tree.root} has no folders with images{depth}", _fix(tree))
    if level is None:
        _check_names(tree, labelled, names)
    return labelled


def _check_names(tree: ImportTree, labelled: LabelledFiles, names: Counter[str]) -> None:
    """Refuse generic folder names; set a note if deeper folders may be the classes."""
    generic = [name for name in names if _GENERIC.fullmatch(name)]
    if len(generic) == len(names):
        raise InputUnusable(
            f"{', '.join(sorted(generic))} in {tree.root} is not a class name",
            f"if the classes are deeper: --class-level 2; else {_fix(tree)}",
        )
    depths = {len(path.relative_to(tree.root).parts) for path in tree.images}
    if len(names) == 1 and max(depths) > 2:
        labelled.note = (
            f"only one class, {min(names)}; if the classes are deeper: labeler undo, then "
            "labeler import --class-level 2"
        )
    elif generic:
        labelled.note = f"imported as a class: {', '.join(sorted(generic))}"


def _fix(tree: ImportTree) -> str:
    if any(tree.iter_files(".json", ".xml", ".csv", ".txt")):
        return (
            "export COCO, YOLO, metadata.jsonl or a CSV with file_name and label from your tool, "
            "or put the images of each class into a folder with its name"
        )
    return "put the images of each class into a folder with its name"


def check_importable(path: Path) -> None:
    """Raise `InputUnusable` for anything but a folder that may contain labelled images."""
    quoted = shlex.quote(str(path))
    if is_dataset(path):
        raise InputUnusable(f"{path} is a Gleanset dataset", f"merge it: gleanset merge {quoted}")
    if path.is_dir():
        return
    if not path.exists():
        raise InputUnusable(f"there is no folder {path}", "check its name")
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl", ".csv", ".yaml"):
        fix = f"name the folder with the images: labeler import {shlex.quote(str(path.parent))}"
    elif suffix in VIDEO_EXTENSIONS:
        fix = f"take images from a video: harvest frames {quoted}"
    else:
        fix = f"import images and archives: harvest folder {quoted} --hints-from-folders"
    raise InputUnusable(f"{path} is not a folder", fix)


def read_labelled(path: Path, class_level: int | None = None) -> LabelledFiles:
    """Read the labels of a folder in any supported layout.

    In order of precedence: an export of Gleanset, `metadata.jsonl`, COCO, YOLO, then class folders
    at `class_level` (default: outermost) or CSV files. Raises `InputUnusable` if there are no
    labels, `UsageError` for a level if a file has the labels.
    """
    check_importable(path)
    tree = ImportTree.from_folder(path)
    if class_level is not None:
        if any(read(tree) is not None for read in (read_metadata, read_coco)):
            raise class_level_error(path)
        return read_class_folders(tree, class_level)
    readings = (read(tree) for read in (read_export, read_metadata, read_coco, read_yolo))
    files = next(filter(None, readings), None) or _read_folders_or_csv(tree)
    add_credits(files)
    return files


def _read_folders_or_csv(tree: ImportTree) -> LabelledFiles:
    """Read class folders; prefer a CSV file if there are fewer than two classes."""
    try:
        files = read_class_folders(tree, None)
    except InputUnusable:
        if (table := read_csv(tree)) is None:
            raise
        return table
    return files if len(files.count_classes()) > 1 else read_csv(tree) or files


def class_level_error(path: Path) -> UsageError:
    """Return the error for a class level if files have the labels."""
    return UsageError(f"{path} has labels in files, not in folders", "leave out --class-level")
