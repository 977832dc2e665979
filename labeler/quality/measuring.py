"""What worker processes do for the quality flags: one look at a sample gives all measures."""

from __future__ import annotations

import cv2
from PIL import Image

from gleanset.db.measures import PixelMeasures, SampleRegion
from labeler.quality import lettering
from labeler.quality.descriptor import descriptor
from labeler.quality.drawn import photo_likeness
from labeler.quality.edges import edge_blur, extremes
from labeler.sample_pixels import SampleFile, read_pixels

VERSION = 1
"""Counted up with any change of a measure: then all samples are measured again."""


def measure_sample(item: tuple[SampleRegion, SampleFile]) -> PixelMeasures:
    """All measures of a sample. Raises `Unreadable`."""
    cv2.setNumThreads(1)
    return measures(read_pixels(item[1], lettering.SIDE, "RGB"))


def measures(pixels: Image.Image) -> PixelMeasures:
    """All measures of RGB pixels."""
    darkest, lightest = extremes(pixels)
    return PixelMeasures(
        edge_blur(pixels),
        darkest,
        lightest,
        lettering.text_share(pixels),
        photo_likeness(pixels),
        descriptor(pixels),
    )
