"""Where an embedding begins: the directions in which classes differ most for how they vary.

Fisher's linear discriminants. Descent from there ends higher, and after fewer epochs, than from
random numbers: there are far more weights than pictures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits
from torch import nn

COMPONENTS = 256
"""Principal components of the features that discriminants are looked for in."""
SHRINKAGE = 0.3
"""Share of the identity in the covariance within classes: there are about as many as pictures."""
OTHER = 0.3
"""How much directions count that do not tell the classes apart: they are for new classes."""

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]


def discriminant(x: npt.NDArray[np.float32], y: Classes, layer: nn.Linear) -> None:
    """Begin `layer` as discriminants of `x` (N x views x D, standardised) by the classes `y`.

    There are fewer discriminants than classes; the other rows are directions in which pictures
    of one class vary as little as they can.
    """
    # One thread: on a busy machine several wait for each other far longer than this takes.
    with threadpool_limits(1):
        rows = _rows(x.reshape(-1, x.shape[2]).astype(np.float64), np.repeat(y, x.shape[1]))
    rows = rows[: layer.out_features]
    with torch.no_grad():
        layer.weight[: len(rows)] = torch.from_numpy(rows)
        layer.weight[len(rows) :] = 0
        layer.bias.zero_()


def _rows(x: Floats, y: Classes) -> Floats:
    """Discriminants, then other directions: at most `COMPONENTS` x D."""
    wanted = min(COMPONENTS, *x.shape)
    components = randomized_svd(x - x.mean(0), wanted, random_state=0)[2]
    whitening = _whitening(x @ components.T, y) @ components
    white = x @ whitening.T
    means = np.stack([white[y == name].mean(0) for name in np.unique(y)])
    turn = np.linalg.svd(means - means.mean(0))[2]
    weights = np.where(np.arange(len(turn)) < len(means) - 1, 1.0, OTHER)
    rows: Floats = (weights[:, None] * turn) @ whitening
    return rows


def _whitening(x: Floats, y: Classes) -> Floats:
    """D x D: makes the (shrunk) covariance within classes the identity."""
    centred = x.copy()
    for name in np.unique(y):
        centred[y == name] -= x[y == name].mean(0)
    within = centred.T @ centred / len(x)
    even = np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * even)
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, 1e-9))).T
    return whitening
