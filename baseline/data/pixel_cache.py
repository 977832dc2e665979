"""The pixels of a split, decoded once and kept in a file that is mapped into memory.

A training touches every picture many times; decoding takes longer than a step of a small network,
and 22,000 pictures do not fit into the memory of every machine. The file is found again as long as
the samples, the files they come from, size and colours are the same.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from baseline.data.pixels import Pixels, PixelSource, ReadPixels, readers_for
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.files.store import PictureFile
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
    groups: Mapping[str, Sequence[PixelSource]],
    read: ReadPixels,
    progress: Progress | None = None,
) -> dict[str, Decoded]:
    """Return the pixels of each group of sources, in its order, without those that cannot be read.

    Decoded in worker processes where they are not in `folder` yet; who comes while another
    process does so waits for it. Raises DiskFull, NotWritable.
    """
    stores = {name: _Store(folder, sources, read) for name, sources in groups.items()}
    with disk_errors(folder):
        if all(store.is_there() for store in stores.values()):
            return {name: store.decoded() for name, store in stores.items()}
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            _make_room(folder)
            _decode([s for s in stores.values() if not s.is_there()], read, progress or Progress())
            return {name: store.decoded() for name, store in stores.items()}


def _decode(stores: Sequence[_Store], read: ReadPixels, progress: Progress) -> None:
    unique = {source.key: source for store in stores for source in store.sources}
    try:
        for store in stores:
            store.begin()
        outcomes = run_over(read, list(unique.values()), readers_for(len(unique)))
        for outcome in progress.over(outcomes, "load", total=len(unique)):
            for store in stores:
                store.put(outcome.item.key, outcome.result)
        for store in stores:
            store.finish()
    except BaseException:
        for store in stores:
            store.abandon()
        raise


class _Store:
    """The file of one group: its pictures one after the other, H x W x C bytes each."""

    def __init__(self, folder: Path, sources: Sequence[PixelSource], read: ReadPixels) -> None:
        self.sources = sources
        self.shape = (read.size, read.size, 1 if read.mode == "L" else 3)
        self.length = read.size * read.size * self.shape[2]
        self.path = folder / f"{_digest(sources, read)}.pixels"
        self._partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
        self._file: BinaryIO | None = None
        self._kept: set[int] = set(range(len(sources)))
        self._rows: dict[str, list[int]] = {}

    def is_there(self) -> bool:
        """Return whether the whole file is there; from now on it counts as used."""
        with suppress(OSError):
            if self.path.stat().st_size == self.length * len(self.sources):
                os.utime(self.path)
                return True
        return not self.sources

    def begin(self) -> None:
        """Open a file for the pictures to come."""
        self._file = self._partial.open("xb+")
        self._kept = set()
        for row, source in enumerate(self.sources):
            self._rows.setdefault(source.key, []).append(row)

    def put(self, key: str, pixels: Pixels | None) -> None:
        """Write a picture into its rows. Not through the mapping, which dies of a full disk."""
        assert self._file is not None
        for row in self._rows.get(key, ()) if pixels is not None else ():
            assert pixels is not None
            self._file.seek(row * self.length)
            self._file.write(pixels.transpose(1, 2, 0).tobytes())
            self._kept.add(row)

    def finish(self) -> None:
        """Close the gaps of what could not be read; a whole file gets its name."""
        assert self._file is not None
        for new, old in enumerate(sorted(self._kept)):
            if new != old:
                self._file.seek(old * self.length)
                data = self._file.read(self.length)
                self._file.seek(new * self.length)
                self._file.write(data)
        self._file.truncate(len(self._kept) * self.length)
        self._file.close()
        if len(self._kept) == len(self.sources):
            self._partial.replace(self.path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def decoded(self) -> Decoded:
        """Return the pictures, mapped.

        What has gaps is not found again: next time all may be there.
        """
        rows = tuple(sorted(self._kept))
        if not rows:
            self._partial.unlink(missing_ok=True)
            return Decoded(np.zeros((0, self.shape[2], *self.shape[:2]), np.uint8), ())
        whole = self.path if len(rows) == len(self.sources) else self._partial
        mapped = np.asarray(np.memmap(whole, np.uint8, "c", shape=(len(rows), *self.shape)))
        if whole == self._partial:
            with suppress(OSError):  # Windows keeps a file that is mapped
                whole.unlink()
        return Decoded(mapped.transpose(0, 3, 1, 2), rows)


def _digest(sources: Iterable[PixelSource], read: ReadPixels) -> str:
    """Of all that the pixels depend on, with size and time of the files they come from."""
    digest = hashlib.sha256(f"{read.size} {read.mode} {read.fit}\n".encode())
    for source in sources:
        stamps = (_stamp(source.crop), _stamp(source.original))
        digest.update(repr((source.key, source.box, source.angle, stamps)).encode())
    return digest.hexdigest()[:32]


def _stamp(file: PictureFile) -> tuple[int, int] | None:
    if not isinstance(file, Path):
        # Of an object that would be a request; key and box say what it shows.
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _make_room(folder: Path) -> None:
    """Remove the files that were not used for longest, and what a kill has left.

    Nobody else is at work here: a file without a name yet is nobody's.
    """
    with suppress(OSError):
        for path in (*_oldest(folder.glob("*.pixels"))[:-KEPT], *folder.glob(f"{PARTIAL}*")):
            path.unlink(missing_ok=True)


def _oldest(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime)
