"""Members of a zip, by the directory at its end."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harvest.unpack.entries import Budget, Entry, Read, bounded, guarded, refused

# zipfile unpacks the other methods without a bound on what comes out at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# General purpose flags, APPNOTE.TXT 4.4.4.
_ENCRYPTED, _UTF8 = 0x1, 0x800


def zip_entries(path: Path, budget: Budget) -> Iterator[Entry]:
    """Every member that is no folder."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            # Once the budget is spent this ends the archive, not only one member.
            budget.spend(0)
            if not info.is_dir():
                yield Entry(_name(info), _read(archive, info, budget))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Read:
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

    return guarded(read)


def _name(info: zipfile.ZipInfo) -> str:
    """UTF-8 where it says so or where it fits, else code page 437 (APPNOTE.TXT, D.1)."""
    name = info.filename
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    # Some Windows programs write their own separator.
    return name.replace("\\", "/")
