"""Scores as probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def log_softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """The logarithms of the probabilities, N x C, computed in double precision."""
    scaled = logits.astype(np.float64) / temperature
    shifted = scaled - scaled.max(1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Probabilities N x C that sum to 1; `temperature` above 1 makes them more cautious."""
    result: Floats = np.exp(log_softmax(logits, temperature))
    return result
