"""What is inside a zip or tar archive, read member by member, whatever the archive claims.

Sizes are counted while bytes come, never taken from a header. Links, devices and encrypted
members are refused; archives inside archives are members like any other, and not opened.
A broken archive gives what came before the damage (the last member perhaps in part, which is
refused) and then one refused entry without a name, in every run the same.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

from gleanset.errors import Unreadable
from gleanset.images.decode import MAX_BYTES

CHUNK = 65_536

# What the standard library answers broken archives with.
BROKEN = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    AttributeError,
    struct.error,
    MemoryError,
)

ReadMember = Callable[[], Iterator[bytes]]


class ArchiveMember(NamedTuple):
    """A member: its name as text, and its bytes in chunks, to be read at most once and now.

    `read` raises `Unreadable` for what is refused or broken.
    """

    name: str
    read: ReadMember


class UnpackBudget:
    """What one archive may unpack to, in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    def spend(self, number: int) -> None:
        """Raises `Unreadable` when more came than an honest archive holds."""
        self._left -= number
        if self._left < 0:
            raise Unreadable("archive bomb", f"it unpacks to more than {self._most} bytes")


def bounded(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of one member. Raises `Unreadable` as soon as no picture may be so large."""
    size = 0
    while chunk := file.read(CHUNK):
        size += len(chunk)
        if size > MAX_BYTES:
            raise Unreadable("too large", f"more than {MAX_BYTES} bytes")
        yield chunk


def translating_errors(read: ReadMember) -> ReadMember:
    """Yield the same, with every error of a broken archive as an `Unreadable`."""

    def checked() -> Iterator[bytes]:
        try:
            yield from read()
        except BROKEN as error:
            raise Unreadable(error_reason(error), error_text(error)) from error

    return checked


def refused(reason: str, detail: str) -> ReadMember:
    """For a member that is not read at all."""

    def read() -> NoReturn:
        raise Unreadable(reason, detail)

    return read


def error_reason(error: BaseException) -> str:
    """'cut off' where the end is missing, else 'damaged'."""
    text = str(error).lower()
    ended = isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text
    return "cut off" if ended else "damaged"


def error_text(error: BaseException) -> str:
    """For the detail of a rejection."""
    return f"{type(error).__name__}: {error}"


# The longest name or attribute that a header may announce; tarfile takes it in one piece.
_MAX_HEADER = 1_000_000
_END_MARK = bytes(512)


def tar_entries(path: Path, kind: str | None, budget: UnpackBudget) -> Iterator[ArchiveMember]:
    """Yield every member that is no folder; raises what tarfile raises where the damage begins."""
    with _unpacked(path, kind) as source:
        stream = _CountingStream(source, budget, plain=kind == "tar")
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8") as archive:
            while (info := archive.next()) is not None:
                # Or tarfile keeps every header it ever met.
                archive.members.clear()  # type: ignore[attr-defined]
                if not info.isdir():
                    yield ArchiveMember(_tar_name(info), _tar_reader(archive, info))
        if stream.last != _END_MARK:
            raise Unreadable("cut off", "it ends without an end mark, or in damaged headers")


def _tar_reader(archive: tarfile.TarFile, info: tarfile.TarInfo) -> ReadMember:
    if not info.isreg() or info.issparse():
        return refused("not a file", "a link, a device or a sparse file")

    def read() -> Iterator[bytes]:
        file = archive.extractfile(info)
        assert file is not None
        yield from bounded(file)

    return translating_errors(read)


def _tar_name(info: tarfile.TarInfo) -> str:
    return os.fsencode(info.name).decode("utf-8", "backslashreplace")


def _unpacked(path: Path, kind: str | None) -> IO[bytes]:
    openers: dict[str | None, Callable[..., Any]] = {
        "gz": gzip.open,
        "bz2": bz2.open,
        "xz": lzma.open,
    }
    return cast("IO[bytes]", openers.get(kind, open)(path, "rb"))


class _CountingStream(io.RawIOBase):
    """The bytes of a tar, forwards only and counted; remembers what it read last."""

    def __init__(self, source: IO[bytes], budget: UnpackBudget, *, plain: bool) -> None:
        self._source = source
        self._budget = budget
        self._plain = plain
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Raises `Unreadable` beyond the budget, and for headers that claim to be huge."""
        if not 0 <= size <= _MAX_HEADER:
            raise Unreadable("damaged", f"a header of {size} bytes")
        self.last = self._source.read(size)
        if not self._plain:
            self._budget.spend(len(self.last))
        return self.last

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Forwards; a compressed stream reads its way there."""
        if self._plain:
            return self._source.seek(position, whence)
        while (left := position - self.tell()) > 0:
            if not self.read(min(left, CHUNK)):
                break
        if left < 0:
            raise io.UnsupportedOperation("backwards")
        return position

    def tell(self) -> int:
        """Bytes from the start, unpacked."""
        return self._source.tell()

    def seekable(self) -> bool:
        """As far as tarfile needs it."""
        return True


# zipfile unpacks the other methods without a bound on what comes out at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# General purpose flags, APPNOTE.TXT 4.4.4.
_ENCRYPTED, _UTF8 = 0x1, 0x800
# Its bytes without the name (4.3.7).
_LOCAL_HEADER = 30
_SHARED = "some of its bytes are those of other members"


def zip_entries(path: Path, budget: UnpackBudget) -> Iterator[ArchiveMember]:
    """Yield every member that is no folder."""
    with zipfile.ZipFile(path) as archive:
        overlapping = _overlapping(archive)
        for info in archive.infolist():
            # Once the budget is spent this ends the archive, not only one member.
            budget.spend(0)
            if info in overlapping:
                yield ArchiveMember(_zip_name(info), refused("archive bomb", _SHARED))
            elif not info.is_dir():
                yield ArchiveMember(_zip_name(info), _zip_reader(archive, info, budget))


def _overlapping(archive: zipfile.ZipFile) -> set[zipfile.ZipInfo]:
    """Return the members that reach into others: so a small file unpacks to any size.

    Some versions of Python refuse them, others do not.
    """
    found, end = set(), archive.start_dir
    for info in sorted(archive.infolist(), key=lambda one: one.header_offset, reverse=True):
        if info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            found.add(info)
        end = info.header_offset
    return found


def _zip_reader(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: UnpackBudget
) -> ReadMember:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return refused("not a file", "a link or a device")
    if info.flag_bits & _ENCRYPTED:
        return refused("encrypted", "unpack it with its password, then name the folder")
    if info.compress_type not in _METHODS:
        return refused("unsupported compression", f"zip method {info.compress_type}")

    def read() -> Iterator[bytes]:
        with archive.open(info) as file:
            for chunk in bounded(file):
                budget.spend(len(chunk))
                yield chunk

    return translating_errors(read)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """UTF-8 where it says so or where it fits, else code page 437 (APPNOTE.TXT, D.1)."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    # Some Windows programs write their own separator.
    return name.replace("\\", "/")


MAX_MEMBERS = 1_000_000
# Pictures hardly shrink: an archive that unpacks to so many times its size is a bomb. The
# first bytes are free, because a small archive of drawings may well shrink that much.
MAX_RATIO = 100
FREE_BYTES = 500_000_000

_MAGICS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
)


