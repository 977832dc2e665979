"""What a presort compares samples by: principal components of each part of the features, weighed.

The weights are those that the texture of the pictures lets expect (`baseline/texture.py`) and, the
more is labelled, those that the labels ask for (`baseline/methods/part_weights.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.backbone import Backbone, FeaturePart
from baseline.features import FeatureSpec, features_of
from baseline.methods.one_thread import one_thread
from baseline.methods.part_weights import PartWeights, choose_part_weights
from baseline.methods.scaling import Scaling
from baseline.texture import ExpectedWeights
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
WIDTH = 128
"""Components of a network's features; of colours half as many tell as much."""
SEEN = 5000
PAGE = 25_000


class Components(NamedTuple):
    """Rows N x D of components: those of each of `parts` follow each other, of variance 1 each."""

    keys: list[str]
    rows: FeatureRows
    parts: tuple[FeaturePart, ...]

    def weighed(self, weights: Sequence[float]) -> FeatureRows:
        """Return the rows with each part times its weight, each row of length 1."""
        each = np.repeat(weights, [part.width for part in self.parts])
        found = self.rows * each.astype(np.float32)
        scaled: FeatureRows = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return scaled


class PrincipalAxes(NamedTuple):
    """What standardised features (N x D) are projected on: `axes` D x width."""

    scaling: Scaling
    axes: FeatureRows

    def project(self, features: FeatureRows) -> FeatureRows:
        """Return the components, N x width."""
        found: FeatureRows = (self.scaling.applied(features) @ self.axes).astype(np.float32)
        return found


def principal_axes(features: FeatureRows, backbone: Backbone) -> PrincipalAxes:
    """Return the directions in which what `backbone` made (N x D) differs most, once scaled."""
    scaling = Scaling.of(features, backbone)
    scaled = scaling.applied(features).astype(np.float64)
    with one_thread():
        # Of the two tables of products the smaller one: both give the same directions.
        few = len(scaled) < scaled.shape[1]
        values, found = np.linalg.eigh(scaled @ scaled.T if few else scaled.T @ scaled)
        most = sum(WIDTH if part.standardised else WIDTH // 2 for part in backbone.parts)
        keep = [i for i in np.argsort(-values)[:most] if values[i] > values.max() * 1e-9]
        axes = scaled.T @ found[:, keep] / np.sqrt(values[keep]) if few else found[:, keep]
    # All parts come to the same variance, whatever they are made of.
    alike = np.sqrt(max(float(values[keep].sum()), 1e-12) / len(scaled))
    return PrincipalAxes(scaling, (axes / alike).astype(np.float32))


def components_of(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> Components:
    """Return the components of what can be read. Raises what features raise."""
    backbone = spec.load()
    some = samples[:: max(1, -(-len(samples) // SEEN))]
    seen = features_of(dataset, some, spec, progress, backbone).plain
    bases = [
        principal_axes(seen[:, own], member)
        for own, member in zip(_columns(backbone), backbone.members, strict=True)
    ]
    keys: list[str] = []
    rows: list[FeatureRows] = []
    for page in _pages(samples):
        try:
            found = features_of(dataset, page, spec, progress, backbone)
        except InputUnusable:
            # Nothing of this page can be read; that the first one could is known.
            continue
        keys += found.keys
        made = [
            basis.project(found.plain[:, own])
            for own, basis in zip(_columns(backbone), bases, strict=True)
        ]
        rows.append(np.concatenate(made, axis=1))
    parts = tuple(
        part._replace(width=basis.axes.shape[1])
        for part, basis in zip(backbone.parts, bases, strict=True)
    )
    return Components(keys, np.concatenate(rows), parts)


def _columns(backbone: Backbone) -> list[slice]:
    """Return where the features of each member lie."""
    ends = np.cumsum([member.width for member in backbone.members]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _pages(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), PAGE):
        yield samples[start : start + PAGE]


def weights_by_labels(
    components: Components,
    labels: Sequence[str | None],
    moments: Sequence[str],
    seed: int,
    expected: ExpectedWeights,
) -> PartWeights:
    """Return the weights of the parts: what is expected of them, and what the labels say.

    `labels` and `moments` are those of the rows; a row without a label does not teach.
    """
    rows = [row for row, label in enumerate(labels) if label]
    classes, y = np.unique([str(labels[row]) for row in rows], return_inverse=True)
    if len(classes) < 2:
        return PartWeights(expected.weights, f"{expected.why}; labels tell more", {})
    groups = [moments[row] for row in rows]
    weights = len(y) / (len(classes) * np.bincount(y)[y])
    x = components.rows[rows].astype(np.float64)
    return choose_part_weights(x, components.parts, y, weights, groups, seed, expected)
