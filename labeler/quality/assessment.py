"""Quality measures of samples: measure new ones, compare with thresholds, count.

It can be killed at any time and resumes where it stopped.
"""

from functools import partial
from itertools import chain

import cv2
import numpy as np
from PIL import Image

from curation.similarity.descriptor import compute_descriptor
from gleanset import Dataset
from gleanset.arrays import BoolArray, Float32Array
from gleanset.command_result import CommandResult, JsonDict
from gleanset.db.regions import FLAGS, PixelMeasures, QualityMeasures
from gleanset.images.photo_classifier import estimate_photo_probability, shrink_copy
from gleanset.work.pool import Processes, run_batches
from gleanset.work.progress import Progress
from labeler.quality.due_samples import VERSION, DueSample, iter_due_samples
from labeler.sample_pixels import read_pixels, save_results

BLUR_SIDE = 512
"""Pixels of the longer side at which blur is measured, so that sizes are comparable."""

NARROW_SIGMA = 1.0
WIDE_SIGMA = 2.0
"""Standard deviations, in pixels, of the two Gaussians that edges are compared with."""

SHARP_EDGES_PERCENTILE = 25
"""A portrait with a soft background has some sharp edges and is not blurred."""

MIN_EDGE_PIXELS = 20
"""With fewer edge pixels blur cannot be measured."""

MIN_EDGE_SLOPE = 1.0
"""Minimum slope of an edge in grey values per pixel."""
MIN_RELATIVE_SLOPE = 0.25
"""Minimum slope of an edge as a part of the steepest slopes."""


def measure_edge_blur(pixels: Image.Image) -> float:
    """Return the width of the sharpest edges, 0..1; also 1 if there are no edges.

    The measure is the remaining slope of an edge after a Gaussian of twice the width: below 0.6 for
    a step, far less for a thin line, about sqrt((s^2 + 1) / (s^2 + 4)) for an edge blurred by s
    pixels. After Zhuo and Sim, "Defocus map estimation from a single image" (2011), who use this
    ratio for each edge; edge width as a measure of an image is that of Marziliano et al., "A
    no-reference perceptual blur metric" (2002).
    """
    grey = np.asarray(shrink_copy(pixels, BLUR_SIDE).convert("L"), np.float32)
    across, down = _compute_slopes(grey, NARROW_SIGMA)
    slope = np.hypot(across, down)  # H x W, grey values per pixel

    # H x W, the pixels in the middle of an edge.
    edges = _find_ridges(slope, np.abs(across) >= np.abs(down))
    # Not the maximum: a single pixel of noise would set it.
    steepest = float(np.percentile(slope, 99.5))
    edges &= slope >= max(MIN_EDGE_SLOPE, MIN_RELATIVE_SLOPE * steepest)
    if np.count_nonzero(edges) < MIN_EDGE_PIXELS:
        return 1.0

    wide_slope = np.hypot(*_compute_slopes(grey, WIDE_SIGMA))
    remaining = wide_slope[edges] / slope[edges]
    return round(min(1.0, float(np.percentile(remaining, SHARP_EDGES_PERCENTILE))), 4)


def _compute_slopes(
    grey: Float32Array, sigma: float
) -> tuple[Float32Array, Float32Array]:
    """Return the horizontal and vertical slopes of a smoothed image, H x W."""
    soft = cv2.GaussianBlur(grey, (0, 0), sigma)
    # Half the difference of the two neighbors of a pixel.
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _find_ridges(slope: Float32Array, is_across: BoolArray) -> BoolArray:
    """Return where the slope is steepest across its edge; the border does not count.

    `is_across` is where the slope is rather horizontal. All arrays are H x W.
    """
    # Two pixels at each border do not count; smaller images have hardly any others.
    ridges = np.zeros(slope.shape, np.bool_)
    if min(slope.shape) < 6:
        return ridges

    # Not less steep than both neighbours.
    is_steepest_in_row = slope >= cv2.dilate(slope, np.ones((1, 3), np.uint8))
    is_steepest_in_column = slope >= cv2.dilate(slope, np.ones((3, 1), np.uint8))
    inner = (slice(2, -2), slice(2, -2))
    steepest = np.where(is_across, is_steepest_in_row, is_steepest_in_column)
    ridges[inner] = steepest[inner]
    return ridges


STAGE = "quality"
MIN_READ_SIDE = 640
"""Pixels of the longer side of a region, if the original has as many."""


class QualityCounts(CommandResult):
    """Measured and failed samples, and the present number of samples with each flag."""

    measured: int
    failed: int
    samples: int
    flags: dict[str, int]

    def summary(self) -> JsonDict:
        """Return the counts without flags of no sample."""
        return self.to_json() | {
            "flags": {name: number for name, number in self.flags.items() if number}
        }


def assess_quality(
    dataset: Dataset, *, workers: int = 0, progress: Progress
) -> QualityCounts:
    """Measure samples that have no measures of their present region.

    `workers` are processes, 0 for all cores. Raises `DatasetBusy` when another process is
    measuring.
    """
    qualities = QualityMeasures(dataset.db)
    # A generator: samples are listed page by page, as the processes take them.
    due = chain.from_iterable(
        iter_due_samples(dataset, page) for page in qualities.iter_missing(VERSION)
    )
    with dataset.stage(STAGE):
        total = qualities.count_missing(VERSION)
        # Without new samples no processes are started.
        batches = run_batches(measure_sample, due, Processes(workers)) if total else ()
        measured, failed = save_results(
            dataset,
            STAGE,
            progress.batches(batches, "measuring", total, " samples"),
            partial(qualities.save, version=VERSION),
        )

    samples, flags = qualities.count_flagged(FLAGS)
    return QualityCounts(
        measured=measured,
        failed=failed,
        samples=samples,
        flags=flags,
    )


def measure_sample(item: DueSample) -> PixelMeasures:
    """Measure a sample; runs in a worker process. Raises `Unreadable`."""
    pixels = read_pixels(item.file, MIN_READ_SIDE, "RGB")
    grey = np.asarray(shrink_copy(pixels, BLUR_SIDE).convert("L"))
    # Not the extremes, which a few pixels of noise would set.
    darkest, lightest = np.percentile(grey, (1, 99))
    return PixelMeasures(
        measure_edge_blur(pixels),
        round(float(darkest), 1),
        round(float(lightest), 1),
        estimate_photo_probability(pixels),
        compute_descriptor(np.asarray(pixels.convert("RGB"))),
    )
