"""drawnface: a small face detection network, trained on generated drawings.

For every location the network predicts the score of a face centered there, and the distances to its
four sides. drawnface.json documents training data and evaluation; `tools/drawn_faces/` trains it.
"""

import functools
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facecrop.detectors.base import parse_integer, parse_number
from facecrop.detectors.onnx import STRIDES, suppress_overlaps
from facecrop.detectors.tiling import (
    MAX_SIDE,
    FloatBox,
    RawFace,
    TiledDetector,
    is_same_face,
)
from gleanset.arrays import Float32Array, Pixels
from gleanset.errors import MissingComponent
from gleanset.files.store import hash_bytes
from gleanset.records import overlap
from gleanset.work.onnx_session import open_onnx_session

MODEL = Path(__file__).with_name("drawnface.onnx")
SIZE = 512
"""Pixels of the longer side at the first scale; 16:9 and 4:3 keep their aspect ratio."""

RELATIVE_SCALES = (1.0, 0.75, 0.5)
"""Scales relative to `size`. True faces are found at most of them."""

MIRRORED_SCALES = (1, 3)
"""Scales that search the mirrored image: their errors are less like those of the others."""

CLOSE_UP_SIZE = 128
"""Pixels of the last scale, for faces that fill the image, larger than those in training."""
MIN_CLOSE_UP_SIDE = 0.3
MAX_FACE_SIDE = 0.4
"""Shares of the longer side: the last scale finds larger faces, the others smaller ones, because in
close-ups those take eyes and ornaments for faces."""

RANGE_MARGIN = 0.06
"""Share of the longer side. Nearer to the limit of a scale's range, a face that only other scales
find is not counted as missed: the scales estimate its side differently."""

MIN_SCALED_SIDE = 12
"""Pixels of a scaled face; smaller ones are only searched at the first scale."""

MAX_ENLARGEMENT = 2.0
THRESHOLD = 0.31

MAX_ASPECT_RATIO = 2.5
"""Aspect ratio from which the shorter side determines the scales, so that faces in a row are not
scaled to a few pixels. Films have up to 2.4."""

MIN_CROWD = 8
MIN_CROWD_SCORE = 0.2
CROWD_FACE_SIDE = 160
"""An image with this many faces of this score is searched once more, enlarged until their sides
have 160 pixels: side by side, faces are missed that are found alone. This concerns one of 76
annotated images, and none of 305 others."""
MIN_CROWD_ENLARGEMENT = 1.25

NMS_IOU = 0.45
"""IoU above which boxes of one scale are merged."""
MERGE_IOU = 0.35
"""IoU above which boxes of several scales are merged."""
MAX_ORNAMENT_SIDE = 0.25
ORNAMENT_MARGIN = 0.15
"""Shares of a face's side: a smaller box with its center in the face or this margin is a hair
ornament, an earring or a mouth. Of 124 annotated faces, none is so small so close to another."""
MIN_SCALE_SCORE = 0.15
"""Minimum score at a single scale."""
SCORE_DECIMALS = 4
"""The last bits of a float32 score differ between worker processes."""


class ScaleDetection(NamedTuple):
    """Detection at one scale; `scale` is the index of the scale."""

    scale: int
    rect: FloatBox
    score: float


class DrawnFace(TiledDetector):
    """Finds drawn faces with a network of our own. `threshold` is the minimum score.

    `size` is the longer side in pixels at the first scale: more finds smaller faces and is slower.
    """

    name = "drawnface"

    def __init__(self, threshold: str | float = THRESHOLD, size: str | float = SIZE):
        """Load the network. Raises `UsageError` for an invalid setting."""
        self.threshold = parse_number("threshold", threshold, 0, 1)
        self.size = parse_integer("size", size, 64, MAX_SIDE)
        self._network = FaceNetwork.load()

    @property
    def settings(self) -> str:
        """For example `looks=512+384m+256+128m size=512 threshold=0.31 weights=0123456789ab`.

        The scales marked m search the mirrored image.
        """
        scales = "+".join(
            f"{size}m" if scale in MIRRORED_SCALES else str(size)
            for scale, size in enumerate(_list_sizes(self.size))
        )
        return (
            f"looks={scales} size={self.size} threshold={self.threshold:g} "
            f"weights={self._network.sha256[:12]}"
        )

    def _find(self, tile: Pixels) -> Iterator[RawFace]:
        longer_side = max(tile.shape[:2])
        aspect_ratio = longer_side / min(tile.shape[:2])
        # Elongated tiles are searched larger, see MAX_ASPECT_RATIO.
        size = round(self.size * max(aspect_ratio / MAX_ASPECT_RATIO, 1))
        faces = self._find_at_size(tile, size)

        # A fixed score and not `threshold`, so that another threshold does not change which faces
        # are searched for, only which of them are returned.
        crowd = [face.rect for face in faces if face.score >= MIN_CROWD_SCORE]
        if len(crowd) >= MIN_CROWD:
            side = statistics.median(_measure_side(rect) for rect in crowd)
            larger_size = min(round(CROWD_FACE_SIDE * longer_side / side), MAX_SIDE)
            # Faces that were almost that large in the first search are not searched again.
            if larger_size >= MIN_CROWD_ENLARGEMENT * size:
                faces = _drop_parts(faces + self._find_at_size(tile, larger_size))
        return (face for face in faces if face.score >= self.threshold)

    def _find_at_size(self, tile: Pixels, size: int) -> list[RawFace]:
        """Return faces of any score; `size` is the longer side in pixels at the first scale."""
        search = ScaleSearch(_list_sizes(size), max(tile.shape[:2]))
        images = ImagePyramid(tile)
        detections: list[ScaleDetection] = []
        for scale, scaled_size in enumerate(search.sizes):
            for rect, score, *_ in self._network.detect(
                images, scaled_size, MIN_SCALE_SCORE, scale in MIRRORED_SCALES
            ):
                if search.is_in_range(scale, rect):
                    detections.append(ScaleDetection(scale, rect, score))

        faces = []
        for group in merge_scales(detections):
            rect = _compute_mean_box(group)
            faces.append(RawFace(rect, search.compute_score(group, rect)))
        return _drop_parts(faces)


