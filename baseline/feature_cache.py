"""Features on disk: shards of vectors that are written as they come and never changed.

A shard is a safetensors file named by the hash of its bytes. So two programs may write at once,
a killed one leaves whole shards only, and a damaged shard is noticed, thrown away and made anew.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from gleanset.files.atomic import write_atomic

ROWS = 1024
SECONDS = 10.0
"""A shard is written when it has so many vectors, or when so much work would be lost."""
NAME = 16
"""Bytes of the name of a vector."""

Vector = npt.NDArray[np.float32]


class FeatureCache:
    """The vectors in one folder, all made by the same network in the same way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: list[bytes] = []
        self._vectors: list[Vector] = []
        self._written = time.monotonic()

    def read(self, names: Collection[bytes]) -> dict[bytes, Vector]:
        """Those of the vectors that are there."""
        wanted = set(names)
        return {
            name: vector
            for path in sorted(self.folder.glob("*.safetensors"))
            for name, vector in _rows(path)
            if name in wanted
        }

    def add(self, name: bytes, vector: Vector) -> None:
        """Keep a vector; it is on disk after a while, or after `flush`."""
        self._names.append(name)
        self._vectors.append(vector)
        if len(self._names) >= ROWS or time.monotonic() - self._written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet. Raises `DiskFull` or `NotWritable`."""
        if self._names:
            names = np.frombuffer(b"".join(self._names), np.uint8).reshape(-1, NAME)
            data = safetensors.numpy.save(
                {"names": names.copy(), "vectors": np.stack(self._vectors)}
            )
            write_atomic(self.folder / f"{_digest(data)}.safetensors", data)
        self._names, self._vectors, self._written = [], [], time.monotonic()


def _rows(path: Path) -> list[tuple[bytes, Vector]]:
    """The vectors of a shard; none of one that is damaged, which is removed."""
    with suppress(OSError, SafetensorError, KeyError):
        data = path.read_bytes()
        if _digest(data) == path.stem:
            shard = safetensors.numpy.load(data)
            return list(zip(map(bytes, shard["names"]), shard["vectors"], strict=True))
    with suppress(OSError):
        path.unlink()
    return []


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
