"""Types of arrays that all packages use, operations on their rows, and threads that compute.

Docstrings and parameter names give the shapes.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""Pixels: H x W x 3 in RGB, or H x W in grey."""
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
"""Of either precision."""
Array = npt.NDArray[Any]

MIN_LENGTH = 1e-9

Rows = TypeVar("Rows", Array, Sequence[Any])


def normalize_rows(rows: FloatArray) -> Float32Array:
    """Scale the rows (N x D) to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, MIN_LENGTH))


def thin_out(rows: Rows, limit: int) -> Rows:
    """Return at most `limit` rows, evenly spaced."""
    step = max(1, math.ceil(len(rows) / limit))
    return rows[::step]


def split_by_number(numbers: IntArray) -> list[IntArray]:
    """Return the rows of each number, in the order of the numbers."""
    if not len(numbers):
        return []
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def split_columns(x: Array, widths: Sequence[int]) -> list[Array]:
    """Split `x` (N x D) into blocks of columns of these widths."""
    return np.split(x, np.cumsum(widths)[:-1], axis=1)


@contextmanager
def limit_threads() -> Iterator[None]:
    """Limit linear algebra libraries to one thread, in a `with` block or a decorated function.

    Several threads spend most of their time waiting for each other: on two cores, half busy, one
    fits 600 vectors in a tenth of the CPU time, and sooner.
    """
    # The import of scikit-learn takes a second: not for the programs that do without it.
    with _find_libraries("sklearn.linear_model" in sys.modules).limit(limits=1):
        yield


@cache
def _find_libraries(_with_sklearn: bool) -> Any:
    """Return the controller of the libraries that are loaded. The argument is only for the cache.

    Finding them takes longer than solving a small problem. They are found again once scikit-learn
    is imported: it loads more of them, and only loaded ones can be limited.
    """
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
