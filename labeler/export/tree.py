"""A tree that is either the old one or the new one, and never holds a person's files."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gleanset.errors import InputUnusable
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.platform import exchange_paths, sync_folder
from labeler.export.formats import format_of_marker

MARKER = ".gleanset-export.json"


@contextmanager
def replacing(target: Path, *, going_on: bool = False) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the block ends well.

    With `going_on` it has what a block that did not end well left there, and such a block leaves
    what it wrote for the next.

    Raises `InputUnusable` where `target` holds anything but an earlier export of ours. A link
    to a folder stays one, so `target` is to be without them: see `place_of`.
    """
    partial = target.with_name(f".{target.name}.gleanset-partial")
    old = target.with_name(f".{target.name}.gleanset-old")
    with disk_errors(target):
        _recover(target, old)
        check_ours(target)
        if not going_on:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _swap(partial, target, old)
        except BaseException:
            if going_on and any(partial.glob("*.json")):
                raise
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(partial, ignore_errors=True)


def place_of(target: Path) -> Path:
    """Return where an export really lies: behind links, without `..`. `InputUnusable` for a whole
    disk.
    """
    place = Path(os.path.realpath(target))
    if not place.name:
        raise InputUnusable(f"{target} is a whole disk", "name a new folder")
    return place


def mark(folder: Path, facts: Mapping[str, Any], *, ours: bool = True) -> None:
    """Note what is ours and what each file shows, so that a later export may replace it.

    Without `ours` no file is: they are a person's own.
    """
    found = (path for path in folder.rglob("*") if path.is_file()) if ours else ()
    files = sorted(path.relative_to(folder).as_posix() for path in found)
    text = json.dumps({"files": files, **facts}, ensure_ascii=False, sort_keys=True)
    write_atomic(folder / MARKER, text.encode())


def marked(folder: Path) -> dict[str, Any]:
    """Return what the marker of the export in `folder` says; nothing where there is none of
    ours.
    """
    try:
        told = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("files"), list) else {}


def check_ours(target: Path) -> None:
    """Refuse to replace what we did not write: `InputUnusable`."""
    if not target.exists():
        return
    if not target.is_dir():
        raise InputUnusable(f"{target} is a file", "name a new folder")
    told = marked(target)
    ours = {MARKER, *map(str, told["files"])} if told else set()
    found = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    present = {path.relative_to(target).as_posix() for path in found}
    if foreign := sorted(p for p in present - ours if not _left_by_reader(told, p)):
        raise InputUnusable(
            f"{target} holds files that are not from an export, such as {foreign[0]}",
            "export into a new folder, or move them away; moved pictures of an earlier export "
            "are taken over by: labeler import",
        )


def _left_by_reader(marker: Mapping[str, Any], path: str) -> bool:
    form = format_of_marker(marker.get("format"))
    return form is not None and re.fullmatch(form.left_by_reader, path) is not None


def _swap(partial: Path, target: Path, old: Path) -> None:
    sync_folder(partial)
    try:
        if not (target.exists() and exchange_paths(partial, target)):
            if target.exists():
                target.replace(old)
            partial.replace(target)
        sync_folder(target.parent)
    finally:
        _recover(target, old)


def _recover(target: Path, old: Path) -> None:
    """After an end between two renames, where one swap cannot be had, the old one is put back."""
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)
