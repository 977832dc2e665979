"""Zip and tar archives of images, read member by member.

No name inside becomes a path: a member is copied into a numbered scratch file that a worker
decodes. A broken archive gives what comes before the damage, then one rejection without a name.
"""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Self, cast

from gleanset import Dataset
from gleanset.credit import NOTHING, Credit
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.legacy_names import decode_names
from gleanset.files.names import ARCHIVES, printable, split_folders
from gleanset.files.store import sha256_of_file
from gleanset.images.decode import MAX_BYTES
from gleanset.records import Origin
from gleanset.tree import ARCHIVE, ignored_reason, ignored_summary, junk_reason, named_reason
from harvest.folder import (
    AS_THEY_COME,
    EXCLUDED,
    FoundPicture,
    PictureOptions,
    checked_folder,
    is_excluded,
    said_stamp,
    take_pictures,
)
from harvest.img2dataset import (
    MAX_METADATA_BYTES,
    ImageMetadata,
    parse_metadata,
    shards_in,
)
from harvest.importer import Importer

STAGE = "harvest-archive"
NESTED = "archive inside an archive: unpack it first"
MAX_MEMBERS = 1_000_000
# Images hardly shrink: what unpacks to more times its size is a bomb. A small archive of drawings
# may shrink that much, so that the first bytes are free.
MAX_RATIO, FREE_BYTES = 100, 500_000_000
_CHUNK = 65_536
# Of zip, and of tar compressed by gzip, bzip2 or xz.
_MAGICS = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
# The longest name or attribute that a header of a tar may announce; tarfile reads it at once.
_MAX_HEADER = 1_000_000
# zipfile unpacks other methods without a bound on what comes out at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# General purpose flags, and the extra field of Info-ZIP (APPNOTE.TXT, 4.4.4 and 4.6.9).
_ENCRYPTED, _UTF8, _UNICODE_PATH = 0x1, 0x800, 0x7075

Open = Callable[[], IO[bytes]]


class ArchiveEntry(NamedTuple):
    """A file inside: its name, as bytes where no encoding is said, its size, and what opens it."""

    name: str | bytes
    size: int
    open: Open


class ArchiveMember(NamedTuple):
    """A member that may be an image, with the origin and stamp that it is known by."""

    origin: Origin
    stamp: str
    open: Open
    name: str
    credit: Credit = NOTHING


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or a tar, as it begins. Raises `InputUnusable`."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
        is_tar = head[257:262] == b"ustar" or path.suffix.lower() == ".tar"
        return is_tar or head.startswith(_MAGICS) or zipfile.is_zipfile(path)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "chmod u+r it") from error


def split_places(places: Iterable[Path], own: Path) -> tuple[list[Path], list[Path]]:
    """Return folders and single images, and archives; `own` is the dataset.

    The shards in a folder that img2dataset wrote are archives. Raises `InputUnusable` for anything
    else, before any work.
    """
    trees: list[Path] = []
    archives: list[Path] = []
    for place in places:
        if place.is_file() and is_archive(place):
            archives.append(place.absolute())
        elif shards := shards_in(checked_folder(place, own)):
            archives += [shard.absolute() for shard in shards]
        else:
            trees.append(checked_folder(place, own))
    return trees, archives


def harvest_archives(
    dataset: Dataset, archives: Iterable[Path], options: PictureOptions = AS_THEY_COME
) -> dict[str, object]:
    """Add every image inside some archives; return the counts.

    Members seen before are skipped, wherever the archive is now.
    """
    ignored: Counter[str] = Counter()

    def new(intake: Importer, scratch: Path) -> Generator[FoundPicture, None, None]:
        every = (member for archive in archives for member in members(archive, options, ignored))
        for number, member in enumerate(every):
            if intake.knows(member.origin, member.stamp):
                continue
            path = scratch / str(number)
            refused = _copy(member, path)
            if refused is None and (reason := ignored_reason(path, member.name)):
                ignored[reason] += 1
                path.unlink()
            else:
                yield FoundPicture(
                    path, member.origin, member.stamp, member.credit, copied=True, refused=refused
                )

    return take_pictures(dataset, STAGE, new, options) | ignored_summary(ignored)


