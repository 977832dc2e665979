"""Detecting the layout of labelled folders and exports, and reading their labels."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.command_result import AliasedResult, JsonDict
from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import VIDEO_EXTENSIONS, find_class_folder, find_split_folders
from gleanset.files.store import hash_file
from gleanset.files.tags import Tags, split_tags
from gleanset.named_files import shorten_list
from gleanset.records import SPLITS
from gleanset.source_table import SourceTables
from gleanset.tree import count_tags, summarize_ignored
from labeler.export.formats import find_format
from labeler.export.rows import LICENCE_FILE
from labeler.export.tree import COPIES, TAGS_MARK, read_marker
from labeler.importing.label_files import (
    find_unread_table,
    read_coco,
    read_rows,
    read_source,
    read_tables,
    read_yolo,
)
from labeler.importing.labelled import ImportTree, LabelledFiles

_WITH_BOXES = ("coco", "yolo-detect")
"""Formats of exports that are read as files of other tools."""
NO_CLASS_FOLDER = "without a class folder"


class MovesResult(AliasedResult):
    """Relabelled samples of an export that was read back, and counts of its files."""

    kind: str
    relabelled: int
    edited_captions: int
    labels: dict[str, int]
    disputed: int
    unchanged: int
    gone: int
    other_split: int
    unknown: int
    new_files: int
    note: str = ""
    ignored: int | None = None
    ignored_reasons: dict[str, int] = {}
    disputed_files: JsonDict = {}


class ExportMoves(NamedTuple):
    """Changes in an export: new labels by sample, new tags by image, and the command's result.

    `disputes` are files that were moved or whose caption was edited, but whose label or tags
    changed in the dataset, too, with an explanation. Deletions and moves between splits are only
    counted.
    """

    new_labels: dict[str, str]
    new_tags: dict[str, Tags]
    disputes: dict[str, str]
    result: MovesResult


def is_export_of(dataset: Dataset, marker: JsonDict) -> bool:
    """Return whether a marker belongs to an export of this dataset."""
    keys = (str(entry.get("sample")) for entry in marker_entries(marker).values())
    return any(dataset.samples.get(key) is not None for key in keys)


def marker_entries(marker: JsonDict) -> dict[str, JsonDict]:
    """Return the valid entries of a marker by file name, as `write_marker` stored them.

    An entry has the label, the key of the sample, and the SHA-256 of the file.
    """
    entries = marker.get("images")
    if not isinstance(entries, dict):
        return {}
    return {
        name: {"sha256": "", **facts}
        for name, facts in entries.items()
        if isinstance(facts, dict) and isinstance(facts.get("label"), str)
    }


def check_class_folders(root: Path, marker: JsonDict) -> None:
    """Raise `InputUnusable` for exports without class folders."""
    form = find_format(marker.get("format"))
    if marker and (form is None or form.layout != "class folders"):
        raise InputUnusable(
            f"{root} is a {marker.get('format')} export, which has no class folders",
            "use --format imagefolder, move its images, and import that",
        )


def read_export(tree: ImportTree) -> LabelledFiles | None:
    """Read the class folders of an export, or of a folder in one; None for other trees and boxes.

    Raises `InputUnusable` for a format that cannot be imported.
    """
    root = _find_export_root(tree.root)
    marker = read_marker(root)
    if not marker or marker.get("format") in _WITH_BOXES:
        return None
    check_class_folders(root, marker)

    files = LabelledFiles("export", tree, NO_CLASS_FOLDER)
    if not marker.get("no_split"):
        files.splits = frozenset(SPLITS)
    labels = _map_folders_to_labels(marker)
    for path in tree.images:
        folder = _find_class_folder(_get_relative_name(root, path), marker)
        # A folder that the export did not write is a class that a person added.
        if folder:
            files.label(
                path,
                labels.get(folder) or tree.folder_names.decode(folder),
            )
    return files


def list_files(folder: Path, encoding: str | None = None) -> ImportTree:
    """List the files of a folder; copies in a balanced export are not images of their own."""
    tree = ImportTree.from_folder(folder, encoding)
    root = _find_export_root(folder)
    copies = read_marker(root).get(COPIES)
    # A marker may have been edited.
    if isinstance(copies, list):
        paths = {root / str(name) for name in copies}
        images = [path for path in tree.images if path not in paths]
        tree.ignored["copy of a balanced export"] += len(tree.images) - len(images)
        tree.images = images
    return tree


def _map_folders_to_labels(marker: JsonDict) -> dict[str, str]:
    """Return the class of each class folder, whose name may be shortened."""
    return {
        _find_class_folder(name, marker): str(entry["label"])
        for name, entry in marker_entries(marker).items()
    }


def _find_class_folder(name: str, marker: JsonDict) -> str:
    """Return the class folder in the name of an exported file, "" if it is in none."""
    splits = () if marker.get("no_split") else None
    return find_class_folder(name.split("/")[:-1], splits=splits) or ""


def find_moves(dataset: Dataset, tables: SourceTables) -> ExportMoves:
    """Compare an export with its marker, by file content; `tables` read its captions.

    Raises `InputUnusable` for exports without class folders.
    """
    root = tables.top
    marker = read_marker(root)
    check_class_folders(root, marker)
    entries = marker_entries(marker)
    labels = _map_folders_to_labels(marker)
    tree = list_files(root)
    # A link that a user adds is not an image that was moved.
    exported_names = match_files(
        root, [path for path in tree.images if not path.is_symlink()], entries
    )

    # A class may have been renamed or merged since.
    resolve = cache(dataset.classes.resolve_alias)
    counts: JsonDict = Counter(unchanged=0, other_split=0, unknown=0, new_files=0)
    new_labels = {}
    disputes = {}
    for name, exported_name in exported_names.items():
        if exported_name is None:
            counts["new_files"] += 1
            continue

        # The folder that the file is in now, and the class that the export wrote into it. A folder
        # that a person added has the name of a class.
        entry = entries[exported_name]
        folder = _find_class_folder(name, marker)
        label = labels.get(folder, folder)
        sample = dataset.samples.get(str(entry["sample"]))
        if sample is None or not folder:
            counts["unknown"] += 1
        elif resolve(label) in (sample.label, resolve(entry["label"])):
            # Not moved to another class, or the dataset has this label already. Its first folder
            # is the split.
            is_in_other_split = exported_name.split("/")[0] != name.split("/")[0]
            if is_in_other_split and not marker.get("no_split"):
                counts["other_split"] += 1
            else:
                counts["unchanged"] += 1
        elif sample.status == "labelled" and sample.label != resolve(entry["label"]):
            # The file was moved to a class, and its sample got another class since the export.
            disputes[name] = f"{label} in the export, {sample.label} in the dataset"
        else:
            new_labels[sample.key] = label

    # Adds to the disputes.
    new_tags = _find_edited_tags(dataset, tables, entries, exported_names, disputes)
    # Texts with captions are not ignored files.
    ignored = tree.count_ignored()
    count_tags(tables.texts, ignored)
    result = MovesResult(
        kind="an export of this dataset",
        relabelled=len(new_labels),
        edited_captions=len(new_tags),
        labels=dict(sorted(Counter(new_labels.values()).items())),
        disputed=len(disputes),
        gone=len(entries.keys() - set(exported_names.values())),
        **counts,
    ).with_facts(summarize_ignored(ignored))
    if result.new_files:
        result.note = "new files were not imported: import them from another folder"
    return ExportMoves(new_labels, new_tags, disputes, result)


def _find_edited_tags(
    dataset: Dataset,
    tables: SourceTables,
    entries: Mapping[str, JsonDict],
    exported_names: Mapping[str, str | None],
    disputes: dict[str, str],
) -> dict[str, Tags]:
    """Return the tags of images (SHA-256) whose captions a person edited; add disputes."""
    new_tags: dict[str, Tags] = {}
    for name, exported_name in exported_names.items():
        entry = entries.get(exported_name or "", {})
        sample = dataset.samples.get(str(entry.get("sample")))
        image = dataset.images.get(sample.image) if sample else None
        parts = tables.get_row(tables.top / name).tags
        # Exports of earlier versions state no captions, and an empty text changes nothing.
        if not (image and parts and "caption" in entry):
            continue

        # The class and the words of the template before and after the tags are not tags.
        head, _, rest = str(entry["caption"]).partition(TAGS_MARK)
        exported_text, _, tail = rest.partition(TAGS_MARK)
        words = split_tags(f"{head},{tail},{entry['label']}")
        exported_tags = split_tags(exported_text)
        text = ", ".join(parts).removeprefix(head).removesuffix(tail)
        edited_tags = [tag for tag in split_tags(text) if tag not in words]
        if edited_tags == [tag for tag in exported_tags if tag not in words]:
            continue

        # A tag that is also the class is left out of the tags of a caption.
        known_tags = split_tags(",".join(t for o in image.origins for t in o.tags))
        class_tags = [tag for tag in known_tags if tag in words]
        tags = tuple(dict.fromkeys(class_tags + edited_tags))
        # Tags that the image got since the export would be lost.
        if {*known_tags} - {*tags, *exported_tags}:
            disputes[name] = "the image has tags that the exported caption had not"
        # Several exported files may show one image: the first edited caption sets its tags.
        elif tags != known_tags and new_tags.setdefault(image.sha256, tags) != tags:
            disputes[name] = "another caption of this image has other tags"
    return new_tags


def match_files(
    root: Path, files: Iterable[Path], entries: Mapping[str, JsonDict]
) -> dict[str, str | None]:
    """Return the exported name of each file, by its name below `root`; None for new files.

    Files are matched by name and content, then by content alone (moved files), then by name alone
    (edited images). So a copy of an unchanged file is a new file.
    """
    # By name and content.
    digests = _hash_files(root, files)
    exported_digests = {name: str(entry["sha256"]) for name, entry in entries.items()}
    matches: dict[str, str | None] = {
        name: name
        for name, digest in digests.items()
        if exported_digests.get(name) == digest
    }

    # Exported files that are elsewhere now, by content; equal ones in the order of their names.
    names_by_digest: dict[str, list[str]] = defaultdict(list)
    for name in sorted(entries.keys() - matches.keys(), reverse=True):
        names_by_digest[exported_digests[name]].append(name)
    other_names = [name for name in digests if name not in matches]
    for name in other_names:
        candidates = names_by_digest.get(digests[name])
        if candidates:
            matches[name] = candidates.pop()

    # By name alone, if that exported file was not found elsewhere.
    rest = entries.keys() - set(matches.values())
    for name in other_names:
        matches.setdefault(name, name if name in rest else None)
    return dict(sorted(matches.items()))


def _hash_files(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their name below `root`, "" for an unreadable one."""
    digests = {}
    for path in files:
        name = _get_relative_name(root, path)
        digests[name] = ""
        with suppress(OSError):
            digests[name] = hash_file(path)
    return digests