def _list_sizes(size: int) -> list[int]:
    """Return the pixels of the longer side at each scale."""
    return [*(round(size * scale) for scale in RELATIVE_SCALES), CLOSE_UP_SIZE]


def _measure_side(rect: FloatBox) -> float:
    return math.sqrt(rect.width * rect.height)


def _drop_parts(faces: Iterable[RawFace]) -> list[RawFace]:
    """Drop repeated faces and ornaments of better ones; the best come first."""
    distinct: list[RawFace] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.rect)):
        if not any(_is_part_of(face.rect, other.rect) for other in distinct):
            distinct.append(face)
    return distinct


class ScaleSearch(NamedTuple):
    """Sizes of all scales, in pixels of the longer side, and the longer side of the tile."""

    sizes: list[int]
    longer_side: int

    def is_in_range(self, scale: int, rect: FloatBox, margin: float = 0.0) -> bool:
        """Return whether a scale finds faces of this size.

        The box is in pixels of the tile. `margin` narrows the range, as a share of the longer side.
        """
        side = _measure_side(rect)
        is_close_up = scale == len(RELATIVE_SCALES)
        if is_close_up:
            return side >= (MIN_CLOSE_UP_SIDE + margin) * self.longer_side
        if side >= (MAX_FACE_SIDE - margin) * self.longer_side:
            return False

        # Faces too small for another scale are left to the first, which has the largest image.
        factor = min(self.sizes[scale] / self.longer_side, MAX_ENLARGEMENT)
        return scale == 0 or side * factor >= MIN_SCALED_SIDE

    def compute_score(self, group: list[ScaleDetection], rect: FloatBox) -> float:
        """Return the mean score over the scales that should find the face `rect`.

        A scale that did not find it counts as 0.
        """
        # The highest score of each scale. Groups are sorted by falling score; reversed, the highest
        # of a scale comes last and replaces the others in the dict.
        scores = {detection.scale: detection.score for detection in reversed(group)}
        covering_scales = [
            scale
            for scale in range(len(self.sizes))
            if scale in scores or self.is_in_range(scale, rect, margin=RANGE_MARGIN)
        ]
        # Scales that should have found the face, but did not, add 0 to the sum.
        mean = sum(scores.values()) / len(covering_scales)
        return round(min(mean, 1.0), SCORE_DECIMALS)


def merge_scales(detections: Iterable[ScaleDetection]) -> list[list[ScaleDetection]]:
    """Group overlapping detections of all scales, the highest scores first.

    A detection joins the group that it overlaps most.
    """
    groups: list[list[ScaleDetection]] = []
    for detection in sorted(detections, key=lambda item: (-item.score, item.rect)):
        best_iou = 0.0
        best_group: list[ScaleDetection] = []
        for group in groups:
            iou = max(overlap(detection.rect, other.rect) for other in group)
            if iou > best_iou:
                best_iou = iou
                best_group = group

        if best_iou >= MERGE_IOU:
            best_group.append(detection)
        else:
            groups.append([detection])
    return groups


def _is_part_of(box: FloatBox, face: FloatBox) -> bool:
    return is_same_face(box, face) or is_ornament(box, face)