def members(path: Path, options: PictureOptions, ignored: Counter[str]) -> Iterator[ArchiveMember]:
    """Yield every member that may be an image, in order; count the others in `ignored`.

    An archive without folders is a class folder itself. Raises `InputUnusable`.
    """
    try:
        key = sha256_of_file(path)[:16]
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the disk") from error
    stem = PurePosixPath(printable(Path(path.name)))
    while stem.suffix.lower() in ARCHIVES:
        stem = stem.with_suffix("")
    metadata: dict[str, ImageMetadata] = {}
    names = _names(path, metadata)
    flat = all(len(parts) < 2 or junk_reason(parts[0]) for parts in map(_parts, names.values()))
    folders = [parts[:-1] for parts in map(_parts, names.values()) if len(parts) > 1]
    splits = split_folders(parts for parts in folders if not junk_reason(parts[0]))
    hinting, times = options.hinting._replace(splits=splits), Counter[str]()
    for entry in _entries(path):
        name = names[entry.name]
        parts = _parts(name)
        times[name] += 1
        below = PurePosixPath(*parts)
        if any(is_excluded(path, options.exclude) for path in (below, *below.parents)):
            ignored[EXCLUDED] += 1
            continue
        if reason := next(filter(None, map(junk_reason, parts)), None) or named_reason(name):
            ignored[NESTED if reason == ARCHIVE else reason] += 1
            continue
        *inside, title = parts or (printable(Path(path.name)),)
        hint = hinting.of(inside or ((stem.name,) if flat and hinting.level is not None else ()))
        group = hinting.group_of(title, f"{key}:{'/'.join(inside)}", inside)
        origin = Origin(
            "archive",
            key=f"{key}:{name}" + (f"#{times[name]}" if times[name] > 1 else ""),
            path=printable(path),
            title=title,
            original_path="/".join(parts) or None,
            hint=hint,
            post=group,
        )
        said, credit = [options.credit], NOTHING
        if (row := metadata.get(_stem(name))) is not None:
            origin, credit = row.complete(origin), row.credit
            said.append(credit)
        stamp = f"{hint or ''}{said_stamp(group, *said)}"
        yield ArchiveMember(origin, stamp, entry.open, title, credit)


def names_inside(path: Path) -> Iterator[str]:
    """Yield the name of every member, without the folders that lead to it."""
    return (parts[-1] for parts in map(_parts, _names(path).values()) if parts)


def _names(path: Path, metadata: dict[str, ImageMetadata] | None = None) -> dict[str | bytes, str]:
    """Return the names of all members as text; those without an encoding are decoded together.

    To `metadata` is added what img2dataset says of members, by their names without an ending.
    """
    names: list[str | bytes] = []
    for entry in _entries(path):
        names.append(entry.name)
        if metadata is not None and (row := _metadata(entry)) is not None:
            text = entry.name if isinstance(entry.name, str) else entry.name.decode("ascii")
            metadata[_stem(text)] = row
    texts = decode_names(name for name in names if isinstance(name, bytes))
    # Some Windows programs write their own separator.
    return {n: (texts[n] if isinstance(n, bytes) else n).replace("\\", "/") for n in names}


def _metadata(entry: ArchiveEntry) -> ImageMetadata | None:
    if not os.fsencode(entry.name).isascii() or not os.fsencode(entry.name).endswith(b".json"):
        return None
    if entry.size > MAX_METADATA_BYTES:
        return None
    try:
        with closing(_checked(entry.open)) as source:
            return parse_metadata(_checked(source.read))
    except Unreadable:  # reported in its turn
        return None


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts if part not in ("/", ".."))


