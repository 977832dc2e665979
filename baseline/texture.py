"""How much a part of the features is expected to count before any label is looked at.

In drawings colours count as much as the network, in photographs half as much, and texture tells
which they are. Other networks count as much as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from baseline.backbone import FeaturePart
from baseline.backbone_names import COLOURS
from baseline.data import pixel_sources
from baseline.pixels import PixelSource, picture_of, processes_for
from gleanset import Dataset
from gleanset.images.photo_likeness import photo_likeness
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

DRAWN, PHOTOGRAPHED = 1.0, 0.5
"""The weight of colours beside the first part in drawings and in photographs."""
LOOKED_AT = 100
"""Pictures by which drawings are told from photographs."""


class ExpectedWeights(NamedTuple):
    """The weight of each part, and why it is expected."""

    weights: tuple[float, ...]
    why: str


def expected_weights(
    parts: Sequence[FeaturePart], dataset: Dataset, samples: Sequence[Sample], progress: Progress
) -> ExpectedWeights:
    """Return what the weights of `parts` are by the texture of the samples; no label is read."""
    if not any(part.name == COLOURS for part in parts[1:]):
        return ExpectedWeights(tuple(1.0 for _ in parts), "all alike")
    drawn = are_drawn(dataset, samples, progress)
    colours = DRAWN if drawn else PHOTOGRAPHED
    found = (colours if part.name == COLOURS else 1.0 for part in parts[1:])
    return ExpectedWeights(
        (1.0, *found), "these are drawings" if drawn else "these are photographs"
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
