"""Zip and tar archives of images, read member by member with the standard library.

No name inside becomes a path: a member is copied into a numbered scratch file that a worker
decodes. A damaged archive yields what comes before the damage, then one rejection without a name.
"""

import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, NoReturn, Self

from gleanset import Dataset
from gleanset.credit import NO_CREDIT
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.encodings import decode_names
from gleanset.files.names import ARCHIVE_EXTENSIONS, find_split_folders, format_path
from gleanset.files.store import hash_file
from gleanset.images.decode import MAX_BYTES
from gleanset.records import Origin
from gleanset.source_table import (
    MAX_SIDECAR_BYTES,
    SourceTables,
    is_sidecar,
    is_source_table,
)
from gleanset.tree import (
    ARCHIVE,
    SOURCE_TABLE,
    VIDEO,
    count_tags,
    get_junk_reason,
    get_reason_by_name,
)
from harvest.folder import (
    EXCLUDED,
    ImageFile,
    TreeRules,
    find_images,
    find_shards,
    import_images,
    is_excluded,
    make_credit_stamp,
    resolve_folder,
)
from harvest.importer import ImportOptions
from harvest.people import import_people
from harvest.results import HarvestCounts, merge_results

FOLDER_STAGE = "harvest-folder"
ARCHIVE_STAGE = "harvest-archive"
NESTED = "archive inside an archive: unpack it first"
PACKED_VIDEO = "video inside an archive: unpack it, then use harvest frames"
# Images hardly compress: an archive that unpacks to more times its size is a bomb. A small archive
# of drawings may compress that well, so the first bytes are free.
MAX_RATIO = 100
FREE_BYTES = 500_000_000
# Zip, and tar compressed by gzip, bzip2 or xz.
_MAGICS = (b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
# tarfile reads a long name or attribute at once.
_MAX_HEADER_BYTES = 1_000_000
# zipfile unpacks other methods without a limit on the size of the result.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# General purpose flags, and the extra field of Info-ZIP (APPNOTE.TXT, 4.4.4 and 4.6.9).
_ENCRYPTED = 0x1
_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_ANY_EXTENSION = "|".join(map(re.escape, ARCHIVE_EXTENSIONS))
_SUFFIXES = re.compile(f"({_ANY_EXTENSION})+$", re.I)


class Entry(NamedTuple):
    """A file in an archive: name (bytes if its encoding is unknown), unpacked size, reader."""

    name: str | bytes
    size: int
    read: Callable[[], bytes]


class Member(NamedTuple):
    """A file in an open archive, with its unpacked size."""

    name: str
    size: int
    read: Callable[[], bytes]

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name, without what would leave the archive."""
        path = PurePosixPath(self.name)
        return tuple(part for part in path.parts if part not in ("/", ".."))


def is_archive(path: Path) -> bool:
    """Return whether a file begins like a zip or a tar. Raises `InputUnusable`."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
        is_tar = head[257:262] == b"ustar" or path.suffix.lower() == ".tar"
        return is_tar or head.startswith(_MAGICS) or zipfile.is_zipfile(path)
    except OSError as error:
        raise InputUnusable(
            f"cannot read {path}: {error.strerror}", "chmod u+r it"
        ) from error


def split_archives(paths: Iterable[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """Return folders and single images, then archives; `root` is the dataset.

    The shards in a folder that img2dataset wrote are archives. Raises `InputUnusable` for any
    other path.
    """
    trees = []
    archives = []
    for path in paths:
        if path.is_file() and is_archive(path):
            archives.append(path.absolute())
        elif shards := find_shards(resolve_folder(path, root)):
            archives += [shard.absolute() for shard in shards]
        else:
            trees.append(resolve_folder(path, root))
    return trees, archives


def harvest_files(
    dataset: Dataset, paths: Iterable[Path], options: ImportOptions
) -> HarvestCounts:
    """Import the images in folders and archives, and single images; return the counts.

    The credit of an image comes from a `sources.csv`, else from its file, else from the options.
    Files imported before are skipped unless they or their credit changed; members of archives also
    when the archive was moved. Raises `InputUnusable` for other paths.
    """
    trees, archives = split_archives(paths, dataset.root)
    batches = (
        (FOLDER_STAGE, trees, find_images),
        (ARCHIVE_STAGE, archives, find_members),
    )
    results = [
        import_images(dataset, stage, roots, find, options)
        for stage, roots, find in batches
        if roots
    ]
    result = merge_results(results)
    if options.people and not options.simulate:
        return import_people(dataset, trees, options, result)
    return result


def find_members(
    path: Path, options: ImportOptions, ignored: Counter[str]
) -> Iterator[ImageFile]:
    """Yield each member that may be an image, in archive order; count the others.

    An archive without folders is a class folder itself. Raises `InputUnusable`.
    """
    try:
        key = hash_file(path)[:16]
    except OSError as error:
        raise InputUnusable(
            f"cannot read {path}: {error.strerror}", "check the disk"
        ) from error
    file_name = format_path(Path(path.name))
    counts = Counter[str]()  # of each name so far
    with _open_archive(path, options.encoding) as members:
        parents = [member.parts[:-1] for member in members]
        folders = [
            parts for parts in parents if parts and not get_junk_reason(parts[0])
        ]
        top = () if folders else (_SUFFIXES.sub("", file_name),)
        tables = _open_source_tables(path, members, options)
        rules = TreeRules(options, tables, find_split_folders(folders), top)

        for member in members:
            counts[member.name] += 1
            relative = PurePosixPath(*member.parts)
            reason = _find_ignored_reason(relative, options.exclude)
            if reason:
                ignored[reason] += 1
                if reason == SOURCE_TABLE:
                    tables.read(path / relative.parent)
                continue

            # The entry of a damaged archive has no name.
            *inside, title = member.parts or (file_name,)
            member_key = f"{key}:{member.name}"
            if counts[member.name] > 1:
                member_key += f"#{counts[member.name]}"
            origin = Origin(
                "archive",
                key=member_key,
                path=format_path(path),
                title=title,
                original_path="/".join(member.parts) or None,
            )
            folder = f"{key}:{'/'.join(inside)}"
            origin, credit = rules.complete(
                path / relative,
                origin,
                inside,
                folder,
            )

            # The image's own credit, from its metadata (only these have an address) or a table, is
            # part of the stamp: an image whose credit changed is imported again.
            own_credit = (credit,) if origin.url or credit != NO_CREDIT else ()
            credit_stamp = make_credit_stamp(
                origin.post, options.credit, *own_credit, origin.tags
            )
            stamp = f"{origin.hint or ''}{credit_stamp}"
            yield ImageFile(
                Path(title),
                origin,
                stamp,
                credit,
                member.read,
            )
        count_tags(tables.texts, ignored)
        options.unmatched_rows.extend(tables.list_unmatched())


def _find_ignored_reason(member: PurePosixPath, exclude: Sequence[str]) -> str | None:
    if any(is_excluded(part, exclude) for part in (member, *member.parents)):
        return EXCLUDED
    for part in member.parts:
        reason = get_junk_reason(part)
        if reason:
            return reason

    if is_source_table(member):
        return SOURCE_TABLE
    reason = get_reason_by_name(member.name)
    return {ARCHIVE: NESTED, VIDEO: PACKED_VIDEO}.get(
        reason or "",
        reason,
    )


def _open_source_tables(
    path: Path, members: Iterable[Member], options: ImportOptions
) -> SourceTables:
    """Return the tables of an archive, as if it were a folder of its name."""
    files: dict[Path, dict[Path, Callable[[], bytes]]] = {}
    for member in members:
        file = path.joinpath(*member.parts)
        read = member.read
        if is_sidecar(file) and member.size <= MAX_SIDECAR_BYTES:
            # Read now, in the order of the archive: to go back, a compressed tar is read again from
            # its beginning. The new `read` returns these bytes.
            with suppress(Unreadable):
                read = partial(bytes, member.read())
        files.setdefault(file.parent, {})[file] = read

    def open_table(table: Path) -> IO[bytes]:
        try:
            return io.BytesIO(files[table.parent][table]())
        except Unreadable as error:
            fix = "unpack the archive, then name its folder"
            raise InputUnusable(
                f"{table} cannot be read: {error.detail}", fix
            ) from error

    def list_folder(folder: Path) -> Iterable[Path]:
        return files.get(folder, ())

    return SourceTables(
        path,
        list_folder,
        open_table,
        options.encoding,
        lambda file: is_excluded(file.relative_to(path), options.exclude),
    )


@contextmanager
def _open_archive(path: Path, encoding: str | None) -> Iterator[list[Member]]:
    """Open an archive and list its files; the last entry says why the archive ends early."""
    max_bytes = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK" or zipfile.is_zipfile(file)
        file.seek(0)
        all_entries = _list_zip(file) if is_zip else _list_tar(file)
        entries = list(_check_entries(all_entries, max_bytes))

        names = (entry.name for entry in entries if isinstance(entry.name, bytes))
        texts = decode_names(names, format_path(path), encoding, is_zip=is_zip)
        members = []
        for name, size, read in entries:
            text = texts[name] if isinstance(name, bytes) else name
            # Some Windows programs write their own separator.
            members.append(Member(text.replace("\\", "/"), size, read))
        yield members


def _check_entries(entries: Iterator[Entry], max_bytes: int) -> Iterator[Entry]:
    """Yield the entries of an archive, and a rejection where it is damaged or too large."""
    total = 0
    try:
        while entry := _call(next, entries, None):
            name, size, read = entry
            # The sizes of headers can be trusted: zipfile and tarfile read no more of a member.
            # Empty members count as a block, so that their number is limited, too.
            total += max(size, tarfile.BLOCKSIZE)
            if total > max_bytes:
                _reject("archive bomb", "it unpacks to far more than its size")
            # Reading this member raises the reason; the others can be read.
            if size > MAX_BYTES:
                read = partial(
                    _reject,
                    "too large",
                    f"more than {MAX_BYTES} bytes",
                )
            yield Entry(name, size, partial(_call, read))
    except Unreadable as end:
        # An entry without a name stands for the rest of the archive: reading it raises the reason.
        yield Entry(
            "",
            0,
            partial(_reject, end.reason, f"the archive: {end.detail}"),
        )


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; raise every error of a damaged archive as `Unreadable`."""
    try:
        return function(*arguments)
    except Unreadable:
        raise
    except Exception as error:  # zipfile and tarfile let errors of every kind through
        # Both libraries say only in words that data ends too early.
        text = str(error).lower()
        is_cut = "unexpected end" in text or "truncated" in text
        reason = "cut off" if is_cut or isinstance(error, EOFError) else "damaged"
        raise Unreadable(
            reason,
            f"{type(error).__name__}: {error}",
        ) from error


def _reject(reason: str, detail: str) -> NoReturn:
    raise Unreadable(reason, detail)


def _list_zip(file: IO[bytes]) -> Iterator[Entry]:
    archive = zipfile.ZipFile(file)
    for info in archive.infolist():
        if not info.is_dir():
            yield Entry(
                _read_zip_name(info),
                info.file_size,
                partial(_read_zip_member, archive, info),
            )


def _read_zip_name(info: zipfile.ZipInfo) -> str | bytes:
    """Return the name as text where the zip has it in UTF-8, else its bytes."""
    if info.flag_bits & _UTF8:
        return info.filename
    # zipfile decoded the bytes as cp437, which has a character for each.
    raw = info.orig_filename.encode("cp437")
    checksum = struct.pack("<L", zlib.crc32(raw))
    extra = info.extra  # fields: each has its kind, its size, and its content

    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field = extra[4 : 4 + size]
        extra = extra[4 + size :]
        # A version, and the checksum of the name that it is for.
        if kind == _UNICODE_PATH and field[1:5] == checksum:
            with suppress(UnicodeDecodeError):
                return field[5:].decode()
    return raw


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        _reject("not a file", "a link or a device")
    if info.flag_bits & _ENCRYPTED:
        _reject("encrypted", "unpack it with its password, then name the folder")
    if info.compress_type not in _METHODS:
        _reject("unsupported compression", f"zip method {info.compress_type}")
    return archive.read(info)


def _list_tar(file: IO[bytes]) -> Iterator[Entry]:
    data: Any = file
    has_next = True
    while has_next:
        archive = tarfile.open(fileobj=data, tarinfo=_TarHeader, encoding="utf-8")  # noqa: SIM115
        data = archive.fileobj  # unpacked, also for a tar joined behind this one
        while info := archive.next():
            archive.members.clear()  # type: ignore[attr-defined] # tarfile keeps every header
            if info.isdir():
                continue
            read: Callable[[], bytes] = partial(
                _read_tar_member, data, info.offset_data, info.size
            )
            if info.issparse() or not info.isreg():
                read = partial(
                    _reject, "not a file", "a link, a device or a sparse file"
                )
            yield Entry(info.name.encode("utf-8", "surrogateescape"), info.size, read)

        # tarfile ends in the same way at the end mark, a block of zeros, and where there is none.
        data.seek(archive.offset)
        if data.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            _reject("cut off", "it ends without an end mark, or in a damaged header")
        # Behind the mark there may be another tar, joined by `cat`.
        blocks = iter(partial(data.read, tarfile.BLOCKSIZE), b"")
        has_next = any(block[257:262] == b"ustar" for block in blocks)
        if has_next:
            data.seek(-tarfile.BLOCKSIZE, io.SEEK_CUR)


def _read_tar_member(data: Any, offset: int, size: int) -> bytes:
    data.seek(offset)
    content: bytes = data.read(size)
    if len(content) < size:
        _reject("cut off", "unexpected end of data")
    return content


class _TarHeader(tarfile.TarInfo):
    """A header whose long name or attributes are limited: tarfile reads them at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Raise `Unreadable` for a header that announces more than `_MAX_HEADER_BYTES`."""
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > _MAX_HEADER_BYTES:
            raise Unreadable("damaged", f"a header of {header.size} bytes")
        return header
