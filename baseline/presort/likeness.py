"""What a presort compares samples by: principal components of each part of the features, weighed.

The weights are those that the texture of the pictures lets expect (`features/texture.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import FeatureSpec, features_of
from baseline.features.scaling import Scaling, one_thread
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
WIDTH = 128
"""Components of a network's features; of colours half as many tell as much."""
SEEN = 5000
"""Samples by which the axes are found, at most."""
PAGE = 25_000


def weighed(
    components: FeatureRows, parts: Sequence[FeaturePart], weights: Sequence[float]
) -> FeatureRows:
    """Return components (N x D) with each part times its weight, each row of length 1."""
    each = np.repeat(weights, [part.width for part in parts])
    found = components * each.astype(np.float32)
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
    # So long that what is projected on them has a variance of 1 in all.
    axes /= np.sqrt(max(float(np.square(scaled @ axes).sum()) / len(scaled), 1e-12))
    return PrincipalAxes(scaling, axes.astype(np.float32))


class SampleComponents(NamedTuple):
    """Components (N x D) of the samples `keys` that can be read; `parts` are those of a row."""

    keys: list[str]
    components: FeatureRows
    parts: tuple[FeaturePart, ...]


def components_of(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> SampleComponents:
    """Return the components of samples; those of unreadable ones are left out.

    Raises what features raise, where none of those that decide the axes can be read.
    """
    backbone = spec.load()
    some = samples[:: max(1, -(-len(samples) // SEEN))]
    seen = features_of(dataset, some, spec, progress, backbone).plain
    columns = _columns(backbone)
    axes = [
        principal_axes(seen[:, own], member)
        for own, member in zip(columns, backbone.members, strict=True)
    ]
    parts = tuple(
        part._replace(layers=(basis.axes.shape[1],))
        for part, basis in zip(backbone.parts, axes, strict=True)
    )
    keys: list[str] = []
    pages: list[FeatureRows] = [np.zeros((0, sum(part.width for part in parts)), np.float32)]
    for start in range(0, len(samples), PAGE):
        with suppress(InputUnusable):  # nothing of this page can be read, but of others
            page = samples[start : start + PAGE]
            found = features_of(dataset, page, spec, progress, backbone)
            made = [
                basis.project(found.plain[:, own]) for own, basis in zip(columns, axes, strict=True)
            ]
            keys += found.keys
            pages.append(np.concatenate(made, axis=1))
    return SampleComponents(keys, np.concatenate(pages), parts)


def _columns(backbone: Backbone) -> list[slice]:
    """Return where the features of each member lie."""
    ends = np.cumsum([member.width for member in backbone.members]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
