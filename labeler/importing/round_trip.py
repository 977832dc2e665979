"""Reading exports of Gleanset: of this dataset with moved files, or of another dataset."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.files.names import find_class_folder
from gleanset.files.store import hash_file
from gleanset.records import SPLITS
from gleanset.tree import NOT_AN_IMAGE, summarize_ignored
from labeler.export.formats import find_format
from labeler.export.rows import LICENCE_FILE, unescape_formula
from labeler.export.tree import read_marker
from labeler.importing.labelled import ImportTree, LabelledFiles, SourceInfo, read_text_file

_WITH_BOXES = ("coco", "yolo-detect")
"""Formats that the readers of other tools' files can read."""
NO_CLASS_FOLDER = "without a class folder"


@dataclass
class ExportMoves:
    """Changes in an export: new labels by sample, and counts of files.

    `disputed` are moved files whose samples got yet another label in the dataset, with an
    explanation.
    """

    relabelled: dict[str, str] = field(default_factory=dict)
    disputed: dict[str, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    tally: Counter[str] = field(
        default_factory=lambda: Counter(unchanged=0, gone=0, other_split=0, unknown=0, new_files=0)
    )

    def result(self) -> dict[str, object]:
        """Return the result of the command; deletions and moves between splits are only counted."""
        labels = Counter(self.relabelled.values())
        result = {
            "kind": "our export",
            "relabelled": len(self.relabelled),
            "labels": dict(sorted(labels.items())),
            "disputed": len(self.disputed),
            **self.tally,
        }
        if self.tally["new_files"]:
            result["note"] = "new files were not imported: import them from another folder"
        return result | summarize_ignored(self.ignored)


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


def read_export(tree: ImportTree) -> LabelledFiles | None:
    """Read the class folders of an export, or of a folder in one; None for other trees and boxes.

    Raises `InputUnusable` for a format that cannot be imported.
    """
    root = _export_root(tree.root)
    marker = read_marker(root)
    if not marker or marker.get("format") in _WITH_BOXES:
        return None
    check_class_folders(root, marker)
    labelled, labels = LabelledFiles("export", tree, NO_CLASS_FOLDER), _folder_labels(marker)
    labelled.splits = frozenset(() if marker.get("no_split") else SPLITS)
    for path in tree.images:
        if folder := _class_folder(_relative_name(root, path), marker):
            labelled.label(path, labels.get(folder, folder))
    return labelled


def _folder_labels(marker: Mapping[str, Any]) -> dict[str, str]:
    """Return the class of each class folder, whose name may be shortened."""
    return {
        _class_folder(name, marker): str(entry["label"])
        for name, entry in marker_entries(marker).items()
    }


def _class_folder(name: str, marker: Mapping[str, Any]) -> str:
    if marker.get("no_split"):
        return _top_folder(name)
    return find_class_folder(name.split("/")[:-1]) or ""


def _top_folder(name: str) -> str:
    return name.partition("/")[0] if "/" in name else ""


def find_moves(dataset: Dataset, root: Path) -> ExportMoves:
    """Compare an export with its marker, by file content.

    Raises `InputUnusable` for exports without class folders.
    """
    marker = read_marker(root)
    check_class_folders(root, marker)
    entries, labels = marker_entries(marker), _folder_labels(marker)
    tree, moves = ImportTree.from_folder(root), ExportMoves()
    moves.ignored = tree.ignored + Counter({NOT_AN_IMAGE: len(tree.others)})
    files = [path for path in tree.images if not path.is_symlink()]
    names = match_files(root, files, entries)
    for name, before in names.items():
        folder = _class_folder(name, marker)
        if before is None:
            moves.tally["new_files"] += 1
        elif not folder:
            moves.tally["unknown"] += 1
        else:
            other_split = not marker.get("no_split") and _top_folder(before) != _top_folder(name)
            label = labels.get(folder, folder)
            _compare(dataset, moves, entries[before], (name, label), other_split=other_split)
    moves.tally["gone"] = len(entries.keys() - set(names.values()))
    return moves


def match_files(
    root: Path, files: Iterable[Path], entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, str | None]:
    """Return the exported name of each file, by its name below `root`; None for new files.

    Files are matched by name and content, then by content alone (moved files), then by name alone
    (edited images). So a copy of an unchanged file is a new file.
    """
    digests = {_relative_name(root, path): _file_hash(path) for path in files}
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


def _file_hash(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError:
        return ""


def add_credits(files: LabelledFiles) -> None:
    """Add the rows of an export's `LICENSES.csv`, also of moved files."""
    root = _export_root(files.tree.root)
    if not (table := _read_licence_table(root)):
        return
    paths = {_relative_name(root, path): path for path in files.tree.images}
    entries = marker_entries(read_marker(root))
    names = match_files(root, files.tree.images, entries) if entries else {n: n for n in paths}
    files.sources |= {paths[name]: table[old] for name, old in names.items() if old in table}


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
        author, licence = map(clean_credit_text, (cells.get("author"), cells.get("licence")))
        credit = Credit(author, licence, clean_page_url(cells.get("page")))
        names = cells.get("title") or None, cells.get("original_path") or None
        table[cells.get("file")] = SourceInfo(credit, *names)
    return table


def _export_root(folder: Path) -> Path:
    """Return the export that contains a folder as root, split or class; else the folder itself."""
    candidates = (folder, *folder.resolve().parents[:2])
    return next((path for path in candidates if read_marker(path)), folder)


def _relative_name(root: Path, path: Path) -> str:
    return (path if path.is_relative_to(root) else path.resolve()).relative_to(root).as_posix()
