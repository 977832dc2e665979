"""What is inside a zip or tar archive, read member by member, whatever the archive claims.

Sizes are counted while bytes come, never taken from a header. Links, devices and encrypted
members are refused; archives inside archives are members like any other, and not opened.
A broken archive gives what came before the damage (the last member perhaps in part, which is
refused) and then one refused entry without a name, in every run the same.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from gleanset.errors import Unreadable
from harvest.unpack.entries import BROKEN, Budget, Entry, reason_of, refused, text_of
from harvest.unpack.tars import tar_entries
from harvest.unpack.zips import zip_entries

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


def kind_of(path: Path) -> str | None:
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


def open_archive(path: Path, most: int = MAX_MEMBERS) -> Iterator[Entry]:
    """Its files in their order, without folders, hidden files and what a Mac adds.

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
        yield Entry("", refused(error.reason, f"the archive: {error.detail}"))
    except BROKEN as error:
        yield Entry("", refused(reason_of(error), f"the archive: {text_of(error)}"))
    if number > most:
        yield Entry("", refused("too large", f"the archive: more than {most} members"))


def _entries(path: Path) -> Iterator[Entry]:
    budget = Budget(max(FREE_BYTES, MAX_RATIO * path.stat().st_size))
    kind = kind_of(path)
    return zip_entries(path, budget) if kind == "zip" else tar_entries(path, kind, budget)


def _is_hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


__all__ = ["Entry", "kind_of", "open_archive"]