def _copy(member: ArchiveMember, path: Path) -> tuple[str, str] | None:
    """Copy a member to `path`; return the reason and detail where that cannot be done."""
    with disk_errors(path), path.open("wb") as file:
        try:
            with closing(_checked(member.open)) as source:
                while chunk := _checked(source.read, _CHUNK):
                    file.write(chunk)
        except Unreadable as refused:
            file.truncate(0)
            return refused.reason, refused.detail
    return None


def _checked(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call; raise every error of a broken archive as `Unreadable`."""
    try:
        return call(*arguments)
    except Unreadable:
        raise
    except Exception as error:  # zipfile and tarfile raise whatever they meet
        text = str(error).lower()
        ended = isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text
        detail = f"{type(error).__name__}: {error}"
        raise Unreadable("cut off" if ended else "damaged", detail) from error


def _refused(reason: str, detail: str) -> Open:
    def open_member() -> IO[bytes]:
        raise Unreadable(reason, detail)

    return open_member


def _entries(path: Path) -> Iterator[ArchiveEntry]:
    """Yield each file, to be opened before the next; the last says why the archive ends early."""
    with path.open("rb") as file:
        named_zip = file.read(2) == b"PK"
    is_zip = named_zip or zipfile.is_zipfile(path)
    entries = _zip_entries(path) if is_zip else _tar_entries(path)
    left = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    for _ in range(MAX_MEMBERS):
        try:
            entry = _checked(next, entries, None)
        except Unreadable as error:
            end = error
            break
        if entry is None:
            return
        # zipfile and tarfile give no more of a member than its header says.
        if (left := left - entry.size) < 0:
            end = Unreadable("archive bomb", "it unpacks to far more than its size")
            break
        if entry.size > MAX_BYTES:
            too_large = _refused("too large", f"more than {MAX_BYTES} bytes")
            entry = entry._replace(open=too_large)
        yield entry
    else:
        end = Unreadable("too large", f"more than {MAX_MEMBERS} members")
    yield ArchiveEntry("", 0, _refused(end.reason, f"the archive: {end.detail}"))


def _zip_entries(path: Path) -> Iterator[ArchiveEntry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield ArchiveEntry(_zip_name(info), info.file_size, _zip_opener(archive, info))


def _zip_name(info: zipfile.ZipInfo) -> str | bytes:
    """Return the name as text where the zip has it in UTF-8, else its bytes."""
    if info.flag_bits & _UTF8:
        return info.filename
    raw, extra = info.orig_filename.encode("cp437"), info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        # A version, and the checksum of the name that it is for.
        if kind == _UNICODE_PATH and field[1:5] == struct.pack("<L", zlib.crc32(raw)):
            return field[5:].decode("utf-8", "backslashreplace")
    return raw


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Open:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return _refused("not a file", "a link or a device")
    if info.flag_bits & _ENCRYPTED:
        return _refused("encrypted", "unpack it with its password, then name the folder")
    if info.compress_type not in _METHODS:
        return _refused("unsupported compression", f"zip method {info.compress_type}")
    return lambda: archive.open(info)


def _tar_entries(path: Path) -> Iterator[ArchiveEntry]:
    with tarfile.open(path, "r|*", tarinfo=_TarHeader, encoding="utf-8", bufsize=4096) as archive:
        for info in archive:
            # Or tarfile keeps every header it has read.
            archive.members.clear()  # type: ignore[attr-defined]
            if not info.isdir():
                name = info.name.encode("utf-8", "surrogateescape")
                yield ArchiveEntry(name, info.size, _tar_opener(archive, info))


def _tar_opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Open:
    if not info.isreg() or info.issparse():
        return _refused("not a file", "a link, a device or a sparse file")
    return partial(cast("Callable[..., IO[bytes]]", archive.extractfile), info)


class _TarHeader(tarfile.TarInfo):
    """A header of a tar. tarfile itself takes a damaged one for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Raise `Unreadable` for damage, and for a name or attribute that is too long."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise
            detail = "it ends without an end mark, or in a damaged header"
            raise Unreadable("cut off", detail) from error
        if not header.isreg() and header.size > _MAX_HEADER:
            raise Unreadable("damaged", f"a header of {header.size} bytes")
        return header
