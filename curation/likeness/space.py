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

from curation.likeness.store import VectorFile, VectorStore, vector_name
from gleanset import Dataset
from gleanset.db.proposals import Proposals
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
    """The vectors (unit length, `width` numbers) that are in force.

    They stay on disk, and those that are asked for are read: of very many, few are compared.
    """

    def __init__(self, name: str, store: VectorStore) -> None:
        self.name = name
        self._store = store
        self._rows: dict[bytes, int] = {}
        self._files: list[VectorFile] = []
        self._ends: list[int] = []
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
        """Learn of what was added."""
        for file, names in self._store.new_files():
            start = self._ends[-1] if self._ends else 0
            self._rows.update((name, start + row) for row, name in enumerate(names))
            self._files.append(file)
            self._ends.append(start + file.many)

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return self._files[0].width if self._files else 1

    def vectors(self, names: Sequence[bytes]) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the vectors of samples (N x width), and which there are; the others are zeros."""
        rows = self._numbers(names)
        there = rows >= 0
        vectors = np.zeros((len(rows), self.width), np.float32)
        homes = np.where(there, np.searchsorted(self._ends, rows, side="right"), -1)
        for number in set(homes[there].tolist()):
            file, mine = self._files[number], homes == number
            try:
                vectors[mine] = file.rows(rows[mine] - (self._ends[number] - file.many))
            except OSError:  # a newer presort has put others in their place
                there[mine] = False
        return vectors, there

    def share(self, names: Sequence[bytes]) -> float:
        """Return how many of some samples have a vector, as a part of all."""
        return float((self._numbers(names) >= 0).mean()) if names else 0.0

    def _numbers(self, names: Sequence[bytes]) -> npt.NDArray[np.int64]:
        return np.array([self._rows.get(name, -1) for name in names], np.int64)
