"""Archives of pictures: zip and tar files that were named themselves.

No name from inside ever becomes a path: each member is copied, counted while it comes, into
a numbered scratch file that a worker decodes. Compressed archives can only be read from
front to back, so the parent reads and the workers decode; a zip goes the same way.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gleanset import Dataset
from gleanset.credit import NOTHING, Credit
from gleanset.errors import InputUnusable, Unreadable
from gleanset.file_groups import FileGroups, GroupBy
from gleanset.files.atomic import disk_errors
from gleanset.files.names import ARCHIVES, printable
from gleanset.files.store import sha256_of_file
from gleanset.records import Origin
from harvest.folder import (
    AS_THEY_COME,
    FolderHints,
    FoundPicture,
    PictureOptions,
    checked_folder,
    names_in,
    said_stamp,
    take_pictures,
)
from harvest.importer import Importer
from harvest.unpack_archive import ArchiveMember, archive_format, open_archive

STAGE = "harvest-archive"


class IdentifiedArchive(NamedTuple):
    """An archive, known by its content: `key` is how its SHA-256 begins."""

    path: Path
    key: str
    stem: str


class MemberHints:
    """What is hinted of members: an archive without folders is a class folder itself.

    Whether it has some is looked up where a member lies in none.
    """

    def __init__(self, hinting: FolderHints) -> None:
        self._hinting = hinting
        self._flat: dict[str, bool] = {}

    def of(self, archive: IdentifiedArchive, name: str) -> str | None:
        """Return the hint of a member; None where it has none."""
        folders = _parts(name)[:-1]
        if not folders and self._hinting.level is not None and self._is_flat(archive):
            folders = (archive.stem,)
        return self._hinting.of(folders)

    def group_of(self, archive: IdentifiedArchive, name: str) -> str | None:
        """Return the group of a member; a folder inside is one of this archive alone."""
        *inside, last = _parts(name) or ("",)
        folder = ":".join((archive.key, "/".join(inside)))
        return self._hinting.group_of(last, folder, inside)

    def _is_flat(self, archive: IdentifiedArchive) -> bool:
        if archive.key not in self._flat:
            paths = (_parts(entry.name) for entry in open_archive(archive.path))
            self._flat[archive.key] = all(len(p) < 2 or _is_hidden(p[0]) for p in paths)
        return self._flat[archive.key]


def harvest_archives(
    dataset: Dataset, archives: Iterable[Path], options: PictureOptions = AS_THEY_COME
) -> dict[str, object]:
    """Add every picture inside some archives; the counts of what happened.

    An archive without folders is a class folder itself. Who made a picture says its file, else
    the options. Members seen before are skipped, wherever the archive lies now. What is named was
    checked before (`checked_places`).
    """
    hinting = MemberHints(options.hinting)

    def new(intake: Importer, scratch: Path) -> Iterator[FoundPicture]:
        for archive in map(identified, archives):
            for number, (entry, origin, stamp) in enumerate(
                members(archive, hinting, options.credit)
            ):
                if not intake.knows(origin, stamp):
                    path = scratch / f"{archive.key}-{number}"
                    refused = _copy(entry, path)
                    yield FoundPicture(path, origin, stamp, copied=True, refused=refused)

    return take_pictures(dataset, STAGE, new, options)


def checked_places(places: Iterable[Path], own: Path) -> tuple[list[Path], list[Path]]:
    """Return what a person named as folders or pictures, and as archives; `own` is the dataset.

    Raises `InputUnusable` for what is none of them, before any work.
    """
    trees: list[Path] = []
    archives: list[Path] = []
    for place in places:
        if place.is_file() and _archive_format(place) is not None:
            archives.append(place.absolute())
        else:
            trees.append(checked_folder(place, own))
    return trees, archives


def groups_in(by: GroupBy | None, trees: Iterable[Path], archives: Iterable[Path]) -> FileGroups:
    """Return the groups of all that lies there. Raises `UsageError` where there cannot be any."""
    if by is None or by.pattern is None:
        return FileGroups(by)
    names = [name for tree in trees for name in names_in(tree)]
    return FileGroups(by, [*names, *(name for one in archives for name in _names_inside(one))])


def combined(*results: dict[str, object]) -> dict[str, object]:
    """Return the counts of several runs as those of one."""
    total: Counter[str] = Counter()
    tables: dict[str, Counter[str]] = {}
    for result in results:
        for name, value in result.items():
            if isinstance(value, int):
                total[name] += value
            elif isinstance(value, dict):
                tables.setdefault(name, Counter()).update(value)
    # Not most_common for the counts: they keep the order that every command shows.
    return {**total, **{name: dict(table.most_common()) for name, table in tables.items()}}


def _archive_format(file: Path) -> str | None:
    try:
        return archive_format(file)
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "chmod u+r it") from error


def identified(path: Path) -> IdentifiedArchive:
    """Return the archive at that path. Raises `InputUnusable` where it cannot be read."""
    try:
        digest = sha256_of_file(path)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the disk") from error
    stem = PurePosixPath(printable(Path(path.name)))
    while stem.suffix.lower() in ARCHIVES:
        stem = stem.with_suffix("")
    return IdentifiedArchive(path, digest[:16], stem.name)


def members(
    archive: IdentifiedArchive, hinting: MemberHints, credit: Credit = NOTHING
) -> Iterator[tuple[ArchiveMember, Origin, str]]:
    """Yield every member worth trying, with the origin and stamp that it is known by."""
    names: Counter[str] = Counter()
    for entry in open_archive(archive.path):
        names[entry.name] += 1
        hint = hinting.of(archive, entry.name)
        group = hinting.group_of(archive, entry.name)
        origin = replace(_origin(archive, entry.name, names[entry.name], hint), post=group)
        yield entry, origin, f"{origin.hint or ''}{said_stamp(group, credit)}"


def _names_inside(archive: Path) -> Iterator[str]:
    """Yield the name of every member, without the folders that lead to it."""
    return (parts[-1] for entry in open_archive(archive) if (parts := _parts(entry.name)))


def _origin(archive: IdentifiedArchive, name: str, times: int, hint: str | None) -> Origin:
    """`times`: a name may stand in an archive more than once, with another content each time."""
    parts = _parts(name)
    again = f"#{times}" if times > 1 else ""
    return Origin(
        source="archive",
        key=f"{archive.key}:{name}{again}",
        path=printable(archive.path),
        title=parts[-1] if parts else printable(Path(archive.path.name)),
        original_path="/".join(parts) or None,
        hint=hint,
    )


def _is_hidden(folder: str) -> bool:
    """Return whether a folder is a system's own, such as what macOS puts into every zip."""
    return folder.startswith((".", "__MACOSX"))


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts if part not in ("/", ".."))


def _copy(entry: ArchiveMember, path: Path) -> tuple[str, str] | None:
    """Copy a member to `path`; the reason and detail where that cannot be done."""
    with disk_errors(path), path.open("wb") as file:
        try:
            for chunk in entry.read():
                file.write(chunk)
        except Unreadable as refused:
            os.ftruncate(file.fileno(), 0)
            return refused.reason, refused.detail
    return None
