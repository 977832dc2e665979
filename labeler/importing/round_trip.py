"""Exports of ours: one in which a person has moved files about, or one of another dataset."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.credit import Credit, credit_text, page_address
from gleanset.errors import InputUnusable
from gleanset.files.names import class_folder
from gleanset.files.store import sha256_of_file
from gleanset.records import SPLITS
from labeler.export.formats import format_of_marker
from labeler.export.formats.captions import (
    CLASS,
    caption_class,
    caption_digest,
    caption_file,
)
from labeler.export.rows import LICENCES, from_cell
from labeler.export.tree import marked
from labeler.importing.labelled import (
    ImportTree,
    LabelledFiles,
    LabelledPicture,
    PictureSource,
    text_of,
    visible_images,
)


@dataclass
class ExportMoves:
    """What a person did: sample to new label, files that are new, and what is only counted.

    `disputed` are files that were moved while their samples got yet another label here, with what
    is said of each.
    """

    relabelled: dict[str, str] = field(default_factory=dict)
    added: list[LabelledPicture] = field(default_factory=list)
    disputed: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    tally: Counter[str] = field(
        default_factory=lambda: Counter(unchanged=0, gone=0, other_split=0, unknown=0)
    )

    def result(self) -> dict[str, object]:
        """As a command returns it: deleted files and files moved to another split are counted."""
        labels = Counter(self.relabelled.values())
        return {
            "kind": "our export",
            "relabelled": len(self.relabelled),
            "labels": dict(sorted(labels.items())),
            "disputed": len(self.disputed),
            "new_files": len(self.added),
            **self.tally,
        }


def is_of(dataset: Dataset, marker: Mapping[str, Any]) -> bool:
    """Return whether a marker tells of an export of this dataset: it knows some of the samples."""
    keys = (str(picture.get("sample")) for picture in exported_pictures(marker).values())
    return any(dataset.samples.get(key) is not None for key in keys)


def exported_pictures(marker: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a marker says of each image, without what somebody damaged in it."""
    pictures = marker.get("pictures")
    rows = pictures.items() if isinstance(pictures, dict) else ()
    return {
        name: {"sha256": "", **facts}
        for name, facts in rows
        if isinstance(facts, dict) and isinstance(facts.get("label"), str)
    }


def check_class_folders(root: Path, marker: Mapping[str, Any]) -> None:
    """Raise `InputUnusable` where a marker says that folders of its export are no classes."""
    form = format_of_marker(marker.get("format"))
    if marker and (form is None or form.pictures != "class folders"):
        raise InputUnusable(
            f"{root} is a {marker.get('format')} export, whose pictures have no class folders",
            "export an imagefolder, move its pictures about, and import that",
        )


def find_moves(dataset: Dataset, root: Path) -> ExportMoves:
    """Compare an exported tree with its marker: by content, so names may have changed too.

    Raises `InputUnusable` for exports that have no class folders.
    """
    marker = marked(root)
    check_class_folders(root, marker)
    pictures = exported_pictures(marker)
    folder_of = folder_of_class(marker)
    labels = {folder_of(name): str(about["label"]) for name, about in pictures.items()}
    moves = ExportMoves()
    files = (path for path in visible_images(root, moves.ignored) if not path.is_symlink())
    digests = {path.relative_to(root).as_posix(): file_hash(path) for path in files}
    names = recognised(digests, pictures)
    captions = EditedCaptions(root, marker, pictures, dataset.classes.names())
    for name, before in names.items():
        try:
            rewritten = captions.of(name, before)
        except UnicodeDecodeError:
            moves.disputed[name] = "its caption is not UTF-8: save it as UTF-8 and import again"
            continue
        label = rewritten or labels.get(folder_of(name), folder_of(name))
        if not label:
            moves.tally["unknown"] += 1
        elif before is None:
            moves.added.append(LabelledPicture(root / name, ((None, label),), original_path=name))
        else:
            moved = not marker.get("no_split") and _outermost(before) != _outermost(name)
            _compare(dataset, moves, pictures[before], (name, label), other_split=moved)
    moves.tally["gone"] = len(set(pictures) - set(names.values()))
    return moves


@dataclass(frozen=True, slots=True)
class EditedCaptions:
    """Reads the classes of captions that somebody has edited since they were exported."""

    root: Path
    marker: Mapping[str, Any]
    pictures: Mapping[str, Mapping[str, Any]]
    classes: Sequence[str]

    def of(self, name: str, before: str | None) -> str | None:
        """Return the class that the caption of an image names now; None where it is as it was.

        Raises `UnicodeDecodeError`.
        """
        template = str(self.marker.get("caption"))
        if self.marker.get("format") != "captions" or not template.startswith(CLASS):
            return None
        try:
            text = caption_file(self.root / name).read_text(encoding="utf-8-sig").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        facts = self.pictures[before] if before else {}
        if not text or facts.get("caption") == caption_digest(text):
            return None
        label = facts.get("label")
        named = caption_class(text.partition("\n")[0], label, self.classes, template)
        return None if named == label else named


