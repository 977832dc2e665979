"""How much a part of the features is expected to count before any label is looked at.

A colour layout tells by place, so it is worth the more, the more alike pictures are laid out. In
drawings that are about square, as faces are when they are cut, colours count more than the
network, and what learnt drawn faces most; in drawings far from square, and in photographs, which
texture tells, half as much, but what learnt drawn faces for nothing in photographs. Other networks
count as much as the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baseline.data.pixels import PixelSource, read_crop
from baseline.data.samples import pixel_sources
from baseline.features.backbone import FeaturePart
from baseline.features.backbone_names import COLOURS, FACES
from gleanset import Dataset
from gleanset.images.photo_likeness import photo_likeness
from gleanset.platform import cores
from gleanset.records import Sample
from gleanset.work.pool import Threads, run_over
from gleanset.work.progress import Progress

DRAWN = {COLOURS: 1.4, FACES: 1.7}
LONG = {COLOURS: 0.5, FACES: 0.5}
PHOTOS = {COLOURS: 0.5, FACES: 0.0}
"""Weights beside the first part in drawings about square, in others, and in photographs."""
SQUARE = 1.2
"""How many times as long as wide pictures about square are on geometric average, at most."""
LOOKED_AT = 100
"""Pictures by which drawings are told from photographs."""


class PartWeights(NamedTuple):
    """The weight of each part, how it came about, and the log loss of each one that was tried."""

    weights: tuple[float, ...]
    by: str
    losses: dict[str, float]

    def to_json(self, parts: Sequence[FeaturePart]) -> dict[str, object]:
        """Return the facts for the metrics: nothing where there is one part."""
        if len(parts) == 1:
            return {}
        named = {part.name: weight for part, weight in zip(parts, self.weights, strict=True)}
        return {"parts": named, "parts_by": self.by, "parts_tried": self.losses}

    def words(self, parts: Sequence[FeaturePart]) -> str:
        """Return a line for a person; empty where there is one part."""
        named = zip(parts[1:], self.weights[1:], strict=True)
        beside = ", ".join(f"{part.name} {weight:g}" for part, weight in named)
        return f"beside {parts[0].name}: {beside}, by {self.by}" if beside else ""


def expected_weights(
    parts: Sequence[FeaturePart],
    dataset: Dataset,
    samples: Sequence[Sample],
    progress: Progress,
) -> PartWeights:
    """Return what the weights of `parts` are by the samples' shape and texture, not by labels."""
    if not any(part.name in DRAWN for part in parts[1:]):
        return PartWeights(tuple(1.0 for _ in parts), "all alike", {})
    weights: Mapping[str, float]
    if not are_drawn(dataset, samples, progress):
        weights, why = PHOTOS, "these are photographs"
    elif samples and _elongation(samples) > SQUARE:
        weights, why = LONG, "these are drawings far from square"
    else:
        weights, why = DRAWN, "these are drawings"
    each = (weights.get(part.name, 1.0) for part in parts[1:])
    return PartWeights((1.0, *each), why, {})


def _elongation(samples: Sequence[Sample]) -> float:
    sides = np.log([(one.box.width, one.box.height) for one in samples])
    return float(np.exp(np.abs(sides[:, 0] - sides[:, 1]).mean()))


def are_drawn(dataset: Dataset, samples: Sequence[Sample], progress: Progress) -> bool:
    """Return whether most of the pictures are drawings, as far as their texture tells."""
    some = samples[:: max(1, -(-len(samples) // LOOKED_AT))]
    # Threads: so few pictures are read before a process has begun.
    outcomes = run_over(_photo_likeness, pixel_sources(dataset, some), Threads(cores()))
    bar = progress.over(outcomes, "drawing or photo", total=len(some))
    photos = [outcome.result > 0.5 for outcome in bar if outcome.result is not None]
    return 2 * sum(photos) < len(photos)


def _photo_likeness(source: PixelSource) -> float:
    return photo_likeness(read_crop(source).convert("RGB"))
