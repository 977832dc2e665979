"""Exports of other datasets: classes from the marker, credits from `LICENSES.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from gleanset.credit import Credit, credit_text, page_address
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS
from labeler.export.rows import LICENCES, from_cell
from labeler.export.tree import marked
from labeler.importing.labelled import ImportTree, LabelledFiles, PictureSource, text_of
from labeler.importing.round_trip import (
    EditedCaptions,
    check_class_folders,
    exported_pictures,
    file_hash,
    folder_of_class,
    recognised,
)

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
    """Return the rows of `LICENSES.csv` by file; empty where there is none of ours."""
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
