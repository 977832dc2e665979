"""Detecting the layout of labelled folders and reading their labels."""

from __future__ import annotations

import re
import shlex
import tarfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import (
    ARCHIVE_EXTENSIONS,
    SPLIT_FOLDERS,
    VIDEO_EXTENSIONS,
    find_class_folder,
    find_split_folders,
)
from labeler.export.tree import read_marker
from labeler.importing.coco import read_coco, read_coco_file
from labeler.importing.labelled import ImportTree, LabelledFiles, has_coordinates, read_text_file
from labeler.importing.round_trip import (
    NO_CLASS_FOLDER,
    add_credits,
    check_class_folders,
    read_export,
)
from labeler.importing.tables import read_csv, read_metadata
from labeler.importing.yolo import read_yolo

# Folder names for kinds of files rather than classes.
_GENERIC = re.compile(
    r"(jpe?g|png|rgb|raw|ped|train|val|test|all|my)?[ _-]*"
    r"(images?|imgs?|pics?|pictures?|photos?|frames?|masks?|labels?|annotations?|data(set)?s?"
    r"|files?|segmentation(class|object)|imagesets?)[ _\d-]*",
    re.IGNORECASE,
)


def read_captions(tree: ImportTree) -> LabelledFiles | None:
    """Read images in one folder with captions that start with the class; None if there are none."""
    texts = {path.with_suffix(""): path for path in tree.iter_files(".txt")}
    captioned = [path for path in tree.images if path.with_suffix("") in texts]
    if not captioned or any(path.parent != tree.root for path in tree.images):
        return None
    labelled = LabelledFiles("captions", tree, "without a caption")
    for image in captioned:
        file = texts[image.with_suffix("")]
        labelled.tables.add(file)
        try:
            text = read_text_file(file)
        except InputUnusable:
            labelled.refused[image] = ("unreadable caption", f"{file.name}: save it as UTF-8")
            continue
        if any(map(has_coordinates, text.splitlines())):
            detail = f"{file.name} has coordinates: export YOLO with class names, or COCO"
            labelled.refused[image] = ("labels in another format", detail)
        elif label := text.partition("\n")[0].partition(",")[0].strip():
            labelled.label(image, label)
        else:
            labelled.ignored[image] = "caption without a class"
    return labelled if labelled.images or labelled.refused else None


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
        _check_level(tree, labelled, names)
    return labelled


def _check_level(tree: ImportTree, labelled: LabelledFiles, names: Counter[str]) -> None:
    """Refuse generic folder names; set a note if deeper folders may be the classes."""
    deeper = _find_deeper_level(tree, labelled.splits)
    generic = [name for name in names if _GENERIC.fullmatch(name)]
    if len(generic) == len(names):
        raise InputUnusable(
            f"{', '.join(sorted(generic))} in {tree.root} is not a class name",
            f"if the classes are deeper: --class-level {deeper[0]} ({_shorten(deeper[1])})"
            if deeper
            else _fix(tree),
        )
    if len(names) == 1 and deeper:
        labelled.note = (
            f"only one class, {min(names)}, but it has folders: {_shorten(deeper[1])}; if those "
            f"are the classes: labeler undo, then labeler import --class-level {deeper[0]}"
        )
    elif generic:
        labelled.note = f"imported as a class: {', '.join(sorted(generic))}"


def _find_deeper_level(tree: ImportTree, splits: frozenset[str]) -> tuple[int, list[str]] | None:
    names: dict[int, set[str]] = defaultdict(set)
    for path in tree.images:
        inside = path.relative_to(tree.root).parts[:-1]
        for level in range(2, len(inside) + 1):
            if (name := find_class_folder(inside, level, splits)) is not None:
                names[level].add(name)
    for level, folders in sorted(names.items()):
        if len(folders) > 1 and not all(name.lower() in SPLIT_FOLDERS for name in folders):
            return level, sorted(folders)
    return None


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _fix(tree: ImportTree) -> str:
    if any(tree.iter_files(".json", ".xml", ".csv", ".txt")):
        return (
            "export COCO, YOLO, metadata.jsonl or a CSV with file_name and label from your tool, "
            "or put the images of each class into a folder with its name"
        )
    return "put the images of each class into a folder with its name"


def check_importable(path: Path) -> None:
    """Raise `InputUnusable` for anything but a folder or a file that may contain labels."""
    quoted = shlex.quote(str(path))
    if path.is_dir():
        if is_dataset(path):
            raise InputUnusable(
                f"{path} is a Gleanset dataset", f"merge it: gleanset merge {quoted}"
            )
        return
    if not path.is_file():
        raise InputUnusable(f"there is no file or folder {path}", "check its name")
    suffix = path.suffix.lower()
    if suffix in VIDEO_EXTENSIONS:
        raise InputUnusable(f"{path} is a video", f"take images from it: harvest frames {quoted}")
    if suffix in ARCHIVE_EXTENSIONS or zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
        raise InputUnusable(
            f"{path} is an archive",
            f"harvest folder {quoted} --hints-from-folders; or unpack it and import the folder",
        )
    # Here, because it loads Pillow.
    from gleanset.images.decode import IMAGE_EXTENSIONS

    if suffix in IMAGE_EXTENSIONS:
        raise InputUnusable(
            f"{path} is an image without a label", f"import it: harvest folder {quoted}"
        )


def read_labelled(path: Path, class_level: int | None = None) -> LabelledFiles:
    """Read the labels of a COCO file, or of a folder in any supported layout.

    In order of precedence: `metadata.jsonl`, COCO, YOLO, captions, then class folders at
    `class_level` (default: outermost) or CSV files. Raises `InputUnusable` if there are no labels,
    `UsageError` for a level if a file has the labels.
    """
    check_importable(path)
    if path.is_file():
        if class_level is not None:
            raise class_level_error(path)
        tree = _coco_tree(path)
        files = read_coco_file(tree, path)
        add_credits(files)
        # Other files next to it are not counted.
        tree.images, tree.others = files.listed_images(), []
        return files
    tree = ImportTree.from_folder(path)
    tables = (read_metadata, read_coco, read_yolo, read_captions)
    if class_level is not None:
        if any(read(tree) is not None for read in tables[:2]):
            raise class_level_error(path)
        return read_class_folders(tree, class_level)
    readings = (read(tree) for read in (read_export, *tables))
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


def _coco_tree(file: Path) -> ImportTree:
    """Return the images in the folder of a COCO file, else in its parent folder."""
    tree = ImportTree.from_folder(file.parent)
    if not tree.images:
        tree = ImportTree.from_folder(file.parent.parent)
    tree.ignored.clear()
    return tree


def class_level_error(path: Path) -> UsageError:
    """Return the error for a class level if files have the labels."""
    return UsageError(f"{path} has labels in files, not in folders", "leave out --class-level")