def add_credits(files: LabelledFiles) -> None:
    """Add the rows of an export's `LICENSES.csv`, also of moved files."""
    root = _find_export_root(files.tree.root)
    file = root / LICENCE_FILE
    rows = read_rows(files.tree, file)
    files.tree.report_encodings([file])
    if not rows:
        return

    table = {row.get("file"): read_source(row, row.get("licence")) for row in rows}

    # Moved files have the rows of their exported names, which only a marker knows.
    paths = {_get_relative_name(root, path): path for path in files.tree.images}
    entries = marker_entries(read_marker(root))
    exported_names: Mapping[str, str | None] = {name: name for name in paths}
    if entries:
        exported_names = match_files(root, files.tree.images, entries)

    for name, exported_name in exported_names.items():
        if exported_name in table:
            files.sources[paths[name]] = table[exported_name]


def _find_export_root(folder: Path) -> Path:
    """Return the export that contains a folder as root, split or class; else the folder itself."""
    for path in (folder, *folder.resolve().parents[:2]):
        if read_marker(path):
            return path
    return folder


def _get_relative_name(root: Path, path: Path) -> str:
    if not path.is_relative_to(root):
        path = path.resolve()  # `root` is, if it is above the folder that was named
    return path.relative_to(root).as_posix()


# Folder names for kinds of files rather than classes.
_GENERIC = re.compile(
    r"(jpe?g|png|rgb|raw|ped|train|val|test|all|my)?[ _-]*"
    r"(images?|imgs?|pics?|pictures?|photos?|frames?|masks?|labels?|annotations?|data(set)?s?"
    r"|files?|segmentation(class|object)|imagesets?)[ _\d-]*"
    r"|(train(ing)?|val(id(ation)?)?|test(ing)?|dev|eval(uation)?)[ _-]*(sets?)?[ _\d-]*",
    re.IGNORECASE,
)


