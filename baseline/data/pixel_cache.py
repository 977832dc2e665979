"""The pixels of a split, decoded once and kept in a file that is mapped into memory.

A training touches every picture many times; decoding takes longer than a step of a small network,
and 22,000 pictures do not fit into the memory of every machine. The file is found again as long as
the samples, the files they come from, size and colours are the same.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from baseline.data.pixels import Pixels, PixelSource, ReadPixels, readers_for
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.platform import replace_file
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

KEPT = 6
"""Files that stay when new ones come: three splits in two sizes. Older ones make room."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`x` is uint8 N x C x H x W, mapped; its pictures are those of the sources at `rows`."""

    x: Pixels
    rows: tuple[int, ...]


def decode_all(
    folder: Path,
    sources: Sequence[PixelSource],
    read: ReadPixels,
    progress: Progress | None = None,
) -> Decoded:
    """Return the pixels of sources, in their order, without those that cannot be read.

    Decoded in worker processes where they are not in `folder` yet; who comes while another
    process does so waits for it. Raises DiskFull, NotWritable.
    """
    whole = folder / f"{_digest(sources, read)}.pixels"
    shape = (read.size, read.size, 1 if read.mode == "L" else 3)
    size, every = math.prod(shape) * len(sources), tuple(range(len(sources)))
    with disk_errors(folder):
        if not every or _is_there(whole, size):
            return _mapped(whole, shape, every)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if _is_there(whole, size):
                return _mapped(whole, shape, every)
            _make_room(folder)
            partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
            try:
                rows = _decode(partial, sources, read, progress or Progress())
                if rows == every:
                    replace_file(partial, whole)
                    return _mapped(whole, shape, rows)
                # What has gaps is not found again: next time all may be there.
                return _mapped(partial, shape, rows)
            finally:
                with suppress(OSError):  # Windows keeps a file that is mapped
                    partial.unlink(missing_ok=True)


def _is_there(path: Path, size: int) -> bool:
    """Return whether the whole file is there; from now on it counts as used."""
    with suppress(OSError):
        if path.stat().st_size == size:
            os.utime(path)
            return True
    return False


def _mapped(path: Path, shape: tuple[int, int, int], rows: tuple[int, ...]) -> Decoded:
    """Return the pictures of a file, H x W x C bytes each."""
    if not rows:
        return Decoded(np.zeros((0, shape[2], *shape[:2]), np.uint8), ())
    mapped = np.asarray(np.memmap(path, np.uint8, "c", shape=(len(rows), *shape)))
    return Decoded(mapped.transpose(0, 3, 1, 2), rows)


def _decode(
    path: Path, sources: Sequence[PixelSource], read: ReadPixels, progress: Progress
) -> tuple[int, ...]:
    """Write the pictures of sources one after the other; return the rows that could be read."""
    places: dict[str, list[int]] = {}
    for row, source in enumerate(sources):
        places.setdefault(source.key, []).append(row)
    unique = {source.key: source for source in sources}
    there: set[int] = set()
    with path.open("xb+") as file:
        outcomes = run_over(read, list(unique.values()), readers_for(len(unique)))
        for outcome in progress.over(outcomes, "load", total=len(unique)):
            if outcome.result is None:
                continue
            # Not through the mapping, which dies of a full disk.
            data = outcome.result.transpose(1, 2, 0).tobytes()
            for row in places[outcome.item.key]:
                file.seek(row * len(data))
                file.write(data)
                there.add(row)
        rows = tuple(sorted(there))
        _close_gaps(file, rows, read.size**2 * (1 if read.mode == "L" else 3))
    return rows


def _close_gaps(file: BinaryIO, rows: Sequence[int], length: int) -> None:
    """Move what could be read together, so many bytes each."""
    for new, old in enumerate(rows):
        if new != old:
            file.seek(old * length)
            data = file.read(length)
            file.seek(new * length)
            file.write(data)
    file.truncate(len(rows) * length)


def _digest(sources: Iterable[PixelSource], read: ReadPixels) -> str:
    """Of all that the pixels depend on, with size and time of the files they come from."""
    digest = hashlib.sha256(f"{read.size} {read.mode} {read.fit}\n".encode())
    for source in sources:
        stamps = (_stamp(source.crop), _stamp(source.original))
        digest.update(repr((source.key, source.box, source.angle, stamps)).encode())
    return digest.hexdigest()[:32]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _make_room(folder: Path) -> None:
    """Remove the files that were not used for longest, and what a kill has left.

    Nobody else is at work here: a file without a name yet is nobody's.
    """
    for path in (*_oldest(folder.glob("*.pixels"))[:-KEPT], *folder.glob(f"{PARTIAL}*")):
        with suppress(OSError):  # Windows keeps what another process has mapped
            path.unlink(missing_ok=True)


def _oldest(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime)