def recognised(
    digests: Mapping[str, str], pictures: Mapping[str, Mapping[str, Any]]
) -> dict[str, str | None]:
    """Return the files of a tree, each with its name in the export; None for those put in.

    What has its old name and content comes first, so that a copy is nothing but a new file;
    then what has the content of another one, as two that changed places do; and a name alone
    is that of a picture which somebody has edited.
    """
    names: dict[str, str | None] = {
        name: name
        for name, digest in digests.items()
        if name in pictures and digest == str(pictures[name]["sha256"])
    }
    left: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(pictures) - set(names), reverse=True):
        left[str(pictures[name]["sha256"])].append(name)
    others = [name for name in digests if name not in names]
    names |= {name: left[digests[name]].pop() for name in others if left[digests[name]]}
    known = set(names.values())
    for name in others:
        names.setdefault(name, name if name in pictures and name not in known else None)
    return dict(sorted(names.items()))


def _compare(
    dataset: Dataset,
    moves: ExportMoves,
    about: dict[str, Any],
    now: tuple[str, str],
    *,
    other_split: bool,
) -> None:
    (name, label), sample = now, dataset.samples.get(str(about["sample"]))
    if sample is None:
        moves.tally["unknown"] += 1
    elif sample.label != label and about["label"] != label:
        if sample.status == "labelled" and sample.label != about["label"]:
            moves.disputed[name] = f"it says {label}, decided is {sample.label}"
        else:
            moves.relabelled[sample.key] = label
    elif other_split:
        moves.tally["other_split"] += 1
    else:
        moves.tally["unchanged"] += 1


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; nothing where it cannot be read."""
    try:
        return sha256_of_file(path)
    except OSError:
        return ""  # said of it when it is taken in


def folder_of_class(marker: Mapping[str, Any]) -> Callable[[str], str]:
    """Return what finds the class folder of an image by its name in an export."""
    if marker.get("no_split"):
        return _outermost
    return lambda name: class_folder(name.split("/")[:-1]) or ""


def _outermost(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


_WITH_BOXES = ("coco", "yolo-detect")
"""Forms that the readers of other tools' files read."""


def read_export(tree: ImportTree) -> LabelledFiles | None:
    """Read the class folders of an export of ours, or those of a folder within one.

    None for any other tree, and for boxes. Images that were moved since are known by their
    content. Raises `InputUnusable` for a form that cannot be imported.
    """
    root = _export_root(tree.root)
    marker = marked(root)
    if not marker or marker.get("format") in _WITH_BOXES:
        return None
    check_class_folders(root, marker)
    labelled = LabelledFiles("export", tree, "without a class folder")
    labelled.splits = frozenset(() if marker.get("no_split") else SPLITS)
    pictures = exported_pictures(marker)
    folder_of = folder_of_class(marker)
    labels = {folder_of(name): facts["label"] for name, facts in pictures.items()}
    paths = {_below(root, path): path for path in tree.images}
    names = recognised({name: file_hash(path) for name, path in paths.items()}, pictures)
    captions = EditedCaptions(root, marker, pictures, [*labels.values()])
    for name, before in names.items():
        path, folder = paths[name], folder_of(name)
        try:
            label = captions.of(name, before) or labels.get(folder, folder)
        except UnicodeDecodeError:
            labelled.refused[path] = ("unreadable caption", "save it as UTF-8")
            continue
        if label:
            labelled.label(path, label)
    add_sources(labelled, names)
    return labelled


def add_sources(files: LabelledFiles, names: Mapping[str, str | None] | None = None) -> None:
    """Add what the `LICENSES.csv` of an export says of images; `names` are those they had there."""
    root = _export_root(files.tree.root)
    table = _sources(root)
    for path in files.tree.images if table else ():
        name = _below(root, path)
        before = name if names is None else names.get(name)
        if before in table:
            files.sources[path] = table[before]


def _sources(root: Path) -> dict[str | None, PictureSource]:
    try:
        rows = list(csv.DictReader(io.StringIO(text_of(root / LICENCES), newline="")))
    except (InputUnusable, csv.Error):
        return {}
    table = {}
    for row in rows:
        cells = {name: from_cell(text) for name, text in row.items() if isinstance(text, str)}
        author, licence = credit_text(cells.get("author")), credit_text(cells.get("licence"))
        credit = Credit(author, licence, page_address(cells.get("page")))
        title, original_path = cells.get("title"), cells.get("original_path")
        split = cells.get("split") if cells.get("split") in SPLITS else None
        table[cells.get("file")] = PictureSource(
            credit, title or None, original_path or None, split
        )
    return table


def _export_root(folder: Path) -> Path:
    """Return the export that a folder is, or is a split or class of; else the folder itself."""
    above = folder.resolve().parents[:2]
    return next((place for place in (folder, *above) if marked(place)), folder)


def _below(root: Path, path: Path) -> str:
    return (path if path.is_relative_to(root) else path.resolve()).relative_to(root).as_posix()
