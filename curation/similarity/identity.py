"""Network that computes identity embeddings of drawn faces.

It was trained on invented people, each drawn several times with another pose, light and mood
(`tools/drawn_faces/`). `identity.json` describes its training data and its accuracy.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gleanset.work.onnx_session import open_onnx_session

WEIGHTS = Path(__file__).with_name("identity.onnx")
SIDE = 56
"""Width and height of its input in pixels."""
WIDTH = 128
Floats = npt.NDArray[np.float32]


def compute_identity_vector(small: Floats) -> Floats:
    """Return the mirror-invariant unit vector of a `SIDE` x `SIDE` image (0..255)."""
    upright = small.transpose(2, 0, 1)
    mirrored = np.ascontiguousarray(np.stack([upright, upright[:, :, ::-1]]))
    vectors = _network().run(None, {"picture": mirrored})[0]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    total: Floats = vectors.sum(axis=0)
    return total / np.float32(max(float(np.linalg.norm(total)), 1e-6))


@cache
def _network() -> Any:
    return open_onnx_session(WEIGHTS.read_bytes())
