"""Store of sample embeddings, and the embeddings of the newest prelabeling.

A folder holds vectors of one kind. Each has a name of `NAME` bytes, a hash of everything that
determined its pixels. Files are written atomically and named by a hash of their content, so that
several processes can add vectors at once, and damaged files are detected and removed.

`baseline prelabel` writes the vectors by which samples are compared: backbone features and the
color layout, weighted for the dataset. The labeler reads them, and compares by its own descriptor
if there are none.
"""

import hashlib
import io
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from gleanset import Dataset
from gleanset.arrays import BoolArray, Float32Array, IntArray
from gleanset.db.proposals import Proposals
from gleanset.files.atomic import write_atomic
from gleanset.records import Region

MAX_FILE_ROWS = 1024
FLUSH_INTERVAL_SECONDS = 10.0
"""A file is written after this many vectors or seconds, whichever comes first."""
NAME = 16
"""Length of a vector's name in bytes."""
ENDING = ".vectors"


def make_vector_name(description: object) -> bytes:
    """Return a vector's name: a hash of the `repr` of its description."""
    return hashlib.sha256(repr(description).encode()).digest()[:NAME]


class VectorFile(NamedTuple):
    """A verified file: `size` vectors of `width` numbers begin at byte `start`."""

    path: Path
    start: int
    size: int
    width: int

    def read_rows(self, numbers: IntArray) -> Float32Array:
        """Read vectors by number (N x width). Raises `OSError` if the file was removed."""
        vectors = np.memmap(
            self.path,
            np.float32,
            "r",
            self.start,
            (self.size, self.width),
        )
        return np.asarray(vectors)[numbers]


class VectorStore:
    """Folder of float32 vectors of equal length."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._names: list[bytes] = []
        self._vectors: list[Float32Array] = []
        self._last_flush = time.monotonic()

    def read(self, names: Collection[bytes]) -> dict[bytes, Float32Array]:
        """Return the stored vectors with these names."""
        requested = set(names)
        vectors: dict[bytes, Float32Array] = {}
        for _, data in self._iter_intact_files():
            file = io.BytesIO(data)
            file_names = _load_names(file)
            rows = np.load(file, allow_pickle=False)
            vectors |= {
                name: row
                for name, row in zip(file_names, rows, strict=True)
                if name in requested
            }
        return vectors

    def iter_files(self) -> Iterator[tuple[VectorFile, list[bytes]]]:
        """Yield files with the names of their vectors; remove damaged files."""
        for path, data in self._iter_intact_files():
            file = io.BytesIO(data)
            names = _load_names(file)
            # Only the header of the second array: its numbers are read on demand.
            np.lib.format.read_magic(file)
            (size, width), _, _ = np.lib.format.read_array_header_1_0(file)
            yield VectorFile(path, file.tell(), size, width), names

    def _iter_intact_files(self) -> Iterator[tuple[Path, bytes]]:
        """Yield files with their bytes; remove those whose hash is not their name."""
        for path in sorted(self.folder.glob(f"*{ENDING}")):
            with suppress(OSError):
                data = path.read_bytes()
                if _compute_digest(data) == path.stem:
                    yield path, data
                else:
                    path.unlink()

    def add(self, name: bytes, vector: Float32Array) -> None:
        """Add a vector; it is written later, at the latest by `flush`."""
        self._names.append(name)
        self._vectors.append(vector)
        seconds = time.monotonic() - self._last_flush
        if len(self._names) >= MAX_FILE_ROWS or seconds > FLUSH_INTERVAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write pending vectors. Raises `DiskFull` or `NotWritable`."""
        if self._names:
            names = np.frombuffer(b"".join(self._names), np.uint8)
            vectors = np.stack(self._vectors).astype(np.float32)
            file = io.BytesIO()
            np.save(file, names.reshape(-1, NAME), allow_pickle=False)
            np.save(file, vectors, allow_pickle=False)
            data = file.getvalue()
            write_atomic(
                self.folder / f"{_compute_digest(data)}{ENDING}",
                data,
            )

        self._names = []
        self._vectors = []
        self._last_flush = time.monotonic()


def _load_names(file: io.BytesIO) -> list[bytes]:
    return list(map(bytes, np.load(file, allow_pickle=False)))


def _compute_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


VECTORS_FACT = "likeness"
"""Key in a prelabeling's facts: the name of the folder with its vectors."""
VECTORS_FOLDER = "likeness"


def make_sample_vector_name(key: str, region: Region) -> bytes:
    """Return the name of a sample's vector for its current crop."""
    return make_vector_name((key, *region.box, region.angle))


class EmbeddingSpace:
    """Unit vectors of the newest prelabeling (D numbers each), read on demand."""

    def __init__(self, name: str, store: VectorStore):
        self.name = name
        # Rows are numbered through all files; each file ends before the row in `_ends`.
        self._row_by_name: dict[bytes, int] = {}
        self._files: list[VectorFile] = []
        self._ends: list[int] = []
        start = 0

        for file, names in store.iter_files():
            for row, vector_name in enumerate(names, start):
                self._row_by_name[vector_name] = row
            start += file.size
            self._files.append(file)
            self._ends.append(start)

    @classmethod
    def from_dataset(cls, dataset: Dataset, current: Self | None = None) -> Self | None:
        """Return the newest prelabeling's vectors, if any; reuse `current` if it has them."""
        newest = Proposals(dataset.db).get_latest()
        name = newest.facts.get(VECTORS_FACT) if newest else None
        if not isinstance(name, str):
            return None
        if current is not None and current.name == name:
            return current

        # A name from the catalogue must not lead out of the folder.
        space = cls(name, VectorStore(dataset.cache / VECTORS_FOLDER / Path(name).name))
        return space if space._row_by_name else None

    def get_vectors(self, names: Sequence[bytes]) -> tuple[Float32Array, BoolArray]:
        """Return vectors (N x D; zeros if missing) and a mask."""
        rows = self._find_rows(names)
        has_vector = rows >= 0
        # There is a file: `from_dataset` returns no space without vectors.
        vectors = np.zeros((len(rows), self._files[0].width), np.float32)
        file_numbers = np.searchsorted(self._ends, rows, side="right")

        for number in set(file_numbers[has_vector].tolist()):
            file = self._files[number]
            start = self._ends[number] - file.size
            in_file = has_vector & (file_numbers == number)
            try:
                vectors[in_file] = file.read_rows(rows[in_file] - start)
            except OSError:  # a newer prelabel has replaced them
                has_vector[in_file] = False
        return vectors, has_vector

    def get_coverage(self, names: Sequence[bytes]) -> float:
        """Return the share of samples that have a vector, 0..1."""
        return float((self._find_rows(names) >= 0).mean()) if names else 0.0

    def _find_rows(self, names: Sequence[bytes]) -> IntArray:
        """Return row numbers (N), -1 for none."""
        return np.array([self._row_by_name.get(name, -1) for name in names], np.int64)
