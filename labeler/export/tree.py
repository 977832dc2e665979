"""A tree that is either the old one or the new one, and never holds a person's files."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.named_files import few_files
from gleanset.platform import exchange_paths, sync_folder
from labeler.export.formats import format_of_marker

MARKER = ".gleanset-export.json"


FileState = tuple[int, int]
"""Time of the last change in nanoseconds, and size in bytes."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new tree in the making; `kept` are files of a person that it took over, once swapped in."""

    folder: Path
    kept: list[str] = field(default_factory=list)


@contextmanager
def replacing(target: Path, *, going_on: bool = False) -> Iterator[Replacement]:
    """Give a new folder beside `target` that takes its place when the block ends well.

    With `going_on` it has what a block that did not end well left there, and such a block leaves
    what it wrote for the next.

    Raises `InputUnusable` where `target` holds anything but an earlier export of ours. Files that
    somebody adds or changes there while the block runs are moved into the new tree. A link to a
    folder stays one, so `target` must have none: see `place_of`.
    """
    partial = target.with_name(f".{target.name}.gleanset-partial")
    old = target.with_name(f".{target.name}.gleanset-old")
    with disk_errors(target):
        _recover(target, old)
        states = check_ours(target)
        if not going_on:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        replacement = Replacement(partial)
        try:
            yield replacement
            _swap(partial, target, old)
        except BaseException:
            if going_on and any(partial.glob("*.json")):
                raise
            shutil.rmtree(partial, ignore_errors=True)
            raise
        replacement.kept.extend(_remove_old(old, target, states))


def kept_files(replacement: Replacement, target: Path) -> dict[str, object]:
    """Return what a result says of a person's files that a new tree took over."""
    return {"kept_files": few_files(replacement.kept, str(target))} if replacement.kept else {}


def place_of(target: Path) -> Path:
    """Return the path behind links. Raises `InputUnusable` for a whole disk."""
    place = Path(os.path.realpath(target))
    if not place.name:
        raise InputUnusable(f"{target} is a whole disk", "name a new folder")
    return place


def mark(folder: Path, facts: Mapping[str, Any]) -> None:
    """Note what is ours and what each file shows, so that a later export may replace it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    files = sorted(path.relative_to(folder).as_posix() for path in found)
    text = json.dumps({"files": files, **facts}, ensure_ascii=False, sort_keys=True)
    write_atomic(folder / MARKER, text.encode())


def marked(folder: Path) -> dict[str, Any]:
    """Return what the marker of an export says; empty where there is none."""
    try:
        told = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("files"), list) else {}


def check_ours(target: Path) -> dict[str, FileState]:
    """Return the state of each file in `target`, all of them from an export of ours.

    Raises `InputUnusable` for a file, and for a folder with any other files.
    """
    _check_folder(target)
    told = marked(target)
    ours = {MARKER, *map(str, told["files"])} if told else set()
    present = dict(_files_below(target))
    if foreign := sorted(p for p in present.keys() - ours if not _left_by_reader(told, p)):
        raise InputUnusable(
            f"{target} holds files that are not from an export, such as {foreign[0]}",
            "export into a new folder, or move them away; moved images of an earlier export "
            "are read back by: labeler import",
        )
    return {name: _state(path) for name, path in present.items()}


def _check_folder(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputUnusable(f"{target} is a file", "name a new folder")


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all that is not a folder, links too, by its path from `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix(), path


def _state(path: Path) -> FileState:
    facts = path.lstat()
    return facts.st_mtime_ns, facts.st_size


def _left_by_reader(marker: Mapping[str, Any], path: str) -> bool:
    form = format_of_marker(marker.get("format"))
    return form is not None and re.fullmatch(form.left_by_reader, path) is not None


def _swap(partial: Path, target: Path, old: Path) -> None:
    """Put `partial` at `target`; what was there is at `old` afterwards."""
    sync_folder(partial)
    _check_folder(target)
    try:
        if target.exists():
            # Under this name first: whatever is at `old` after a kill is emptied with care.
            partial.replace(old)
            if not exchange_paths(old, target):
                old.replace(partial)
                target.replace(old)
                partial.replace(target)
        else:
            partial.replace(target)
        sync_folder(target.parent)
    except BaseException:
        _recover(target, old)
        raise


def _recover(target: Path, old: Path) -> None:
    """Finish a swap that was interrupted: put the old tree back, or remove what is left of it."""
    if old.exists() and not target.exists():
        old.replace(target)
    elif old.exists():
        _remove_old(old, target, None)


def _remove_old(old: Path, target: Path, states: Mapping[str, FileState] | None) -> list[str]:
    """Remove what an export wrote to `old`, move all else to `target`; the new names of that.

    `states` are those of the files of the export; without them the marker says which those are.
    """
    told = marked(old)
    listed = {MARKER, *map(str, told["files"])} if told else set()
    kept = []
    for name, path in _files_below(old):
        ours = name in listed if states is None else states.get(name) == _state(path)
        if ours or _left_by_reader(told, name):
            path.unlink()
        else:
            place = _free_place(target, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            kept.append(place.relative_to(target).as_posix())
    for folder in sorted((p for p in old.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    if old.exists():
        old.rmdir()
    return kept


def _free_place(target: Path, name: str) -> Path:
    """Return where a person's file goes: the same path, or a new name on top of the tree."""
    path, number = target / name, 1
    while os.path.lexists(path) or any(p.is_file() for p in path.parents):
        path = target / f"kept-{number}-{Path(name).name}"
        number += 1
    return path
