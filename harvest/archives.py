"""Zip and tar archives of images, read member by member with the standard library.

No name inside becomes a path: a member is copied into a numbered scratch file that a worker
decodes. A damaged archive gives what comes before the damage, then one rejection without a name.
"""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, NoReturn, Self

from gleanset import Dataset
from gleanset.credit import NOTHING
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.legacy_names import decode_names
from gleanset.files.names import ARCHIVES, printable, split_folders
from gleanset.files.store import sha256_of_file
from gleanset.images.decode import MAX_BYTES
from gleanset.records import Origin
from gleanset.source_table import NAME, SourceRows, SourceTables, is_source_table, parse_table
from gleanset.tree import ARCHIVE, TABLE, ignored_reason, ignored_summary, junk_reason, named_reason
from harvest.folder import (
    DEFAULT_OPTIONS,
    EXCLUDED,
    ImageFile,
    ImportOptions,
    credit_stamp,
    import_images,
    is_excluded,
    resolve_folder,
)
from harvest.img2dataset import MAX_METADATA_BYTES, ImageMetadata, parse_metadata, shards_in
from harvest.importer import Importer

STAGE = "harvest-archive"
NESTED = "archive inside an archive: unpack it first"
# Images hardly shrink: what unpacks to more times its size is a bomb. A small archive of drawings
# may shrink that much, so the first bytes are free.
MAX_RATIO, FREE_BYTES = 100, 500_000_000
# Of zip, and of tar compressed by gzip, bzip2 or xz.
_MAGICS = (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
# tarfile reads a long name or attribute at once.
_MAX_HEADER_BYTES = 1_000_000
# zipfile unpacks other methods without a bound on what comes out at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# General purpose flags, and the extra field of Info-ZIP (APPNOTE.TXT, 4.4.4 and 4.6.9).
_ENCRYPTED, _UTF8, _UNICODE_PATH = 0x1, 0x800, 0x7075


RawEntry = tuple[str | bytes, int, Callable[[], bytes]]


class ArchiveEntry(NamedTuple):
    """A file in an open archive, with its unpacked size."""

    name: str
    size: int
    read: Callable[[], bytes]


def is_archive(path: Path) -> bool:
    """Return whether a file begins like a zip or a tar. Raises `InputUnusable`."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
        is_tar = head[257:262] == b"ustar" or path.suffix.lower() == ".tar"
        return is_tar or head.startswith(_MAGICS) or zipfile.is_zipfile(path)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "chmod u+r it") from error


def split_archives(places: Iterable[Path], own: Path) -> tuple[list[Path], list[Path]]:
    """Return folders and single images, and archives; `own` is the dataset.

    The shards in a folder that img2dataset wrote are archives. Raises `InputUnusable` for anything
    else, before any work.
    """
    trees: list[Path] = []
    archives: list[Path] = []
    for place in places:
        if place.is_file() and is_archive(place):
            archives.append(place.absolute())
        elif shards := shards_in(resolve_folder(place, own)):
            archives += [shard.absolute() for shard in shards]
        else:
            trees.append(resolve_folder(place, own))
    return trees, archives


def harvest_archives(
    dataset: Dataset, archives: Iterable[Path], options: ImportOptions = DEFAULT_OPTIONS
) -> dict[str, object]:
    """Add every image inside some archives; return the counts.

    Members seen before are skipped, wherever the archive is now.
    """
    ignored: Counter[str] = Counter()

    def new(intake: Importer, scratch: Path) -> Generator[ImageFile, None, None]:
        every = (member for archive in archives for member in members(archive, options, ignored))
        for number, (picture, read) in enumerate(every):
            if intake.knows(picture.origin, picture.stamp):
                continue
            path, data, refused = scratch / str(number), b"", None
            try:
                data = _checked(read)
            except Unreadable as error:
                refused = (error.reason, error.detail)
            with disk_errors(path):
                path.write_bytes(data)
            if refused is None and (reason := ignored_reason(path, picture.path.name)):
                ignored[reason] += 1
                path.unlink()
            else:
                yield picture._replace(path=path, copied=True, refused=refused)

    return import_images(dataset, STAGE, new, options) | ignored_summary(ignored)


def members(
    path: Path, options: ImportOptions, ignored: Counter[str]
) -> Iterator[tuple[ImageFile, Callable[[], bytes]]]:
    """Yield what may be an image, and what reads it, in order; count the others in `ignored`.

    An archive without folders is a class folder itself. Raises `InputUnusable`.
    """
    try:
        key = sha256_of_file(path)[:16]
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the disk") from error
    file_name, repeats = printable(Path(path.name)), Counter[str]()
    with _opened(path) as entries:
        metadata = _metadata(entries)
        folders = [parts[:-1] for entry in entries if len(parts := _parts(entry.name)) > 1]
        folders = [parts for parts in folders if not junk_reason(parts[0])]
        hinting = options.hinting._replace(splits=split_folders(folders))
        stem = PurePosixPath(file_name)
        while stem.suffix.lower() in ARCHIVES:
            stem = stem.with_suffix("")
        tables = _ArchiveTables(path, entries)
        loose = () if folders or hinting.level is None else (stem.name,)
        for name, _, read in entries:
            parts = _parts(name)
            repeats[name] += 1
            below = PurePosixPath(*parts)
            if any(is_excluded(place, options.exclude) for place in (below, *below.parents)):
                ignored[EXCLUDED] += 1
                continue
            reason = next(filter(None, map(junk_reason, parts)), None)
            if reason is None and is_source_table(below):
                reason = TABLE
                tables.read(path / below.parent)
            if reason := reason or named_reason(name):
                ignored[NESTED if reason == ARCHIVE else reason] += 1
                continue
            *inside, title = parts or (file_name,)
            hint = hinting.of(inside or loose)
            table_row = tables.of(path / below)
            group = table_row.group or hinting.group_of(title, f"{key}:{'/'.join(inside)}", inside)
            origin = Origin(
                "archive",
                key=f"{key}:{name}" + (f"#{repeats[name]}" if repeats[name] > 1 else ""),
                path=printable(path),
                title=title,
                original_path="/".join(parts) or None,
                hint=hint,
                post=group,
            )
            credit = table_row.credit
            if row := metadata.get(name.rpartition(".")[0]):
                origin = row.complete(origin)
                credit = credit.completed(row.credit)
            stated = [options.credit] if credit == NOTHING and not row else [options.credit, credit]
            stamp = f"{hint or ''}{credit_stamp(group, *stated)}"
            yield ImageFile(Path(title), origin, stamp, credit), read
        options.unmatched.extend(tables.unmatched())


def member_names(path: Path) -> Iterator[str]:
    """Yield the name of every member, without its folders."""
    with _opened(path) as entries:
        yield from (parts[-1] for entry in entries if (parts := _parts(entry.name)))


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in PurePosixPath(name).parts if part not in ("/", ".."))


def _metadata(entries: list[ArchiveEntry]) -> dict[str, ImageMetadata]:
    rows = {}
    for name, size, read in entries:
        stem, _, ending = name.rpartition(".")
        if ending == "json" and size <= MAX_METADATA_BYTES:
            with suppress(Unreadable):  # rejected in its turn
                if row := parse_metadata(_checked(read)):
                    rows[stem] = row
    return rows


class _ArchiveTables(SourceTables):
    """The tables of an archive, as if it were a folder of its name."""

    def __init__(self, path: Path, entries: Iterable[ArchiveEntry]) -> None:
        super().__init__(path)
        self._tables: dict[Path, ArchiveEntry] = {}
        self._files: dict[Path, list[Path]] = {}
        for entry in entries:
            file = path.joinpath(*_parts(entry.name))
            self._files.setdefault(file.parent, []).append(file)
            # As in a folder, the name in lower case comes first.
            if file.name == NAME or (is_source_table(file) and file.parent not in self._tables):
                self._tables[file.parent] = entry

    def rows_in(self, folder: Path) -> SourceRows:
        if (entry := self._tables.get(folder)) is None:
            return {}
        table = self.top.joinpath(*_parts(entry.name))
        try:
            data = _checked(entry.read)
        except Unreadable as error:
            hint = "unpack the archive, then name its folder"
            raise InputUnusable(f"{table} cannot be read: {error.detail}", hint) from error
        return parse_table(table, partial(io.BytesIO, data))

    def files_in(self, folder: Path) -> Iterable[Path]:
        return self._files.get(folder, ())


@contextmanager
def _opened(path: Path) -> Iterator[list[ArchiveEntry]]:
    """Open an archive and list its files; the last entry says why the archive ends early."""
    raw: list[RawEntry] = []
    left = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK" or zipfile.is_zipfile(file)
        file.seek(0)
        unchecked = _zipped(file) if is_zip else _tarred(file)
        try:
            while (entry := _checked(next, unchecked, None)) is not None:
                name, size, read = entry
                # zipfile and tarfile give no more of a member than its header says.
                if (left := left - max(size, tarfile.BLOCKSIZE)) < 0:
                    _refuse("archive bomb", "it unpacks to far more than its size")
                if size > MAX_BYTES:
                    read = partial(_refuse, "too large", f"more than {MAX_BYTES} bytes")
                raw.append((name, size, read))
        except Unreadable as end:
            raw.append(("", 0, partial(_refuse, end.reason, f"the archive: {end.detail}")))
        texts = decode_names(name for name, *_ in raw if isinstance(name, bytes))
        # Some Windows programs write their own separator.
        yield [
            ArchiveEntry((texts[n] if isinstance(n, bytes) else n).replace("\\", "/"), size, read)
            for n, size, read in raw
        ]


def _checked(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call; raise every error of a damaged archive as `Unreadable`."""
    try:
        return call(*arguments)
    except Unreadable:
        raise
    except Exception as error:  # zipfile and tarfile raise whatever they meet
        text = str(error).lower()
        ended = isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text
        detail = f"{type(error).__name__}: {error}"
        raise Unreadable("cut off" if ended else "damaged", detail) from error


def _refuse(reason: str, detail: str) -> NoReturn:
    raise Unreadable(reason, detail)


def _zipped(file: IO[bytes]) -> Iterator[RawEntry]:
    archive = zipfile.ZipFile(file)
    for info in archive.infolist():
        if not info.is_dir():
            yield _zip_name(info), info.file_size, partial(_read_zipped, archive, info)


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


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise Unreadable("not a file", "a link or a device")
    if info.flag_bits & _ENCRYPTED:
        raise Unreadable("encrypted", "unpack it with its password, then name the folder")
    if info.compress_type not in _METHODS:
        raise Unreadable("unsupported compression", f"zip method {info.compress_type}")
    return archive.read(info)


def _tarred(file: IO[bytes]) -> Iterator[RawEntry]:
    archive = tarfile.open(fileobj=file, tarinfo=_TarHeader, encoding="utf-8")  # noqa: SIM115
    for info in archive:
        if not info.isdir():
            name = info.name.encode("utf-8", "surrogateescape")
            yield name, info.size, partial(_read_tarred, archive, info)
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise Unreadable("cut off", "it ends without an end mark, or in a damaged header")


def _read_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = None if info.issparse() or not info.isreg() else archive.extractfile(info)
    if file is None:
        raise Unreadable("not a file", "a link, a device or a sparse file")
    return file.read()


class _TarHeader(tarfile.TarInfo):
    """A header whose long name or attributes are bounded: tarfile reads them at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Raise `Unreadable` for a header that announces more than `_MAX_HEADER_BYTES`."""
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > _MAX_HEADER_BYTES:
            raise Unreadable("damaged", f"a header of {header.size} bytes")
        return header
