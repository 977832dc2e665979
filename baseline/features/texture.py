"""Prior weights of feature blocks from the shape and texture of images, without labels.

Color layouts compare positions, so they help more if images have similar layouts. In approximately
square drawings, such as face crops, they get a larger weight than the network, and identity
embeddings the largest. In other drawings and in photographs their weight is half; identity
embeddings get none in photographs. Further networks get the weight of the first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from baseline.data.pixels import PixelSource, read_crop
from baseline.data.samples import pixel_sources
from baseline.features.backbone import FeaturePart
from baseline.features.backbone_names import COLOURS, FACES
from gleanset import Dataset
from gleanset.arrays import thin_out
from gleanset.errors import UsageError
from gleanset.images.photo_classifier import estimate_photo_probability
from gleanset.platform import count_cores
from gleanset.records import Sample
from gleanset.work.pool import Threads, run_over
from gleanset.work.progress import Progress

DRAWING_WEIGHTS = {COLOURS: 1.4, FACES: 1.7}
ELONGATED_WEIGHTS = {COLOURS: 0.5, FACES: 0.5}
PHOTO_WEIGHTS = {COLOURS: 0.5, FACES: 0.0}
"""Weights relative to the first block, for square drawings, other drawings and photographs."""
MAX_SQUARE_ASPECT = 1.2
"""Maximum geometric mean of the aspect ratio of square images."""
MAX_TEXTURE_IMAGES = 100
"""Images used to distinguish drawings from photographs."""


class PartWeights(NamedTuple):
    """The weight of each feature block, and its reason."""

    weights: tuple[float, ...]
    by: str

    def to_json(self, parts: Sequence[FeaturePart]) -> dict[str, object]:
        """Return JSON values for the metrics; empty for a single block."""
        if len(parts) == 1:
            return {}
        weights = dict(zip([part.name for part in parts], self.weights, strict=True))
        return {"parts": weights, "parts_by": self.by}

    def describe(self, parts: Sequence[FeaturePart]) -> str:
        """Return a line for the user; empty for a single block."""
        if len(parts) == 1:
            return ""
        weights = [
            f"{part.name} {weight:g}"
            for part, weight in zip(parts, self.weights, strict=True)
        ]
        return f"feature weights: {', '.join(weights)} ({self.by})"


def parse_part_weights(
    setting: str, parts: Sequence[FeaturePart]
) -> PartWeights | None:
    """Parse the weights of the blocks after the first; None for 'auto'.

    Raises `UsageError` if their number is wrong.
    """
    if len(parts) == 1:
        return PartWeights((1.0,), "single block")
    if setting == "auto":
        return None
    weights = tuple(float(weight) for weight in setting.split(","))

    if len(weights) != len(parts) - 1:
        names = ", ".join(part.name for part in parts[1:])
        raise UsageError(
            f"part_weights needs {len(parts) - 1} values, for {names}: '{setting}'",
            "separate them by commas, or use -o part_weights=auto",
        )

    return PartWeights((1.0, *weights), "settings")


def get_prior_weights(
    parts: Sequence[FeaturePart],
    dataset: Dataset,
    samples: Sequence[Sample],
    progress: Progress,
) -> PartWeights:
    """Return the prior weights of feature blocks by the shape and texture of samples."""
    # Without such a block no weight depends on the images: they are not read.
    if not any(part.name in DRAWING_WEIGHTS for part in parts[1:]):
        return PartWeights(tuple(1.0 for _ in parts), "all alike")

    if not has_drawings(dataset, samples, progress):
        weights = PHOTO_WEIGHTS
        reason = "these are photographs"
    elif samples and _aspect_ratio(samples) > MAX_SQUARE_ASPECT:
        weights = ELONGATED_WEIGHTS
        reason = "these are drawings far from square"
    else:
        weights = DRAWING_WEIGHTS
        reason = "these are drawings"

    further_weights = (weights.get(part.name, 1.0) for part in parts[1:])
    return PartWeights((1.0, *further_weights), reason)


def _aspect_ratio(samples: Sequence[Sample]) -> float:
    """Return the geometric mean of longer to shorter sides."""
    sides = [(sample.box.width, sample.box.height) for sample in samples]
    log_widths, log_heights = np.log(sides).T
    return float(np.exp(np.abs(log_widths - log_heights).mean()))


def has_drawings(
    dataset: Dataset, samples: Sequence[Sample], progress: Progress
) -> bool:
    """Return whether most images are drawings, by their texture."""
    subset = thin_out(samples, MAX_TEXTURE_IMAGES)
    sources = pixel_sources(dataset, subset)
    # Threads, because starting processes takes longer than reading so few images.
    outcomes = run_over(_photo_score, sources, Threads(count_cores()))
    probabilities = [
        outcome.result
        for outcome in progress.over(outcomes, "drawing or photo", total=len(subset))
        if outcome.result is not None  # unreadable
    ]
    photos = sum(probability > 0.5 for probability in probabilities)
    return 2 * photos < len(probabilities)


def _photo_score(source: PixelSource) -> float:
    return estimate_photo_probability(read_crop(source).convert("RGB"))
