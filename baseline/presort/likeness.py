"""What a presort compares samples by: principal components of each part of the features, weighed.

All stay in memory (`ComponentStore`), so that a presort that follows the work makes them once.

The weights are those that the texture of the pictures lets expect (`features/texture.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import FeatureSpec, cached, features_of
from baseline.features.scaling import Scaling, one_thread
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Region, Sample
from gleanset.work.progress import Progress

FeatureRows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]
CutSample: TypeAlias = tuple[str, Region]
"""A sample (key) as it is cut."""
WIDTH = 128
"""Components of a network's features; of colours half as many tell as much."""
SEEN = 5000
"""Samples by which the axes are found, at most."""
OUTGROWN = 2
"""They are found anew when so many times as many samples are there."""
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


class ComponentStore:
    """The components of samples, in memory; more samples are taken in as they come.

    `parts` are those of the backbone, `components` N x D. `generation` grows when all components
    were made anew, along other axes.
    """

    def __init__(self, dataset: Dataset, spec: FeatureSpec) -> None:
        self._dataset, self._spec = dataset, spec
        self._backbone: Backbone | None = None
        self._axes: list[PrincipalAxes] = []
        self._seen = 0
        self._rows: dict[CutSample, int] = {}
        self.parts: tuple[FeaturePart, ...] = ()
        self.components = np.zeros((0, 0), np.float32)
        self.generation = 0

    @property
    def backbone(self) -> Backbone:
        """The backbone, loaded when it is asked for first."""
        if self._backbone is None:
            self._backbone = self._spec.load()
        return self._backbone

    @property
    def taken(self) -> int:
        """How many samples were taken in, those that cannot be read included."""
        return len(self._rows)

    @property
    def outgrown(self) -> bool:
        """Whether the axes were found on so few samples that others would serve better."""
        return self._seen < min(SEEN, len(self._rows) / OUTGROWN)

    def rows_of(self, samples: Iterable[CutSample]) -> npt.NDArray[np.int64]:
        """Return the rows of samples as they are cut now; -1 for what cannot be read, -2 for
        what was not taken in.
        """
        return np.array([self._rows.get(one, -2) for one in samples], np.int64)

    def cached(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return those of the samples whose features need not be computed."""
        return cached(self._dataset, samples, self._spec, self.backbone)

    def forget(self) -> None:
        """Begin anew: the next samples that are taken in decide the axes."""
        self._rows, self._axes = {}, []

    def take_in(self, samples: Sequence[Sample], progress: Progress) -> None:
        """Make the components of samples that were not taken in. Raises what features raise."""
        if not self._axes:
            try:
                self._find_axes(samples, progress)
            except InputUnusable:
                self._rows |= {
                    (sample.key, Region(sample.box, sample.angle)): -1 for sample in samples
                }
                raise
        for page in _pages(samples):
            keys: tuple[str, ...] = ()
            # Where nothing of a page can be read, that others could is known.
            with suppress(InputUnusable):
                found = features_of(self._dataset, page, self._spec, progress, self.backbone)
                self._add(found.plain)
                keys = found.keys
            numbers = {key: len(self.components) - len(keys) + n for n, key in enumerate(keys)}
            self._rows |= {
                (sample.key, Region(sample.box, sample.angle)): numbers.get(sample.key, -1)
                for sample in page
            }

    def _find_axes(self, samples: Sequence[Sample], progress: Progress) -> None:
        some = samples[:: max(1, -(-len(samples) // SEEN))]
        seen = features_of(self._dataset, some, self._spec, progress, self.backbone).plain
        columns, members = _columns(self.backbone), self.backbone.members
        self._axes = [
            principal_axes(seen[:, own], member)
            for own, member in zip(columns, members, strict=True)
        ]
        self._seen = len(seen)
        self.parts = tuple(
            part._replace(layers=(basis.axes.shape[1],))
            for part, basis in zip(self.backbone.parts, self._axes, strict=True)
        )
        self.components = np.zeros((0, sum(part.width for part in self.parts)), np.float32)
        self.generation += 1

    def _add(self, features: FeatureRows) -> None:
        made = [
            basis.project(features[:, own])
            for own, basis in zip(_columns(self.backbone), self._axes, strict=True)
        ]
        self.components = np.concatenate([self.components, np.concatenate(made, axis=1)])


def _columns(backbone: Backbone) -> list[slice]:
    """Return where the features of each member lie."""
    ends = np.cumsum([member.width for member in backbone.members]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _pages(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), PAGE):
        yield samples[start : start + PAGE]
