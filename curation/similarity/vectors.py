"""Vectors of samples: the one store for all that makes them, and those of the newest presort.

A folder holds vectors of one kind, all made in the same way; each has a name of `NAME` bytes, a
hash of all that decided its pixels. Files are written whole and named by their content, so that
several programs may add at once, and one that is damaged is noticed and removed.

`baseline presort` writes those by which samples are compared (a network's features and the colour
layout, weighed for the dataset); the labeler reads them, and compares by its own descriptor where
there are none.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.files.atomic import write_atomic
from gleanset.records import Region

MAX_FILE_ROWS = 1024
FLUSH_INTERVAL_SECONDS = 10.0
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
    size: int
    width: int

    def read_rows(self, numbers: npt.NDArray[np.int64]) -> Vector:
        """Read some of its vectors (N x width), and no others. Raises `OSError` once it is gone."""
        stored = np.memmap(self.path, np.float32, "r", self.start, (self.size, self.width))
        found: Vector = np.asarray(stored)[numbers]
        return found


class VectorStore:
    """The vectors (float32, all of one length) in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[bytes] = []
        self._vectors: list[Vector] = []
        self._written = time.monotonic()

    def read(self, names: Collection[bytes]) -> dict[bytes, Vector]:
        """Return those of the vectors that are there."""
        wanted = set(names)
        rows = (row for path in self._files() for row in _rows(path))
        return {name: vector for name, vector in rows if name in wanted}

    def iter_files(self) -> Iterator[tuple[VectorFile, list[bytes]]]:
        """Yield files with the names of their vectors; removes damaged ones."""
        for path in self._files():
            if (data := _whole(path)) is not None:
                yield _opened(path, data)

    def iter_names(self) -> set[bytes]:
        """Return the names of the vectors that are there, without looking for damage."""
        return {name for path in self._files() for name in _names(path)}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{ENDING}"))

    def add(self, name: bytes, vector: Vector) -> None:
        """Keep a vector; it is on disk after a while, or after `flush`."""
        self._names.append(name)
        self._vectors.append(vector)
        if (
            len(self._names) >= MAX_FILE_ROWS
            or time.monotonic() - self._written > FLUSH_INTERVAL_SECONDS
        ):
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


VECTORS_FACT = "likeness"
"""The fact of a presort that names the folder of its vectors."""
VECTORS_FOLDER = "likeness"
Rows = npt.NDArray[np.float32]


def sample_vector_name(key: str, region: Region) -> bytes:
    """Return the name of the vector of a sample as it is cut now."""
    return vector_name((key, *region.box, region.angle))


def save_vectors(dataset: Dataset, names: Sequence[bytes], rows: Rows) -> str:
    """Write unit vectors (N x D) to a new folder, and return its name."""
    name = secrets.token_hex(8)
    store = VectorStore(dataset.cache / VECTORS_FOLDER / name)
    for sample, row in zip(names, rows, strict=True):
        store.add(sample, row)
    store.flush()
    return name


def remove_old_vectors(dataset: Dataset, but: str) -> None:
    """Remove the vectors of earlier presorts."""
    for folder in (dataset.cache / VECTORS_FOLDER).glob("*"):
        if folder.name != but:
            shutil.rmtree(folder, ignore_errors=True)


class EmbeddingSpace:
    """The vectors in force (unit length, `width` numbers), read from disk on demand."""

    def __init__(self, name: str, store: VectorStore) -> None:
        self.name = name
        self._rows: dict[bytes, int] = {}
        self._files: list[VectorFile] = []
        self._ends: list[int] = []
        for file, names in store.iter_files():
            start = self._ends[-1] if self._ends else 0
            self._rows.update((sample, start + row) for row, sample in enumerate(names))
            self._files.append(file)
            self._ends.append(start + file.size)

    @classmethod
    def from_dataset(cls, dataset: Dataset, known: Self | None = None) -> Self | None:
        """Return the vectors of the newest presort, if any; `known` ones are not read again."""
        newest = Proposals(dataset.db).get_latest()
        name = newest.facts.get(VECTORS_FACT) if newest else None
        if not isinstance(name, str):
            return None
        if known is not None and known.name == name:
            return known
        # A name from the catalogue is no path.
        found = cls(name, VectorStore(dataset.cache / VECTORS_FOLDER / Path(name).name))
        return found if found._rows else None

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self._files[0].width if self._files else 1

    def get_vectors(self, names: Sequence[bytes]) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the vectors of samples (N x width), and which there are; the others are zeros."""
        rows = self._numbers(names)
        there = rows >= 0
        vectors = np.zeros((len(rows), self.width), np.float32)
        homes = np.where(there, np.searchsorted(self._ends, rows, side="right"), -1)
        for number in set(homes[there].tolist()):
            file, mine = self._files[number], homes == number
            try:
                vectors[mine] = file.read_rows(rows[mine] - (self._ends[number] - file.size))
            except OSError:  # a newer presort has put others in their place
                there[mine] = False
        return vectors, there

    def get_coverage(self, names: Sequence[bytes]) -> float:
        """Return how many of some samples have a vector, as a part of all."""
        return float((self._numbers(names) >= 0).mean()) if names else 0.0

    def _numbers(self, names: Sequence[bytes]) -> npt.NDArray[np.int64]:
        return np.array([self._rows.get(name, -1) for name in names], np.int64)
