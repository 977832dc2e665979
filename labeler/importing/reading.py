"""Which labels a folder has, and where: in files of other tools, or in its folders."""

from __future__ import annotations

import re
import shlex
import tarfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import ARCHIVES, SPLIT_FOLDERS, VIDEOS, class_folder, split_folders
from labeler.export.tree import marked
from labeler.importing.coco import read_coco, read_coco_file
from labeler.importing.labelled import ImportTree, LabelledFiles, has_coordinates, text_of
from labeler.importing.round_trip import add_sources, check_class_folders, read_export
from labeler.importing.tables import read_csv, read_metadata
from labeler.importing.voc import read_voc
from labeler.importing.yolo import read_yolo

# Folders that say what kind of files they hold, and not what the images show.
_GENERIC = re.compile(
    r"(jpe?g|png|rgb|raw|ped|train|val|test|all|my)?[ _-]*"
    r"(images?|imgs?|pics?|pictures?|photos?|frames?|masks?|labels?|annotations?|data(set)?s?"
    r"|files?|segmentation(class|object)|imagesets?)[ _\d-]*",
    re.IGNORECASE,
)
WITHOUT_CLASS = "without a class folder"


def read_captions(tree: ImportTree) -> LabelledFiles | None:
    """Read images beside each other, each with a text that begins with its class.

    None where no image has a text, or some are in folders.
    """
    texts = {path.with_suffix(""): path for path in tree.ending(".txt")}
    beside = [path for path in tree.images if path.with_suffix("") in texts]
    if not beside or any(path.parent != tree.root for path in tree.images):
        return None
    labelled = LabelledFiles("captions", tree, "without a caption")
    for image in beside:
        file = texts[image.with_suffix("")]
        labelled.tables.add(file)
        try:
            text = text_of(file)
        except InputUnusable:
            labelled.refused[image] = ("unreadable caption", f"{file.name}: save it as UTF-8")
            continue
        if any(map(has_coordinates, text.splitlines())):
            detail = f"{file.name} has coordinates: export YOLO with class names, or COCO"
            labelled.refused[image] = ("labels of another form", detail)
        elif label := text.partition("\n")[0].partition(",")[0].strip():
            labelled.label(image, label)
        else:
            labelled.ignored[image] = "caption without a class"
    return labelled if labelled.pictures or labelled.refused else None


def read_class_folders(tree: ImportTree, level: int | None) -> LabelledFiles:
    """Read `<class>/…` or `train|val|test/<class>/…`.

    Raises `InputUnusable` where no folder names a class: without a `level`, also where their names
    only say what kind of files they hold.
    """
    marker = marked(tree.root)
    check_class_folders(tree.root, marker)
    labelled = LabelledFiles("tree", tree, WITHOUT_CLASS)
    folders = {path: path.relative_to(tree.root).parts[:-1] for path in tree.images}
    if not marker.get("no_split"):
        labelled.splits = split_folders(folders.values())
    for path, inside in folders.items():
        if (label := class_folder(inside, level or 1, labelled.splits)) is not None:
            labelled.label(path, label)
    names = labelled.classes()
    if not names:
        deep = f" {level} levels down" if (level or 1) > 1 else ""
        raise InputUnusable(f"{tree.root} has no folders with images in them{deep}", _hint(tree))
    if level is None:
        _check_level(tree, labelled, names)
    return labelled


def _check_level(tree: ImportTree, labelled: LabelledFiles, names: Counter[str]) -> None:
    """Refuse folders that name no class; note a single class whose folders look like classes."""
    deeper = _deeper_level(tree, labelled.splits)
    generic = [name for name in names if _GENERIC.fullmatch(name)]
    if len(generic) == len(names):
        what = f"{', '.join(sorted(generic))} in {tree.root} names no class"
        raise InputUnusable(
            what,
            f"classes are deeper: --class-level {deeper[0]} ({_few(deeper[1])})"
            if deeper
            else _hint(tree),
        )
    if len(names) == 1 and deeper:
        labelled.note = (
            f"one class, {min(names)}, though it has folders: {_few(deeper[1])}; "
            f"if those are the classes: labeler undo, then import with --class-level {deeper[0]}"
        )
    elif generic:
        labelled.note = f"a class now: {', '.join(sorted(generic))}"


def _deeper_level(tree: ImportTree, splits: frozenset[str]) -> tuple[int, list[str]] | None:
    names: dict[int, set[str]] = defaultdict(set)
    for path in tree.images:
        inside = path.relative_to(tree.root).parts[:-1]
        for level in range(2, len(inside) + 1):
            if (name := class_folder(inside, level, splits)) is not None:
                names[level].add(name)
    for level, folders in sorted(names.items()):
        if len(folders) > 1 and not all(name.lower() in SPLIT_FOLDERS for name in folders):
            return level, sorted(folders)
    return None


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _hint(tree: ImportTree) -> str:
    if any(tree.ending(".json", ".xml", ".csv", ".txt")):
        return (
            "its other files are not labels in COCO, YOLO, Pascal VOC, metadata.jsonl or a CSV "
            "with file_name and label: export one of these from your tool, or put the images of "
            "each class into a folder of its name"
        )
    return "put the images of each class into a folder of its name"


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