def read_class_folders(tree: ImportTree, level: int | None) -> LabelledFiles:
    """Read `<class>/…` or `train|val|test/<class>/…`.

    Raises `InputUnusable` if no folder names a class; without `level` also if all names are
    generic, such as `images`.
    """
    marker = read_marker(tree.root)
    check_class_folders(tree.root, marker)
    files = LabelledFiles("tree", tree, NO_CLASS_FOLDER)
    folders = {path: path.relative_to(tree.root).parts[:-1] for path in tree.images}
    # In an export without splits a folder called test is a class.
    if not marker.get("no_split"):
        files.splits = find_split_folders(folders.values())
    for path, inside in folders.items():
        label = find_class_folder(inside, level or 1, files.splits)
        if label is not None:
            files.label(path, tree.folder_names.decode(label))

    names = files.count_classes()
    if not names:
        depth = f" {level} levels down" if (level or 1) > 1 else ""
        raise InputUnusable(
            f"{tree.root} has no folders with images{depth}",
            _suggest_labels(tree),
        )
    # A person who gives the level means these folders.
    if level is None:
        _check_names(tree, files, names)
    return files


def _check_names(tree: ImportTree, files: LabelledFiles, names: Counter[str]) -> None:
    """Refuse generic folder names; set a note if deeper folders may be the classes."""
    generic = [name for name in names if _GENERIC.fullmatch(name)]
    if len(generic) == len(names):
        raise InputUnusable(
            f"{', '.join(sorted(generic))} in {tree.root} is not a class name",
            f"if the classes are deeper: --class-level 2; else {_suggest_labels(tree)}",
        )

    if len(names) == 1 and (table := find_unread_table(tree)):
        raise InputUnusable(
            f"{table} names images, but has no columns called file_name and label",
            f"rename them; or if all images are {min(names)}: --class-level 1",
        )

    # Imported, but the person may have meant other folders: the path of a file in a class folder
    # has two parts.
    depths = {len(path.relative_to(tree.root).parts) for path in tree.images}
    if len(names) == 1 and max(depths) > 2:
        files.note = (
            f"only one class, {min(names)}; if the classes are deeper, import with "
            "--class-level 2 (labeler undo takes an import back)"
        )
    elif generic:
        files.note = f"imported as a class: {', '.join(sorted(generic))}"


