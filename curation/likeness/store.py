"""The one store of feature vectors: whatever makes them, they are made once and kept in the cache.

A folder holds vectors of one kind, all made in the same way; each has a name of `NAME` bytes, a
hash of all that decided its pixels. Files are written whole and named by their content, so that
several programs may add at once, and one that is damaged is noticed and removed.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.files.atomic import write_atomic

ROWS = 1024
SECONDS = 10.0
"""A file is written when it has so many vectors, or when so much work would be lost."""
NAME = 16
"""Bytes of the name of a vector."""
ENDING = ".vectors"

Vector = npt.NDArray[np.float32]


def vector_name(described: object) -> bytes:
    """Return the name of the vector of whatever `described` says by its `repr`."""
    return hashlib.sha256(repr(described).encode()).digest()[:NAME]


class VectorFile(NamedTuple):
    """A file that was found whole: `many` vectors of `width` numbers begin at byte `start`."""

    path: Path
    start: int
    many: int
    width: int

    def rows(self, numbers: npt.NDArray[np.int64]) -> Vector:
        """Read some of its vectors (N x width), and no others. Raises `OSError` once it is gone."""
        stored = np.memmap(self.path, np.float32, "r", self.start, (self.many, self.width))
        found: Vector = np.asarray(stored)[numbers]
        return found


class VectorStore:
    """The vectors (float32, all of one length) in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[bytes] = []
        self._vectors: list[Vector] = []
        self._written = time.monotonic()
        self._read: set[str] = set()

    def read(self, names: Collection[bytes]) -> dict[bytes, Vector]:
        """Return those of the vectors that are there."""
        wanted = set(names)
        rows = (row for path in self._files() for row in _rows(path))
        return {name: vector for name, vector in rows if name in wanted}

    def new_files(self) -> Iterator[tuple[VectorFile, list[bytes]]]:
        """Yield the files that it has not yielded before, with the names of their vectors.

        What is damaged is removed.
        """
        for path in self._files():
            if path.name not in self._read:
                self._read.add(path.name)
                if (data := _whole(path)) is not None:
                    yield _opened(path, data)

    def names(self) -> set[bytes]:
        """Return the names of the vectors that are there, without looking for damage."""
        return {name for path in self._files() for name in _names(path)}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{ENDING}"))

    def add(self, name: bytes, vector: Vector) -> None:
        """Keep a vector; it is on disk after a while, or after `flush`."""
        self._names.append(name)
        self._vectors.append(vector)
        if len(self._names) >= ROWS or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet. Raises `DiskFull` or `NotWritable`."""
        if self._names:
            data = _packed(self._names, self._vectors)
            write_atomic(self.folder / f"{_digest(data)}{ENDING}", data)
        self._names, self._vectors, self._written = [], [], time.monotonic()


def _packed(names: list[bytes], vectors: list[Vector]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.frombuffer(b"".join(names), np.uint8).reshape(-1, NAME), allow_pickle=False)
    np.save(file, np.stack(vectors).astype(np.float32), allow_pickle=False)
    return file.getvalue()


def _whole(path: Path) -> bytes | None:
    with suppress(OSError):
        data = path.read_bytes()
        if _digest(data) == path.stem:
            return data
        path.unlink()
    return None


def _rows(path: Path) -> Iterator[tuple[bytes, Vector]]:
    if (data := _whole(path)) is None:
        return iter(())
    file = io.BytesIO(data)
    names, vectors = (np.load(file, allow_pickle=False) for _ in range(2))
    return zip(map(bytes, names), vectors, strict=True)


def _opened(path: Path, data: bytes) -> tuple[VectorFile, list[bytes]]:
    file = io.BytesIO(data)
    names = np.load(file, allow_pickle=False)
    np.lib.format.read_magic(file)
    (count, width), _, _ = np.lib.format.read_array_header_1_0(file)
    return VectorFile(path, file.tell(), count, width), list(map(bytes, names))


def _names(path: Path) -> Iterator[bytes]:
    with suppress(OSError, ValueError), path.open("rb") as file:
        return map(bytes, np.load(file, allow_pickle=False))
    return iter(())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
