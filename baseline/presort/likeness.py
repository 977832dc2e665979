"""What a presort compares samples by: principal components of each part of the features, weighed.

The weights come from labels where there are enough (`baseline.methods.part_weights`). Without
labels they follow from what the pictures are: in drawings colours count as much as the network, in
photographs half as much, which does no harm there (docs/presort.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from baseline.backbones import Backbone, FeaturePart
from baseline.data import pixel_sources
from baseline.features import FeatureSpec, features_of
from baseline.methods.part_weights import PartWeights, choose_part_weights
from baseline.methods.scaling import Scaling
from baseline.pixels import PixelSource, picture_of, processes_for
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.images.photo_likeness import photo_likeness
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
WIDTH = 128
"""Components of the first part; of a further one half as many."""
SEEN = 5000
PAGE = 25_000
DRAWN, PHOTOGRAPHED = 1.0, 0.5
"""The weight of a further part in drawings and in photographs, where no label tells."""
LOOKED_AT = 100
"""Pictures by which drawings are told from photographs."""
MOMENTS = 20
"""Labelled moments from which on labels choose the weights: fewer mislead."""


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
    with threadpool_limits(1):
        # Of the two tables of products the smaller one: both give the same directions.
        few = len(scaled) < scaled.shape[1]
        values, found = np.linalg.eigh(scaled @ scaled.T if few else scaled.T @ scaled)
        keep = [i for i in np.argsort(-values)[:WIDTH] if values[i] > values.max() * 1e-9]
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
    components: Components, labels: Sequence[str | None], moments: Sequence[str], seed: int
) -> PartWeights | None:
    """Return the weights of the parts that the labels ask for; None where they are too few.

    `labels` and `moments` are those of the rows; a row without a label does not teach.
    """
    rows = [row for row, label in enumerate(labels) if label]
    classes, y = np.unique([str(labels[row]) for row in rows], return_inverse=True)
    groups = [moments[row] for row in rows]
    if len(classes) < 2 or len(set(groups)) < MOMENTS:
        return None
    weights = len(y) / (len(classes) * np.bincount(y)[y])
    x = components.rows[rows].astype(np.float64)
    return choose_part_weights(x, components.parts, y, weights, groups, seed)


def weights_by_texture(parts: Sequence[FeaturePart], drawn: bool) -> PartWeights:
    """Return the weights of the parts where no label tells them: by what the pictures are."""
    what, weight = ("drawings", DRAWN) if drawn else ("photographs", PHOTOGRAPHED)
    return PartWeights(
        (1.0, *[weight] * (len(parts) - 1)), f"texture: these are {what}; labels tell more", {}
    )


def are_drawn(dataset: Dataset, samples: Sequence[Sample], progress: Progress) -> bool:
    """Return whether most of the pictures are drawings, as far as their texture tells."""
    some = list(pixel_sources(dataset, samples[:: max(1, -(-len(samples) // LOOKED_AT))]))
    outcomes = run_over(PhotoLikeness(), some, processes_for(len(some)))
    bar = progress.over(outcomes, "drawing or photo", total=len(some))
    photos = [one.result > 0.5 for one in bar if one.result is not None]
    return 2 * sum(photos) < len(photos)


@dataclass(frozen=True, slots=True)
class PhotoLikeness:
    """Tells how likely a sample is a photo; picklable, runs in worker processes."""

    def __call__(self, source: PixelSource) -> float:
        """0..1. Raises `Unreadable`."""
        return photo_likeness(picture_of(source).convert("RGB"))
