"""Assessing the quality of a dataset's samples: measure what is new, compare, count.

It decides nothing, and may be killed at any time: what was measured is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from curation.similarity.descriptor import compute_descriptor
from gleanset import Dataset
from gleanset.db.regions import PixelMeasures, QualityMeasures
from gleanset.images.photo_likeness import photo_likeness, shrunk
from gleanset.records import Rejection
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import Progress
from labeler.quality.due import VERSION, DueSample, due_samples
from labeler.quality.flags import FLAGS
from labeler.sample_pixels import read_pixels

BLUR_SIDE = 512
"""Pixels of the longer side at which blur is judged, so that sizes can be compared."""

NARROW, WIDE = 1.0, 2.0
"""Standard deviations, in pixels, of the two Gaussians that edges are seen through."""

SHARPEST = 25
"""Percentile: a portrait with a soft background has sharp edges, and is not blurred."""

FEWEST = 20
"""Edge pixels under which there is nothing to judge."""

FAINTEST, RELATIVE = 1.0, 0.25
"""An edge has at least this slope (grey values a pixel), and this part of the steepest ones."""

Array: TypeAlias = npt.NDArray[np.float32]


def edge_blur(pixels: Image.Image) -> float:
    """Return how wide the sharpest edges are, 0..1; 1 also where there is no edge at all.

    What remains of an edge's slope when it is seen through a Gaussian of twice the width: under
    0.6 for a step, far less for a thin line, about sqrt((s^2 + 1) / (s^2 + 4)) for an edge
    blurred by s pixels. After Zhuo and Sim, "Defocus map estimation from a single image"
    (2011), who take this ratio for the blur of each edge; edge width as the measure of a
    picture is that of Marziliano et al., "A no-reference perceptual blur metric" (2002).
    """
    grey = np.asarray(shrunk(pixels, BLUR_SIDE).convert("L"), dtype=np.float32)
    across, down = _slopes(grey, NARROW)
    steep = np.hypot(across, down)
    edges = _ridges(steep, np.abs(across) >= np.abs(down))
    edges &= steep >= max(FAINTEST, RELATIVE * float(np.percentile(steep, 99.5)))
    if np.count_nonzero(edges) < FEWEST:
        return 1.0
    left = np.hypot(*_slopes(grey, WIDE))[edges] / steep[edges]
    return round(min(1.0, float(np.percentile(left, SHARPEST))), 4)


def _slopes(grey: Array, sigma: float) -> tuple[Array, Array]:
    soft = cv2.GaussianBlur(grey, (0, 0), sigma)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _ridges(steep: Array, sideways: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find where the slope is steepest across its edge; the picture's border does not count."""
    ridges = np.zeros(steep.shape, dtype=np.bool_)
    if min(steep.shape) < 6:
        return ridges
    here, inner = steep[1:-1, 1:-1], (slice(1, -1), slice(1, -1))
    level = (here >= steep[1:-1, :-2]) & (here >= steep[1:-1, 2:])
    upright = (here >= steep[:-2, 1:-1]) & (here >= steep[2:, 1:-1])
    ridges[inner] = np.where(sideways[inner], level, upright)
    ridges[[1, -2]] = False
    ridges[:, [1, -2]] = False
    return ridges


def extremes(pixels: Image.Image) -> tuple[float, float]:
    """Return the grey values (0..255) that 1 % of the pixels are under and over."""
    grey = np.asarray(shrunk(pixels, BLUR_SIDE).convert("L"))
    low, high = np.percentile(grey, (1, 99))
    return round(float(low), 1), round(float(high), 1)


STAGE = "quality"
SIDE_PIXELS = 640
"""Of the longer side of a region, at least, where the original has as many."""


@dataclass
class QualityCounts:
    """What a run did, and how many samples have each flag now."""

    measured: int = 0
    failed: int = 0
    samples: int = 0
    flags: dict[str, int] = field(default_factory=dict)


def assess_quality(
    dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
) -> QualityCounts:
    """Measure what has no measures of its present region, in processes (0: all cores).

    Raises `DatasetBusy` when another program is at it.
    """
    counts, qualities = QualityCounts(), QualityMeasures(dataset.db)
    due = (item for page in qualities.iter_missing(VERSION) for item in due_samples(dataset, page))
    with dataset.stage(STAGE):
        total = qualities.count_missing(VERSION)
        batches = run_batches(measure_sample, due, Processes(workers)) if total else ()
        for batch in (progress or Progress()).batches(batches, "measuring", total, " samples"):
            fine = [(o.item.seen, o.result) for o in batch if o.result is not None]
            with dataset.db.transaction():
                qualities.save(fine, VERSION)
                for outcome in batch:
                    key, reason = outcome.item.seen.key, outcome.reason
                    if reason is None:
                        dataset.rejections.remove(STAGE, key)
                    else:
                        dataset.rejections.add(Rejection(STAGE, key, reason, outcome.detail))
            counts.measured += len(fine)
            counts.failed += len(batch) - len(fine)
    counts.samples, counts.flags = qualities.count_flagged(FLAGS)
    return counts


def measure_sample(due: DueSample) -> PixelMeasures:
    """Measure a sample, in a worker process. Raises `Unreadable`."""
    pixels = read_pixels(due.file, SIDE_PIXELS, "RGB")

    darkest, lightest = extremes(pixels)
    return PixelMeasures(
        edge_blur(pixels),
        darkest,
        lightest,
        photo_likeness(pixels),
        compute_descriptor(np.asarray(pixels.convert("RGB"))),
    )
