"""Types of arrays that all packages use; docstrings and parameter names give the shapes.

And rows of length 1.
"""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""Pixels: H x W x 3 in RGB, or H x W in grey."""
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_LENGTH = 1e-9


def normalize_rows(rows: npt.NDArray[np.floating]) -> Float32Array:
    """Scale the rows (N x D) to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, MIN_LENGTH))
