"""drawnface: a small face detection network, trained on generated drawings.

For every location the network predicts the score of a face centered there, and the distances to its
four sides. drawnface.json documents training data and evaluation; `tools/drawn_faces/` trains it.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facecrop.detectors.base import parse_integer, parse_number
from facecrop.detectors.onnx import (
    STRIDES,
    OutputLayout,
    decode_boxes,
    suppress_overlaps,
)
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
THRESHOLD = 0.35
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
        sizes = [round(self.size * scale) for scale in RELATIVE_SCALES]
        self._sizes = (*sizes, CLOSE_UP_SIZE)
        self._network = FaceNetwork.load()

    @property
    def settings(self) -> str:
        """For example `looks=512+384+256+128 size=512 threshold=0.35 weights=0123456789ab`."""
        scales = "+".join(str(size) for size in self._sizes)
        return (
            f"looks={scales} size={self.size} threshold={self.threshold:g} "
            f"weights={self._network.sha256[:12]}"
        )

    def _find(self, tile: Pixels) -> Iterator[RawFace]:
        longer_side = max(tile.shape[:2])
        faces = []
        for group in merge_scales(self._detect_at_scales(tile)):
            rect = _compute_mean_box(group)
            faces.append(RawFace(rect, self._compute_score(group, rect, longer_side)))

        # The best faces first, so that parts of them are dropped.
        distinct: list[RawFace] = []
        for face in sorted(faces, key=lambda face: (-face.score, face.rect)):
            if not any(_is_part_of(face.rect, other.rect) for other in distinct):
                distinct.append(face)
        # The threshold last: another one chooses among the same faces.
        return (face for face in distinct if face.score >= self.threshold)

    def _detect_at_scales(self, tile: Pixels) -> Iterator[ScaleDetection]:
        longer_side = max(tile.shape[:2])
        for scale, size in enumerate(self._sizes):
            for rect, score, *_ in self._network.detect(tile, size, MIN_SCALE_SCORE):
                if self._is_in_range(scale, rect, longer_side):
                    yield ScaleDetection(scale, rect, score)

    def _is_in_range(
        self, scale: int, rect: FloatBox, longer_side: int, margin: float = 0.0
    ) -> bool:
        """Return whether a scale finds faces of this size.

        `longer_side` of the tile and the box are in pixels of the tile. `margin` narrows the range,
        as a share of the longer side.
        """
        side = math.sqrt(rect.width * rect.height)
        is_close_up = scale == len(RELATIVE_SCALES)
        if is_close_up:
            return side >= (MIN_CLOSE_UP_SIDE + margin) * longer_side
        if side >= (MAX_FACE_SIDE - margin) * longer_side:
            return False

        # The first scale finds the smallest faces.
        factor = min(self._sizes[scale] / longer_side, MAX_ENLARGEMENT)
        return scale == 0 or side * factor >= MIN_SCALED_SIDE

    def _compute_score(
        self, group: list[ScaleDetection], rect: FloatBox, longer_side: int
    ) -> float:
        """Return the mean score over the scales that should find the face `rect`.

        A scale that did not find it counts as 0.
        """
        # The highest score of each scale: groups begin with the highest, and a dict keeps the last.
        scores = {detection.scale: detection.score for detection in reversed(group)}
        covering_scales = [
            scale
            for scale in range(len(self._sizes))
            if scale in scores
            or self._is_in_range(scale, rect, longer_side, margin=RANGE_MARGIN)
        ]
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

    def detect(self, part: Pixels, size: int, threshold: float) -> list[RawFace]:
        """Return faces scoring at least `threshold`, in part pixels, best first.

        The part is scaled to about `size` pixels on its longer side.
        """
        part_height, part_width = part.shape[:2]
        width, height = compute_network_size(part_width, part_height, size)
        output = self.run(_resize(part, width, height))
        rows = convert_to_yolo_layout(output, width, height)
        layout = OutputLayout("v8", classes=1)
        boxes = decode_boxes(
            rows,
            layout,
            face_class=0,
            threshold=threshold,
        )

        x_scale = part_width / width
        y_scale = part_height / height
        faces = []
        for rect, score, *_ in suppress_overlaps(boxes, NMS_IOU):
            box = FloatBox(
                rect.x * x_scale,
                rect.y * y_scale,
                rect.width * x_scale,
                rect.height * y_scale,
            )
            faces.append(RawFace(box, score))
        return faces

    def run(self, image: Pixels) -> Float32Array:
        """Return distances and scores of all locations; sides are multiples of 32."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
        # None requests all outputs; there is one.
        return np.asarray(self._session.run(None, {"picture": planes / 255})[0])


def _resize(part: Pixels, width: int, height: int) -> Pixels:
    """Resize to the input of the network; most images are reduced."""
    import cv2  # slow to import

    def measure_reduction(image: Pixels) -> float:
        return float(min(image.shape[0] / height, image.shape[1] / width))

    # Averaging areas is slow, but not by whole pixels: halve first.
    image = np.ascontiguousarray(part)
    while measure_reduction(image) > 4:
        half_height = image.shape[0] // 2
        half_width = image.shape[1] // 2
        even = image[: 2 * half_height, : 2 * half_width]
        half_size = (half_width, half_height)
        half = cv2.resize(even, half_size, interpolation=cv2.INTER_AREA)
        image = np.asarray(half, np.uint8)

    # Reduced less than twofold, linear interpolation suffices.
    method = cv2.INTER_AREA if measure_reduction(image) > 2 else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=method), np.uint8
    )


def compute_network_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the network input size: multiples of 32, longer side about `size`."""
    # The network halves the image five times.
    stride = STRIDES[-1]
    scale = min(size / max(width, height), MAX_ENLARGEMENT) / stride
    return (
        max(round(width * scale), 1) * stride,
        max(round(height * scale), 1) * stride,
    )


def convert_to_yolo_layout(
    output: Float32Array, width: int, height: int
) -> Float32Array:
    """Convert distances to four sides into YOLOv8's centers and sizes.

    `output` is 1 x 5 x locations for an input of that size, by rows, the finest stride first.
    """
    grids = [_compute_grid_centers(stride, width, height) for stride in STRIDES]
    center_x, center_y = np.concatenate(grids, axis=1)
    left, top, right, bottom, score = output[0]
    x = center_x + (right - left) / 2
    y = center_y + (bottom - top) / 2
    return np.stack([x, y, left + right, top + bottom, score])[None]


@functools.lru_cache(maxsize=64)
def _compute_grid_centers(stride: int, width: int, height: int) -> Float32Array:
    """Return the centers in pixels (2 x locations: x, then y), by rows."""
    rows, columns = np.mgrid[: height // stride, : width // stride]
    locations = np.stack([columns.ravel(), rows.ravel()]).astype(np.float32)
    return (locations + 0.5) * stride
