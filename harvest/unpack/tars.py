"""Members of a tar, plain or compressed, read once from front to back."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from gleanset.errors import Unreadable
from harvest.unpack.entries import CHUNK, Budget, Entry, Read, bounded, guarded, refused

# The longest name or attribute that a header may announce; tarfile takes it in one piece.
_MAX_HEADER = 1_000_000
_END_MARK = bytes(512)


def tar_entries(path: Path, kind: str | None, budget: Budget) -> Iterator[Entry]:
    """Every member that is no folder; raises what tarfile raises where the damage begins."""
    with _unpacked(path, kind) as source:
        stream = _Stream(source, budget, plain=kind == "tar")
        with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8") as archive:
            while (info := archive.next()) is not None:
                # Or tarfile keeps every header it ever met.
                archive.members.clear()  # type: ignore[attr-defined]
                if not info.isdir():
                    yield Entry(_name(info), _read(archive, info))
        if stream.last != _END_MARK:
            raise Unreadable("cut off", "it ends without an end mark, or in damaged headers")


def _read(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Read:
    if not info.isreg() or info.issparse():
        return refused("not a file", "a link, a device or a sparse file")

    def read() -> Iterator[bytes]:
        file = archive.extractfile(info)
        assert file is not None
        yield from bounded(file)

    return guarded(read)


def _name(info: tarfile.TarInfo) -> str:
    return os.fsencode(info.name).decode("utf-8", "backslashreplace")


def _unpacked(path: Path, kind: str | None) -> IO[bytes]:
    openers: dict[str | None, Callable[..., Any]] = {
        "gz": gzip.open,
        "bz2": bz2.open,
        "xz": lzma.open,
    }
    return cast("IO[bytes]", openers.get(kind, open)(path, "rb"))


class _Stream(io.RawIOBase):
    """The bytes of a tar, forwards only and counted; remembers what it read last."""

    def __init__(self, source: IO[bytes], budget: Budget, *, plain: bool) -> None:
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