def archive_format(path: Path) -> str | None:
    """'zip', 'tar', 'gz', 'bz2' or 'xz' by content, None for anything else; may raise OSError."""
    with path.open("rb") as file:
        head = file.read(512)
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    # A zip may hide behind a program, and the oldest tar has no magic at all.
    if zipfile.is_zipfile(path):
        return "zip"
    return "tar" if path.suffix.lower() == ".tar" else None


def open_archive(path: Path, most: int = MAX_MEMBERS) -> Iterator[ArchiveMember]:
    """Yield its files in their order, without folders, hidden files and what a Mac adds.

    After `most` members, of whatever kind, the rest is refused.
    """
    number = 0
    try:
        for number, entry in enumerate(_entries(path), start=1):
            if number > most:
                break
            if not _is_hidden(entry.name):
                yield entry
    except Unreadable as error:
        yield ArchiveMember("", refused(error.reason, f"the archive: {error.detail}"))
    except BROKEN as error:
        yield ArchiveMember("", refused(error_reason(error), f"the archive: {error_text(error)}"))
    if number > most:
        yield ArchiveMember("", refused("too large", f"the archive: more than {most} members"))


def _entries(path: Path) -> Iterator[ArchiveMember]:
    budget = UnpackBudget(max(FREE_BYTES, MAX_RATIO * path.stat().st_size))
    kind = archive_format(path)
    return zip_entries(path, budget) if kind == "zip" else tar_entries(path, kind, budget)


def _is_hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


__all__ = ["ArchiveMember", "archive_format", "open_archive"]
