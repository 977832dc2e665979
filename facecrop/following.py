"""Faces to be found again in similar images: their search, and template matching."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from curation.similarity.color_layout import average_areas, compute_color_layout
from facecrop.detectors import DetectorSpec
from facecrop.detectors.tiling import FloatBox, drop_overlapping_faces
from gleanset.arrays import Float32Array, Pixels
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


class DetectedFace(NamedTuple):
    """Face with its color layout, and its patch: the result of `_make_patch`."""

    face: Face
    colours: Float32Array
    patch: Float32Array


@dataclass(frozen=True)
class FrameSearch:
    """Callable that searches an image for faces; picklable."""

    detector: DetectorSpec

    def __call__(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces of an image."""
        faces = self.detector.build().detect(pixels)
        return [_describe_face(pixels, face) for face in drop_overlapping_faces(faces)]


def _describe_face(pixels: Pixels, face: Face) -> DetectedFace:
    with_hair = crop_region(pixels, expand_box(face.box, COLOR_PADDING))
    colors = compute_color_layout(average_areas(np.asarray(with_hair)))

    x, y, width, height = face.box
    part = pixels[y : y + height, x : x + width]
    gray = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.uint8)
    return DetectedFace(face, colors, _make_patch(gray))


def _make_patch(gray: Pixels | Float32Array) -> Float32Array:
    """Return a zero-mean unit vector of `PATCH_SIDE`**2 gray values."""
    small = cv2.resize(gray, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_AREA)
    values = np.asarray(small, np.float32) - np.float32(small.mean())
    # A patch of one color has no length.
    length = max(float(np.linalg.norm(values)), 1e-6)
    return (values / length).ravel()


def follow_face(
    gray: Pixels, expected_box: FloatBox, others: Sequence[DetectedFace]
) -> DetectedFace | None:
    """Return a face near a box; None if no similar one is there.

    It is found by its similarity to `others`, the same face in similar images. `gray` is the
    brightness of the searched image, height x width; `expected_box` is in its pixels. The score is
    the lowest of the others.
    """
    # Search near the expected place.
    x, y, width, height = expected_box
    x_padding = width * FOLLOW_PADDING
    y_padding = height * FOLLOW_PADDING
    left = max(round(x - x_padding), 0)
    top = max(round(y - y_padding), 0)
    right = round(x + width + x_padding)
    bottom = round(y + height + y_padding)
    part = gray[top:bottom, left:right]

    # Scale that part so that a face of the expected size is as large as a patch.
    x_scale = PATCH_SIDE / width
    y_scale = PATCH_SIDE / height
    size = round(part.shape[1] * x_scale), round(part.shape[0] * y_scale)
    # At the border of the image, less than a face may be left.
    if min(size) < PATCH_SIDE:
        return None
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)

    # For each of the others its best correlation (-1..1), and where: (column, row) of the corner of
    # the face, in pixels of `small`.
    matches = []
    for other in others:
        template = other.patch.reshape(PATCH_SIDE, PATCH_SIDE)
        correlations = cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED)
        _, correlation, _, place = cv2.minMaxLoc(correlations)
        matches.append((correlation, place))
    best_correlation, (column, row) = max(matches)

    face_x = round(left + column / x_scale)
    face_y = round(top + row / y_scale)
    box = Box(face_x, face_y, round(width), round(height))
    visible = clip_box(box, gray.shape[1], gray.shape[0])
    if visible is None or 1 - best_correlation > MAX_FOLLOW_DISTANCE:
        return None

    # The followed face is described like a detected one.
    score = min(other.face.score for other in others)
    layouts = np.stack([other.colours for other in others])
    colors = layouts.mean(axis=0, dtype=np.float32)
    patch = small[row : row + PATCH_SIDE, column : column + PATCH_SIDE]
    return DetectedFace(
        Face(others[0].face.detector, visible, score), colors, _make_patch(patch)
    )
