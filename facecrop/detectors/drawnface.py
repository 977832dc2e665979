"""A small network of our own that learnt faces from drawn scenes, run by OpenCV.

Every place of a picture says how likely it is the middle of a face and how far the face reaches
to its four sides. drawnface.json beside the weights tells what they learnt from and what they
are worth; `tools/drawn_faces/` makes them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecrop.detectors.base import Pixels, number, whole_number
from facecrop.detectors.onnx import (
    STRIDES,
    Array,
    OutputLayout,
    decode_boxes,
    suppress_overlaps,
)
from facecrop.detectors.tiling import FloatBox, RawFace, is_same_face, search_tiles
from gleanset.errors import MissingComponent
from gleanset.files.store import sha256_of
from gleanset.records import Face

LONGEST_SIDE = 1920
MODEL = Path(__file__).with_name("drawnface.onnx")
SIZE = 512
"""Pixels: the longer side of a picture as the network sees it. 16:9 and 4:3 keep their shape."""

CLOSE = 128
"""The same where faces that fill a picture are looked for: at `SIZE` they are larger than all that
were learnt, and an eye of them looks like a face."""
LARGE = 0.4
"""A face fills a picture from this part of its longer side on."""
DRAWN_IN = 0.8
"""Of a box at `CLOSE`, to be as one at `SIZE`: the median over 32 faces that both see is 1.26."""

MOST_ENLARGED = 2.0
THRESHOLD = 0.35
SAME_FACE = 0.45
DECIMALS = 4
"""Of a score: the last bits of its float32 differ from one worker process to another."""


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
        self._network, self._close = FaceNetwork.loaded(), FaceNetwork.for_close_ups()

    @property
    def settings(self) -> str:
        """For example `close=128 overlap=0.45 size=640 threshold=0.35 weights=0123456789ab`."""
        return (
            f"close={CLOSE} overlap={self.overlap:g} size={self.size} "
            f"threshold={self.threshold:g} weights={self._network.sha256[:12]}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `ValueError` for anything but height x width x 3 bytes."""
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        least = LARGE * max(part.shape[:2])
        # By one threshold: another setting of it chooses among the same faces.
        close = self._close.boxes(part, CLOSE, THRESHOLD)
        large = [face for face in close if max(face[0].width, face[0].height) >= least]
        for rect, score in self._network.boxes(part, self.size, self.threshold, self.overlap):
            if not any(is_same_face(rect, other) for other, _ in large):
                yield _raw(rect, score)
        for rect, score in large:
            if score >= self.threshold:
                yield _raw(_drawn_in(rect), score)


def _drawn_in(rect: FloatBox) -> FloatBox:
    width, height = DRAWN_IN * rect.width, DRAWN_IN * rect.height
    x, y = rect.x + (rect.width - width) / 2, rect.y + (rect.height - height) / 2
    return FloatBox(x, y, width, height)


def _raw(rect: FloatBox, score: float) -> RawFace:
    return RawFace(rect, round(min(max(score, 0.0), 1.0), DECIMALS))


class FaceNetwork:
    """The network as OpenCV has loaded it; it takes pictures of any size."""

    def __init__(self, file: Path = MODEL) -> None:
        """Raise `MissingComponent` where the weights are not there or cannot be read."""
        import cv2

        self._cv2: Any = cv2
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

    @classmethod
    @functools.cache
    def for_close_ups(cls) -> FaceNetwork:
        """Return another: OpenCV prepares one anew each time that the size of pictures changes."""
        return cls()

    def boxes(
        self, part: Pixels, size: int, threshold: float, most: float = SAME_FACE
    ) -> list[tuple[FloatBox, float]]:
        """Return faces with scores from `threshold` on, in pixels of the part, surest first.

        The part is searched with its longer side at about `size` pixels; boxes share at most
        `most`.
        """
        width, height = seen_size(part.shape[1], part.shape[0], size)
        across, down = part.shape[1] / width, part.shape[0] / height
        # Down to half the size a mean of two by two pixels tells enough, and is far quicker.
        much = min(across, down) > 2
        kind = self._cv2.INTER_AREA if much else self._cv2.INTER_LINEAR
        whole = np.ascontiguousarray(part)
        answer = self.ask(self._cv2.resize(whole, (width, height), interpolation=kind))
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


def seen_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return in which size a picture is seen: the nearest multiples of 32, at least one.

    The longer side becomes about `size`; the shape changes by less than half a multiple.
    """
    scale = min(size / max(width, height), MOST_ENLARGED) / STRIDES[-1]
    across, down = (max(round(side * scale), 1) * STRIDES[-1] for side in (width, height))
    return across, down


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
