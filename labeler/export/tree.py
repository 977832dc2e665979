"""Replacing an export atomically, without touching files that are not from an export."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gleanset.command_result import JsonDict
from gleanset.errors import InputUnusable
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.files.store import hash_file
from gleanset.platform import exchange_paths, sync_folder
from labeler.export.formats import find_format

MARKER = ".gleanset-export.json"
COPIES = "copies"
"""Key of a marker: the files that repeat an image in a balanced export."""
TAGS_MARK = "\0"
"""Before and after the tags of a caption in a marker: no text has it."""
TEXT_SUFFIXES = (".txt", ".md", ".csv", ".yaml", ".bib", ".xmp")
"""Files of an export that people edit, such as captions and the card."""


FileState = tuple[int, int]
"""Modification time in nanoseconds, and size in bytes."""


class Replacement(msgspec.Struct, frozen=True):
    """A new tree; `kept_files` are user files that were moved into it when it was swapped in."""

    folder: Path
    kept_files: list[str] = []


@contextmanager
def replace_tree(target: Path, *, resume: bool) -> Iterator[Replacement]:
    """Provide a folder next to `target` that replaces it when the block succeeds.

    With `resume` a failed block leaves its files for the next attempt. Files that are added or
    changed in `target` while the block runs are moved into the new tree. `target` must not contain
    links: see `resolve_target`. Raises `InputUnusable` if it holds files that are not from an
    export.
    """
    partial = target.with_name(f".{target.name}.gleanset-partial")
    old = target.with_name(f".{target.name}.gleanset-old")
    with disk_errors(target):
        # An earlier export may have been killed while it swapped the trees.
        _recover(target, old)
        states = check_replaceable(target)
        if not resume:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)

        replacement = Replacement(partial)
        try:
            yield replacement
            _swap(partial, target, old)
        except BaseException:
            # Manifests mark complete shards, which the next attempt keeps.
            if not (resume and any(partial.glob("*.json"))):
                shutil.rmtree(partial, ignore_errors=True)
            raise

        replacement.kept_files.extend(_remove_old(old, target, states))


def resolve_target(target: Path) -> Path:
    """Return a path with links resolved. Raises `InputUnusable` for the root of a disk."""
    path = Path(os.path.realpath(target))
    if not path.name:
        raise InputUnusable(f"{target} is the root of a disk", "name a new folder")
    return path


def write_marker(folder: Path, facts: JsonDict) -> None:
    """Write the marker of an export: its files and their content, for the next export."""
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )
    # Texts with their hashes, because a person may edit them.
    texts = {
        name: hash_file(folder / name) for name in files if name.endswith(TEXT_SUFFIXES)
    }
    content = json.dumps(
        {"files": files, "texts": texts, **facts},
        ensure_ascii=False,
        sort_keys=True,
    )
    write_atomic(folder / MARKER, content.encode())


def read_marker(folder: Path) -> JsonDict:
    """Return the marker of an export; empty if there is none."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_marker = isinstance(marker, dict) and isinstance(marker.get("files"), list)
    return marker if is_marker else {}


def check_replaceable(target: Path) -> dict[str, FileState]:
    """Return the state of each file in `target`, which must be absent or an earlier export.

    Raises `InputUnusable` for a file, and for a folder with any other files.
    """
    _check_folder(target)
    marker = read_marker(target)
    exported_names = _list_exported_names(marker)
    files = dict(_iter_files(target))
    # Neither written by the export, nor by the tool that reads it.
    foreign = sorted(
        name
        for name in files.keys() - exported_names
        if not _is_reader_file(marker, name)
    )
    if foreign:
        command = f"labeler import {shlex.quote(str(target))}"
        raise InputUnusable(
            f"{target} holds files that are not from an export, such as {foreign[0]}",
            f"export into a new folder, or read moved images back: {command}"
            if marker
            else "export into a new folder",
        )

    # Edited captions and cards would be lost; images are not edited here.
    hashes = marker.get("texts", {})
    edited_files = sorted(
        name for name in hashes.keys() & files if hash_file(files[name]) != hashes[name]
    )
    if edited_files:
        raise InputUnusable(
            f"{target} holds files that were edited, such as {edited_files[0]}",
            "export into a new folder, or move them away",
        )
    return {name: _file_state(path) for name, path in files.items()}


def _list_exported_names(marker: JsonDict) -> set[str]:
    """Return the names of the files that an export wrote, with its marker."""
    return {MARKER, *map(str, marker["files"])} if marker else set()


def _check_folder(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputUnusable(f"{target} is a file", "name a new folder")


def _iter_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files and links with their path relative to `folder`."""
    for path in sorted(folder.rglob("*")):
        # A link to a folder is a file of the user, and is not followed.
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix(), path


def _file_state(path: Path) -> FileState:
    # Of a link itself, not of its target.
    status = path.lstat()
    return status.st_mtime_ns, status.st_size


def _is_reader_file(marker: JsonDict, path: str) -> bool:
    """Return whether a file is one that the tool of the format writes, such as a cache."""
    form = find_format(marker.get("format"))
    return form is not None and re.fullmatch(form.reader_file_pattern, path) is not None


def _swap(partial: Path, target: Path, old: Path) -> None:
    """Move `partial` to `target`, and the previous tree to `old`."""
    sync_folder(partial)
    _check_folder(target)
    try:
        if target.exists():
            # Rename it to `old` first: after a kill, `old` is emptied without losing user files.
            partial.replace(old)
            # Where the system cannot exchange two folders, `target` is missing for a moment.
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
    """Finish an interrupted swap: restore the old tree, or remove its rest."""
    if old.exists() and not target.exists():
        old.replace(target)
    elif old.exists():
        _remove_old(old, target, None)


def _remove_old(
    old: Path, target: Path, states: Mapping[str, FileState] | None
) -> list[str]:
    """Delete the exported files in `old`, move all others to `target`; return their new paths.

    Exported files are those with an unchanged entry in `states`. It is None after an interrupted
    swap, whose states are lost: then they are those of the marker.
    """
    marker = read_marker(old)
    exported_names = _list_exported_names(marker)
    kept_files = []
    for name, path in _iter_files(old):
        is_exported = name in exported_names
        if states is not None:
            is_exported = states.get(name) == _file_state(path)
        if is_exported or _is_reader_file(marker, name):
            path.unlink()
        else:
            destination = _find_free_path(target, name)
            destination.parent.mkdir(parents=True, exist_ok=True)
            path.replace(destination)
            kept_files.append(destination.relative_to(target).as_posix())

    # Folders within others come first.
    for folder in sorted((p for p in old.rglob("*") if p.is_dir()), reverse=True):
        folder.rmdir()
    if old.exists():
        old.rmdir()
    return kept_files


def _find_free_path(target: Path, name: str) -> Path:
    """Return the same path in `target`, or a new name at its top level if that is in use."""
    path = target / name
    number = 1
    while os.path.lexists(path) or any(p.is_file() for p in path.parents):
        path = target / f"kept-{number}-{Path(name).name}"
        number += 1
    return path
