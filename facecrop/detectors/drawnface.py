"""A small network of our own that learnt faces from drawn scenes, run by OpenCV.

Every place of a picture says how likely it is the middle of a face and how far the face reaches
to its four sides. drawnface.json beside the weights tells what they learnt from and what they
are worth; `benchmarks/drawn_faces/` makes them.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecrop.detectors.base import Pixels
from facecrop.detectors.onnx import (
    STRIDES,
    Array,
    OutputLayout,
    decode_boxes,
    letterboxed,
    suppress_overlaps,
)
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles
from facecrop.detectors.values import number, whole_number
from gleanset.errors import MissingComponent
from gleanset.files.store import sha256_of
from gleanset.records import Face

LONGEST_SIDE = 1920
MODEL = Path(__file__).with_name("drawnface.onnx")
SIZE = 640
"""Pixels: the longer side of a picture as the network sees it."""

MOST_ENLARGED = 2.0
THRESHOLD = 0.35
SAME_FACE = 0.45


class DrawnFace:
    """Finds drawn faces with a network of our own. `threshold` is the lowest score.

    `overlap` is how much two boxes may share (intersection over union), `size` the longer side
    in pixels at which a picture is searched: more finds smaller faces and takes longer.
    """

    name: ClassVar[str] = "drawnface"

    def __init__(
        self,
        threshold: str | float = THRESHOLD,
        overlap: str | float = SAME_FACE,
        size: str | float = SIZE,
    ) -> None:
        """Load the network. Raises `UsageError` for a bad setting."""
        self.threshold = number("threshold", threshold, 0, 1)
        self.overlap = number("overlap", overlap, 0, 1)
        self.size = whole_number("size", size, 64, LONGEST_SIDE)
        self._network = FaceNetwork.loaded()

    @property
    def settings(self) -> str:
        """For example `overlap=0.45 size=640 threshold=0.35 weights=0123456789ab`."""
        return (
            f"overlap={self.overlap:g} size={self.size} threshold={self.threshold:g} "
            f"weights={self._network.sha256[:12]}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `ValueError` for anything but height x width x 3 bytes."""
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        boxes = self._network.boxes(part, self.size, self.threshold, self.overlap)
        for rect, score in boxes:
            yield RawFace(rect, min(max(score, 0.0), 1.0))


class FaceNetwork:
    """The network as OpenCV has loaded it; it takes pictures of any size."""

    def __init__(self, file: Path = MODEL) -> None:
        """Raise `MissingComponent` where the weights are not there or cannot be read."""
        import cv2

        self._cv2: Any = cv2
        if multiprocessing.parent_process() is not None:
            # Workers are as many as cores already: threads of their own slow all down.
            cv2.setNumThreads(1)
        try:
            weights = file.read_bytes()
            self._net: Any = cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8))
        except (OSError, cv2.error) as error:
            raise MissingComponent(
                f"the weights of drawnface cannot be loaded: {error}", "install gleanset again"
            ) from error
        self.sha256 = sha256_of(weights)

    @classmethod
    @functools.cache
    def loaded(cls) -> FaceNetwork:
        """Return the one of this process."""
        return cls()

    def boxes(
        self, part: Pixels, size: int, threshold: float, most: float = SAME_FACE
    ) -> list[tuple[FloatBox, float]]:
        """Return faces with scores from `threshold` on, in pixels of the part, surest first.

        The part is searched with its longer side at `size` pixels; boxes share at most `most`.
        """
        scale = min(size / max(part.shape[:2]), MOST_ENLARGED)
        inner = max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1)
        width, height = (math.ceil(side / STRIDES[-1]) * STRIDES[-1] for side in inner)
        across, down = part.shape[1] / inner[0], part.shape[0] / inner[1]
        answer = self.ask(letterboxed(part, inner, (width, height), (0, 0)))
        found = decode_boxes(
            centred(answer, width, height), OutputLayout("v8", 1), face=0, threshold=threshold
        )
        return [
            (FloatBox(x * across, y * down, wide * across, high * down), score)
            for (x, y, wide, high), score in suppress_overlaps(found, most)
        ]

    def ask(self, picture: Pixels) -> Array:
        """Return distances and scores of all places; sides are multiples of 32."""
        self._net.setInput(self._cv2.dnn.blobFromImage(np.ascontiguousarray(picture), 1 / 255))
        return np.asarray(self._net.forward(), np.float32)


def centred(answer: Array, width: int, height: int) -> Array:
    """Return distances to the four sides as the centres and sizes of YOLOv8's layout.

    `answer` is 1 x 5 x places for an input of that size, row by row, the finest stride first.
    """
    middles = np.concatenate([_middles(stride, width, height) for stride in STRIDES], 1)
    left, top, right, bottom, score = answer[0]
    x, y = middles[0] + (right - left) / 2, middles[1] + (bottom - top) / 2
    return np.stack([x, y, left + right, top + bottom, score])[None]


@functools.lru_cache(maxsize=64)
def _middles(stride: int, width: int, height: int) -> Array:
    rows, columns = np.mgrid[: height // stride, : width // stride]
    return (np.stack([columns.ravel(), rows.ravel()]).astype(np.float32) + 0.5) * stride
