"""The vectors by which samples are compared: those of the newest presort, for every room to use.

`baseline presort` writes them (a network's features and the colour layout, weighed for the
dataset); the labeler reads them, and compares by its own descriptor where there are none.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.likeness.store import VectorStore, vector_name
from gleanset.records import Region

FACT = "likeness"
"""The fact of a presort that names the folder of its vectors."""
FOLDER = "likeness"

Rows = npt.NDArray[np.float32]


def sample_name(key: str, region: Region) -> bytes:
    """Return the name of the vector of a sample as it is cut now."""
    return vector_name((key, *region.box, region.angle))


def write_space(
    dataset: Dataset, names: Sequence[bytes], rows: Rows, name: str | None = None
) -> str:
    """Write vectors of unit length (N x D) in a folder of their own; return its name.

    With the `name` of one that is there they are added to it. They are in force once the facts of
    the newest presort name it. Raises `DiskFull` or `NotWritable`.
    """
    name = name or secrets.token_hex(8)
    store = VectorStore(dataset.cache / FOLDER / name)
    for sample, row in zip(names, rows, strict=True):
        store.add(sample, row)
    store.flush()
    return name


def forget_spaces(dataset: Dataset, but: str) -> None:
    """Remove the vectors of earlier presorts."""
    for folder in (dataset.cache / FOLDER).glob("*"):
        if folder.name != but:
            shutil.rmtree(folder, ignore_errors=True)


class LikenessSpace:
    """The vectors (unit length, `width` numbers) that are in force, each file of them read once."""

    def __init__(self, name: str, store: VectorStore) -> None:
        self.name = name
        self._store = store
        self._rows: dict[bytes, int] = {}
        self._vectors = np.zeros((0, 1), np.float32)
        self.read_on()

    @classmethod
    def of(cls, dataset: Dataset, known: Self | None = None) -> Self | None:
        """Return those of the newest presort; None where there are none.

        Those that are `known` are read on where they are still in force.
        """
        newest = Proposals(dataset.db).newest()
        name = newest.facts.get(FACT) if newest else None
        if not isinstance(name, str):
            return None
        if known is not None and known.name == name:
            known.read_on()
            return known
        # A name from the catalogue is no path.
        found = cls(name, VectorStore(dataset.cache / FOLDER / Path(name).name))
        return found if found._rows else None

    def read_on(self) -> None:
        """Read what was added."""
        found = self._store.read_new()
        if not found:
            return
        added = np.stack(list(found.values()))
        start = len(self._rows)
        self._rows |= {sample: start + row for row, sample in enumerate(found)}
        self._vectors = np.concatenate([self._vectors, added]) if start else added

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return int(self._vectors.shape[1])

    def vectors(self, names: Sequence[bytes]) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the vectors of samples (N x width), and which there are; the others are zeros."""
        rows = np.array([self._rows.get(name, -1) for name in names], np.int64)
        there = rows >= 0
        found = np.zeros((len(rows), self.width), np.float32)
        found[there] = self._vectors[rows[there]]
        return found, there