def is_ornament(box: FloatBox, face: FloatBox) -> bool:
    """Return whether a box is too small and too close to a face to be another one."""
    if box.width * box.height > MAX_ORNAMENT_SIDE**2 * face.width * face.height:
        return False

    # The center of the box, as shares of the face.
    x = (box.x + box.width / 2 - face.x) / face.width
    y = (box.y + box.height / 2 - face.y) / face.height
    low = -ORNAMENT_MARGIN
    high = 1 + ORNAMENT_MARGIN
    return low <= x <= high and low <= y <= high


def _compute_mean_box(group: list[ScaleDetection]) -> FloatBox:
    """Return the mean box weighted by squared scores (they predict box quality)."""
    weights = [detection.score**2 for detection in group]
    total = sum(weights)
    # All x, then all y, widths and heights.
    means = []
    for numbers in zip(*(detection.rect for detection in group), strict=True):
        pairs = zip(numbers, weights, strict=True)
        means.append(sum(number * weight for number, weight in pairs) / total)
    return FloatBox(*means)


class FaceNetwork:
    """Network for images of any size."""

    def __init__(self, file: Path = MODEL):
        """Load the weights. Raises `MissingComponent` if they cannot be read."""
        try:
            weights = file.read_bytes()
            self._session = open_onnx_session(weights)
        except (OSError, ValueError) as error:
            raise MissingComponent(
                f"the weights of drawnface cannot be loaded: {error}",
                "reinstall Gleanset",
            ) from error
        self.sha256 = hash_bytes(weights)

    @classmethod
    @functools.cache
    def load(cls) -> "FaceNetwork":
        """Return the network of this process."""
        return cls()

    def detect(
        self, images: "ImagePyramid", size: int, threshold: float, is_mirrored: bool
    ) -> list[RawFace]:
        """Return faces scoring at least `threshold`, in image pixels, best first.

        The image is scaled to about `size` pixels on its longer side, and searched mirrored if
        `is_mirrored`.
        """
        image_height, image_width = images.levels[0].shape[:2]
        width, height = compute_network_size(image_width, image_height, size)
        image = images.resize(width, height)
        output = self.run(image[:, ::-1] if is_mirrored else image)
        x_scale = image_width / width
        y_scale = image_height / height

        # The output is 1 x 5 x locations: distances from a location to the four sides of its face
        # in pixels of the scaled image, and the score. Only locations with a face are kept.
        is_face = output[0, 4] >= threshold
        left, top, right, bottom, scores = output[0][:, is_face]
        center_x, center_y = list_centers(width, height)[:, is_face]
        x = center_x - left
        if is_mirrored:
            # The right side of a box in the mirrored image is its left side in the image.
            x = width - center_x - right
        rects = [
            x * x_scale,
            (center_y - top) * y_scale,
            (left + right) * x_scale,
            (top + bottom) * y_scale,
        ]
        boxes = [
            RawFace(FloatBox(*rect), score)
            for rect, score in zip(
                np.transpose(rects).tolist(), scores.tolist(), strict=True
            )
        ]
        return suppress_overlaps(boxes, NMS_IOU)

    def run(self, image: Pixels) -> Float32Array:
        """Return distances and scores of all locations; sides are multiples of 32."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        # None requests all outputs; there is one.
        return np.asarray(self._session.run(None, {"picture": planes / 255})[0])


class ImagePyramid:
    """An image and its halves, shared by all scales."""

    def __init__(self, image: Pixels):
        self.levels = [np.ascontiguousarray(image)]

    def resize(self, width: int, height: int) -> Pixels:
        """Return the image in that size.

        Halving is fast and averages pixels. Below a factor of two, linear interpolation suffices.
        """
        import cv2  # slow to import

        for level in itertools.count():
            image = self.levels[level]
            image_height, image_width = image.shape[:2]
            if min(image_height / height, image_width / width) <= 2:
                break

            if level + 1 == len(self.levels):
                half = image_width // 2, image_height // 2
                even = image[: 2 * half[1], : 2 * half[0]]
                smaller = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
                self.levels.append(np.asarray(smaller, np.uint8))

        # cv2 interpolates linearly by default.
        return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def compute_network_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the network input size: multiples of 32, longer side about `size`."""
    # The network halves the image five times.
    stride = STRIDES[-1]
    scale = min(size / max(width, height), MAX_ENLARGEMENT) / stride
    return (
        max(round(width * scale), 1) * stride,
        max(round(height * scale), 1) * stride,
    )


@functools.lru_cache(maxsize=64)
def list_centers(width: int, height: int) -> Float32Array:
    """Return the centers of all locations in pixels (2 x locations: x, then y).

    They are listed by rows, the finest stride first.
    """
    grids = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        locations = np.stack([columns.ravel(), rows.ravel()]).astype(np.float32)
        grids.append((locations + 0.5) * stride)
    return np.concatenate(grids, axis=1)
