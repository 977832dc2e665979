"""The map: samples laid in a plane, so that those that look alike lie near each other.

t-SNE (van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; Barnes-Hut, 2014) as
scikit-learn has it, begun from principal components so that it repeats and keeps what lies far
apart (Kobak and Linderman, "Initialization is critical", 2021). Where the training extra is
missing it is the principal components themselves.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from labeler.likeness import Vectors

Method = Literal["t-SNE", "PCA"]
Places = npt.NDArray[np.float32]

PARTS = 50
"""Principal components that t-SNE sees, as its authors do: less noise, and quicker."""
PERPLEXITY = 30.0
FEWEST = 8
"""Samples under which there are no neighbourhoods to keep."""
MOST = 3000
"""So many are laid out; each further one lies where the likest of these do."""
NEAREST = 3
BLOCK = 2000


class LikenessMap(NamedTuple):
    """Where samples lie (N x 2, in 0..1), and by which method."""

    places: Places
    method: Method


def likeness_map(vectors: Vectors) -> LikenessMap:
    """Lay out vectors of unit length (N x D). The same vectors give the same map."""
    if len(vectors) < FEWEST or find_spec("sklearn") is None:
        return LikenessMap(_framed(principal_parts(vectors, 2)), "PCA")
    some = np.unique(np.linspace(0, len(vectors) - 1, MOST).astype(np.intp))
    laid = _tsne(principal_parts(vectors[some], PARTS))
    places = laid if len(some) == len(vectors) else _among(vectors, some, laid)
    return LikenessMap(_framed(places), "t-SNE")


def principal_parts(vectors: Vectors, count: int) -> Places:
    """Return the first principal components (N x `count`) of vectors (N x D).

    The sign of each is chosen, so that the same vectors give the same numbers everywhere.
    """
    parts = np.zeros((len(vectors), count), np.float32)
    if len(vectors) > 1:
        centred = (vectors - vectors.mean(0)).astype(np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, ::-1][:, :count]
        axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
        parts[:, : axes.shape[1]] = centred @ axes
    return parts


def _tsne(parts: Places) -> Places:
    from sklearn.manifold import TSNE

    begin = parts[:, :2] / max(float(parts[:, 0].std()), 1e-9) * 1e-4
    perplexity = min(PERPLEXITY, (len(parts) - 1) / 3)
    laid: Places = TSNE(init=begin, perplexity=perplexity, random_state=0).fit_transform(parts)
    return laid


def _among(vectors: Vectors, some: npt.NDArray[np.intp], laid: Places) -> Places:
    """Return a place for each vector: that of `laid`, else the mean of its likest ones'."""
    places = np.empty((len(vectors), 2), np.float32)
    for start in range(0, len(vectors), BLOCK):
        alike = vectors[start : start + BLOCK] @ vectors[some].T
        nearest = np.argpartition(-alike, NEAREST - 1, axis=1)[:, :NEAREST]
        places[start : start + BLOCK] = laid[nearest].mean(1)
    places[some] = laid
    return places


def _framed(places: Places) -> Places:
    """Return the places moved and scaled, evenly, into the middle of 0..1."""
    if not len(places):
        return places
    low, high = places.min(0), places.max(0)
    scale = max(float((high - low).max()), 1e-9)
    framed: Places = ((places - (low + high) / 2) / scale + 0.5).astype(np.float32)
    return framed
