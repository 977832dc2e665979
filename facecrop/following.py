"""Faces to be found again in similar images: their search, and template matching."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from curation.similarity.color_layout import Floats, average_areas, compute_color_layout
from facecrop.detectors import DetectorSpec, Pixels
from facecrop.detectors.tiling import FloatBox, drop_overlapping_faces
from gleanset.images.cropping import clip_box, crop_region, expand_box
from gleanset.records import Box, Face

COLOR_PADDING = 0.15
"""Padding around a face for its color layout, because hair distinguishes more than skin."""
PATCH_SIDE = 24
"""Pixels of a side of the patches that compare two images of a face."""
FOLLOW_PADDING = 0.25
"""How far from its expected place a face is followed, in face sizes."""
MAX_FOLLOW_DISTANCE = 0.25
"""One minus the correlation of patches, up to which a face is followed."""

Patch = npt.NDArray[np.float32]


class DetectedFace(NamedTuple):
    """Face with its color layout and patch."""

    face: Face
    colours: Floats
    patch: Patch


@dataclass(frozen=True)
class FrameSearch:
    """Callable that searches an image for faces; picklable."""

    detector: DetectorSpec

    def __call__(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces of an image."""
        return [
            DetectedFace(
                face,
                compute_color_layout(
                    average_areas(
                        np.asarray(
                            crop_region(pixels, expand_box(face.box, COLOR_PADDING))
                        )
                    )
                ),
                _make_patch(_cut_grey(pixels, face.box)),
            )
            for face in drop_overlapping_faces(self.detector.build().detect(pixels))
        ]


def _cut_grey(pixels: Pixels, box: Box) -> Pixels:
    part = pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    return np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.uint8)


def _make_patch(grey: Pixels | Patch) -> Patch:
    small = cv2.resize(grey, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_AREA)
    values = np.asarray(small, np.float32) - np.float32(small.mean())
    return (values / max(float(np.linalg.norm(values)), 1e-6)).ravel()


def follow_face(
    grey: Pixels, expected: FloatBox, others: Sequence[DetectedFace]
) -> DetectedFace | None:
    """Return the face of `others`, from similar images, near the expected box; None: not there.

    `grey` is the brightness, height x width. The score is the lowest of the others.
    """
    x, y, width, height = expected
    x_pad, y_pad = width * FOLLOW_PADDING, height * FOLLOW_PADDING
    left, top = max(round(x - x_pad), 0), max(round(y - y_pad), 0)
    part = grey[top : round(y + height + y_pad), left : round(x + width + x_pad)]
    across, down = PATCH_SIDE / width, PATCH_SIDE / height
    size = round(part.shape[1] * across), round(part.shape[0] * down)
    if min(size) < PATCH_SIDE:
        return None
    scaled = np.asarray(
        cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.float32
    )
    templates = (other.patch.reshape(PATCH_SIDE, PATCH_SIDE) for other in others)
    correlation, (column, row) = max(
        cv2.minMaxLoc(cv2.matchTemplate(scaled, template, cv2.TM_CCOEFF_NORMED))[1::2]
        for template in templates
    )
    edges = left + column / across, top + row / down, width, height
    box = clip_box(Box(*map(round, edges)), grey.shape[1], grey.shape[0])
    if box is None or 1 - correlation > MAX_FOLLOW_DISTANCE:
        return None
    return DetectedFace(
        Face(others[0].face.detector, box, min(other.face.score for other in others)),
        np.mean([other.colours for other in others], axis=0, dtype=np.float32),
        _make_patch(scaled[row : row + PATCH_SIDE, column : column + PATCH_SIDE]),
    )
