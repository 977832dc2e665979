"""Reading exports of Gleanset: of this dataset with moved files, or of another dataset."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.files.names import find_class_folder
from gleanset.files.store import hash_file
from gleanset.records import SPLITS
from labeler.export.formats import find_format
from labeler.export.formats.captions import (
    CLASS,
    caption_digest,
    caption_path,
    parse_caption_class,
)
from labeler.export.rows import LICENCE_FILE, unescape_formula
from labeler.export.tree import read_marker
from labeler.importing.labelled import (
    ImportTree,
    LabelledFiles,
    LabelledImage,
    SourceInfo,
    iter_images,
    read_text_file,
)


@dataclass
class ExportMoves:
    """Changes in an export: new labels by sample, new files, and counts.

    `disputed` are moved files whose samples got yet another label in the dataset, with an
    explanation.
    """

    relabelled: dict[str, str] = field(default_factory=dict)
    added: list[LabelledImage] = field(default_factory=list)
    disputed: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    tally: Counter[str] = field(
        default_factory=lambda: Counter(unchanged=0, gone=0, other_split=0, unknown=0)
    )

    def result(self) -> dict[str, object]:
        """Return the result of the command; deletions and moves between splits are only counted."""
        labels = Counter(self.relabelled.values())
        return {
            "kind": "our export",
            "relabelled": len(self.relabelled),
            "labels": dict(sorted(labels.items())),
            "disputed": len(self.disputed),
            "new_files": len(self.added),
            **self.tally,
        }


def is_export_of(dataset: Dataset, marker: Mapping[str, Any]) -> bool:
    """Return whether a marker belongs to an export of this dataset."""
    keys = (str(entry.get("sample")) for entry in marker_entries(marker).values())
    return any(dataset.samples.get(key) is not None for key in keys)


def marker_entries(marker: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the valid entries of a marker by file name."""
    entries = marker.get("images")
    rows = entries.items() if isinstance(entries, dict) else ()
    return {
        name: {"sha256": "", **facts}
        for name, facts in rows
        if isinstance(facts, dict) and isinstance(facts.get("label"), str)
    }


def check_class_folders(root: Path, marker: Mapping[str, Any]) -> None:
    """Raise `InputUnusable` for exports without class folders."""
    form = find_format(marker.get("format"))
    if marker and (form is None or form.layout != "class folders"):
        raise InputUnusable(
            f"{root} is a {marker.get('format')} export, which has no class folders",
            "use --format imagefolder, move its images, and import that",
        )


def find_moves(dataset: Dataset, root: Path) -> ExportMoves:
    """Compare an export with its marker, by file content.

    Raises `InputUnusable` for exports without class folders.
    """
    marker = read_marker(root)
    check_class_folders(root, marker)
    entries = marker_entries(marker)
    moves = ExportMoves()
    files = (path for path in iter_images(root, moves.ignored) if not path.is_symlink())
    digests = {path.relative_to(root).as_posix(): file_hash(path) for path in files}
    exported_names = set()
    for name, before, label in _read_labels(root, marker, digests, dataset.classes.list_names()):
        exported_names.add(before)
        if label is None:
            moves.disputed[name] = "its caption is not UTF-8: save it as UTF-8 and import again"
        elif not label:
            moves.tally["unknown"] += 1
        elif before is None:
            moves.added.append(LabelledImage(root / name, ((None, label),), original_path=name))
        else:
            moved = not marker.get("no_split") and _top_folder(before) != _top_folder(name)
            _compare(dataset, moves, entries[before], (name, label), other_split=moved)
    moves.tally["gone"] = len(entries.keys() - exported_names)
    return moves


