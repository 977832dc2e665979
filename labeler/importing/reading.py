"""Which labels a folder has, and where: in files of other tools, or in its folders."""

from __future__ import annotations

import shlex
import tarfile
import zipfile
from pathlib import Path

from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import ARCHIVES, VIDEOS
from labeler.importing.class_tree import read_captions, read_class_folders
from labeler.importing.coco import read_coco, read_coco_file
from labeler.importing.labelled import ImportTree, LabelledFiles
from labeler.importing.other_export import add_sources, read_export
from labeler.importing.tables import read_csv, read_metadata
from labeler.importing.voc import read_voc
from labeler.importing.yolo import read_yolo


def check_place(path: Path) -> None:
    """Raise `InputUnusable` for what is neither a folder nor a file that may have labels."""
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
    if suffix in VIDEOS:
        raise InputUnusable(f"{path} is a video", f"take images from it: harvest frames {quoted}")
    if suffix in ARCHIVES or zipfile.is_zipfile(path) or tarfile.is_tarfile(path):
        raise InputUnusable(
            f"{path} is an archive",
            f"import its images: harvest folder {quoted} --hints-from-folders; or unpack it, and "
            "import the folder",
        )
    # Here, because it loads Pillow.
    from gleanset.images.decode import ENDINGS

    if suffix in ENDINGS:
        raise InputUnusable(
            f"{path} is an image without a label", f"import it: harvest folder {quoted}"
        )


def read_labelled(path: Path, class_level: int | None = None) -> LabelledFiles:
    """Read the labels of a COCO file, or of a folder in any layout that is known.

    In a folder these are `metadata.jsonl` or `metadata.parquet`, COCO, Pascal VOC, YOLO, texts
    beside images, and else its folders on `class_level` (the outermost by default) or a CSV file.
    Raises `InputUnusable` for what has no labels, `UsageError` for a level where a file has them.
    """
    check_place(path)
    if path.is_file():
        if class_level is not None:
            raise not_by_folders(path)
        tree = _tree_of(path)
        files = read_coco_file(tree, path)
        add_sources(files)
        # Only what it lists is accounted for.
        tree.images, tree.others = files.listed(), []
        return files
    tree = ImportTree.of(path)
    tables = (read_metadata, read_coco, read_voc, read_yolo, read_captions)
    if class_level is None:
        if (export := read_export(tree)) is not None:
            return export
        readings = (read(tree) for read in tables)
        files = next(filter(None, readings), None) or _by_folders_or_csv(tree)
        add_sources(files)
        return files
    if any(read(tree) is not None for read in tables[:2]):
        raise not_by_folders(path)
    return read_class_folders(tree, class_level)


def _by_folders_or_csv(tree: ImportTree) -> LabelledFiles:
    """Read class folders; where these are not several, a CSV file says more."""
    try:
        files = read_class_folders(tree, None)
    except InputUnusable:
        if (table := read_csv(tree)) is None:
            raise
        return table
    return files if len(files.classes()) > 1 else read_csv(tree) or files


def _tree_of(file: Path) -> ImportTree:
    """Return the images that a COCO file is about, in its folder or else the one above."""
    tree = ImportTree.of(file.parent)
    if not tree.images:
        tree = ImportTree.of(file.parent.parent)
    tree.ignored.clear()
    return tree


def not_by_folders(path: Path) -> UsageError:
    """Return what is raised where a level was given and files have the labels."""
    return UsageError(f"{path} says itself what its pictures are", "leave --class-level out")
