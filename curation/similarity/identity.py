"""The network that tells drawn people apart: a vector for each face, near for one person.

It learnt from people who do not exist, each drawn several times with another pose, light and mood
(`tools/drawn_faces/`). `identity.json` says what it learnt from and what it is worth.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gleanset.work.onnx_session import onnx_session

WEIGHTS = Path(__file__).with_name("identity.onnx")
SIDE = 56
"""Pixels of the image that it looks at, across and down."""
WIDTH = 128
Floats = npt.NDArray[np.float32]


def compute_identity_vector(small: Floats) -> Floats:
    """Return the unit vector of an image (`SIDE` x `SIDE` x 3, 0..255), same for its mirror."""
    upright = small.transpose(2, 0, 1)
    both = np.ascontiguousarray(np.stack([upright, upright[:, :, ::-1]]))
    vectors = _network().run(None, {"picture": both})[0]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    total: Floats = vectors.sum(axis=0)
    return total / np.float32(max(float(np.linalg.norm(total)), 1e-6))


@cache
def _network() -> Any:
    return onnx_session(WEIGHTS.read_bytes())