def _read_labels(
    root: Path,
    marker: Mapping[str, Any],
    digests: Mapping[str, str],
    classes: Sequence[str] | None = None,
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each file with its exported name (None for new files) and its label.

    The label is that of an edited caption, else that of the class folder; empty outside of class
    folders, and None if the caption is not UTF-8. Captions may name one of `classes` (default:
    those of the export) that contains a comma.
    """
    entries = marker_entries(marker)

    def folder_of(name: str) -> str:
        if marker.get("no_split"):
            return _top_folder(name)
        return find_class_folder(name.split("/")[:-1]) or ""

    labels = {folder_of(name): str(entry["label"]) for name, entry in entries.items()}
    classes = [*labels.values()] if classes is None else classes
    template = str(marker.get("caption"))
    has_captions = marker.get("format") == "captions" and template.startswith(CLASS)
    for name, before in match_files(digests, entries).items():
        folder = folder_of(name)
        label: str | None = labels.get(folder, folder)
        if has_captions:
            facts = entries[before] if before else {}
            try:
                label = _edited_class(root / name, facts, classes, template) or label
            except UnicodeDecodeError:
                label = None
        yield name, before, label


def _edited_class(
    image: Path, facts: Mapping[str, Any], classes: Sequence[str], template: str
) -> str | None:
    """Return the class in an edited caption, else None. Raises `UnicodeDecodeError`."""
    try:
        text = caption_path(image).read_text(encoding="utf-8-sig").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not text or facts.get("caption") == caption_digest(text):
        return None
    label = facts.get("label")
    new_label = parse_caption_class(text.partition("\n")[0], label, classes, template)
    return None if new_label == label else new_label


def match_files(
    digests: Mapping[str, str], entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, str | None]:
    """Return the exported name of each file; None for new files.

    Files are matched by name and content, then by content alone (moved files), then by name alone
    (edited images). So a copy of an unchanged file is a new file.
    """
    names: dict[str, str | None] = {
        name: name
        for name, digest in digests.items()
        if name in entries and digest == str(entries[name]["sha256"])
    }
    unmatched: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(entries) - set(names), reverse=True):
        unmatched[str(entries[name]["sha256"])].append(name)
    others = [name for name in digests if name not in names]
    names |= {name: unmatched[digests[name]].pop() for name in others if unmatched[digests[name]]}
    matched = set(names.values())
    for name in others:
        names.setdefault(name, name if name in entries and name not in matched else None)
    return dict(sorted(names.items()))


def _compare(
    dataset: Dataset,
    moves: ExportMoves,
    entry: dict[str, Any],
    current: tuple[str, str],
    *,
    other_split: bool,
) -> None:
    (name, label), sample = current, dataset.samples.get(str(entry["sample"]))
    if sample is None:
        moves.tally["unknown"] += 1
    elif sample.label != label and entry["label"] != label:
        if sample.status == "labelled" and sample.label != entry["label"]:
            moves.disputed[name] = f"{label} in the export, {sample.label} in the dataset"
        else:
            moves.relabelled[sample.key] = label
    elif other_split:
        moves.tally["other_split"] += 1
    else:
        moves.tally["unchanged"] += 1


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it cannot be read."""
    try:
        return hash_file(path)
    except OSError:
        return ""  # reported when it is imported


def _top_folder(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


_WITH_BOXES = ("coco", "yolo-detect")
"""Formats that the readers of other tools' files can read."""


def read_export(tree: ImportTree) -> LabelledFiles | None:
    """Read the class folders of an export, or of a folder in one; None for other trees and boxes.

    Moved images are recognized by content. Raises `InputUnusable` for a format that cannot be
    imported.
    """
    root = _export_root(tree.root)
    marker = read_marker(root)
    if not marker or marker.get("format") in _WITH_BOXES:
        return None
    check_class_folders(root, marker)
    labelled = LabelledFiles("export", tree, "without a class folder")
    labelled.splits = frozenset(() if marker.get("no_split") else SPLITS)
    paths = {_relative_name(root, path): path for path in tree.images}
    digests = {name: file_hash(path) for name, path in paths.items()}
    names: dict[str, str | None] = {}
    for name, before, label in _read_labels(root, marker, digests):
        names[name] = before
        if label is None:
            labelled.refused[paths[name]] = ("unreadable caption", "save it as UTF-8")
        elif label:
            labelled.label(paths[name], label)
    add_sources(labelled, names)
    return labelled


def add_sources(files: LabelledFiles, names: Mapping[str, str | None] | None = None) -> None:
    """Add the rows of an export's `LICENSES.csv`; `names` has the exported names of moved files."""
    root = _export_root(files.tree.root)
    table = _read_licence_table(root)
    for path in files.tree.images if table else ():
        name = _relative_name(root, path)
        before = name if names is None else names.get(name)
        if before in table:
            files.sources[path] = table[before]


def _read_licence_table(root: Path) -> dict[str | None, SourceInfo]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text_file(root / LICENCE_FILE), newline="")))
    except (InputUnusable, csv.Error):
        return {}
    table = {}
    for row in rows:
        cells = {
            name: unescape_formula(text) for name, text in row.items() if isinstance(text, str)
        }
        author, licence = (
            clean_credit_text(cells.get("author")),
            clean_credit_text(cells.get("licence")),
        )
        credit = Credit(author, licence, clean_page_url(cells.get("page")))
        title, original_path = cells.get("title"), cells.get("original_path")
        split = cells.get("split") if cells.get("split") in SPLITS else None
        table[cells.get("file")] = SourceInfo(credit, title or None, original_path or None, split)
    return table


def _export_root(folder: Path) -> Path:
    """Return the export that contains a folder as root, split or class; else the folder itself."""
    candidates = (folder, *folder.resolve().parents[:2])
    return next((path for path in candidates if read_marker(path)), folder)


def _relative_name(root: Path, path: Path) -> str:
    return (path if path.is_relative_to(root) else path.resolve()).relative_to(root).as_posix()