def _suggest_labels(tree: ImportTree) -> str:
    """Return how to give labels to the images of a folder without any."""
    folders = "put the images of each class into a folder with its name"
    # Captions, which are read as tags: texts next to images that are not YOLO labels.
    captions = [
        path.name for path in tree.iter_files(".txt") if tree.find_sibling(path)
    ]
    if captions:
        command = f"harvest folder {shlex.quote(str(tree.root))} --label CLASS"
        unread = ", ".join(shorten_list(captions))
        return f"not read: {unread}; {folders}; if all are of one class: {command}"
    if tree.others:
        return f"export COCO, YOLO or a CSV with file_name and label from your tool, or {folders}"
    return folders


def check_importable(path: Path) -> None:
    """Raise `InputUnusable` for anything but a folder that may contain labelled images."""
    quoted_path = shlex.quote(str(path))
    if is_dataset(path):
        raise InputUnusable(
            f"{path} is a Gleanset dataset",
            f"merge it: gleanset merge {quoted_path}",
        )
    if path.is_dir():
        return
    if not path.exists():
        raise InputUnusable(f"there is no folder {path}", "check its name")

    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl", ".csv", ".yaml"):
        fix = f"name the folder with the images: labeler import {shlex.quote(str(path.parent))}"
    elif suffix in VIDEO_EXTENSIONS:
        fix = f"take images from a video: harvest frames {quoted_path}"
    else:
        fix = f"import images and archives: harvest folder {quoted_path} --hints-from-folders"

    raise InputUnusable(f"{path} is not a folder", fix)


def read_labelled(
    path: Path, class_level: int | None = None, encoding: str | None = None
) -> LabelledFiles:
    """Read the labels of a folder in any supported layout.

    In order of precedence: an export of Gleanset, COCO, YOLO, then class folders at `class_level`
    (default: outermost) or tables. Raises `InputUnusable` if there are no labels, and `UsageError`
    for a level if a COCO file has the labels. `encoding` is that of names and texts that are not
    UTF-8, None to guess it and print the guess.
    """
    check_importable(path)
    tree = list_files(path, encoding)
    if class_level is not None:
        if read_coco(tree) is not None:
            raise class_level_error(path)
        files = read_class_folders(tree, class_level)
    else:
        files = (
            read_export(tree)
            or read_coco(tree)
            or read_yolo(tree)
            or _read_folders_or_tables(tree)
        )

    tree.report_encodings(files.tables)
    add_credits(files)
    return files


def _read_folders_or_tables(tree: ImportTree) -> LabelledFiles:
    """Read class folders; tables if there are none, or only one, which names the whole set."""
    try:
        files = read_class_folders(tree, None)
    except InputUnusable:
        tables = read_tables(tree)
        if tables.tables:
            return tables
        if tables.dropped:
            raise InputUnusable(
                "cannot read {}: {}".format(*tables.dropped[0]),
                "check its quotation marks and its encoding",
            ) from None
        raise

    if len(files.count_classes()) < 2:
        tables = read_tables(tree)
        return tables if tables.tables else files
    # Folders win, but the table may be what the person means.
    if table := find_unread_table(tree):
        files.note = f"folders name the classes, not {table}"
    return files


def class_level_error(path: Path) -> UsageError:
    """Return the error for a class level if files have the labels."""
    return UsageError(
        f"{path} has labels in files, not in folders",
        "leave out --class-level",
    )
