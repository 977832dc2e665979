"""Features of all samples, small enough to hold: 128 numbers for each, whatever the backbone.

Principal components, found on up to `SEEN` samples spread over the dataset, scaled to length 1.
(They classify as well as all features do; whitened ones are far worse, see docs/experiments.md.)
Features are read a page at a time, so that of 100,000 samples no more than 25,000 whole feature
vectors are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from baseline.features import FeatureSpec, features_of
from baseline.presort.classify import Vectors
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.progress import Progress

WIDTH = 128
SEEN = 5000
PAGE = 25_000


class Basis(NamedTuple):
    """What features (N x D) are projected on: `mean` D, `axes` D x WIDTH."""

    mean: Vectors
    axes: Vectors

    def project(self, features: Vectors) -> Vectors:
        """N x WIDTH, each of length 1."""
        found = (features - self.mean) @ self.axes
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        scaled: Vectors = (found / np.maximum(norms, 1e-9)).astype(np.float32)
        return scaled


def basis_of(features: Vectors) -> Basis:
    """The directions in which features (N x D) differ most."""
    mean = features.mean(0)
    centred = (features - mean).astype(np.float64)
    # Of the two tables of products the smaller one: both give the same directions.
    few = len(features) < features.shape[1]
    values, found = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    keep = [i for i in np.argsort(-values)[:WIDTH] if values[i] > values.max() * 1e-9]
    axes = centred.T @ found[:, keep] / np.sqrt(values[keep]) if few else found[:, keep]
    return Basis(mean, axes.astype(np.float32))


def read_vectors(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> tuple[list[str], Vectors]:
    """(keys, vectors N x WIDTH) of the samples that can be read. Raises what features raise."""
    backbone = spec.load()
    some = samples[:: max(1, -(-len(samples) // SEEN))]
    basis = basis_of(features_of(dataset, some, spec, progress, backbone).plain)
    keys: list[str] = []
    parts: list[Vectors] = []
    for page in _pages(samples):
        try:
            found = features_of(dataset, page, spec, progress, backbone)
        except InputUnusable:
            # Nothing of this page can be read; that the first one could is known.
            continue
        keys += found.keys
        parts.append(basis.project(found.plain))
    return keys, np.concatenate(parts)


def _pages(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), PAGE):
        yield samples[start : start + PAGE]
