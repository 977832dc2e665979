"""A small network of our own that learnt faces from drawn scenes.

Every place of a picture says how likely it is the middle of a face and how far the face reaches
to its four sides. drawnface.json beside the weights tells what they learnt from and what they
are worth; `tools/drawn_faces/` makes them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from facecrop.detectors.base import Pixels, number, whole_number
from facecrop.detectors.onnx import STRIDES, Array, OutputLayout, decode_boxes, suppress_overlaps
from facecrop.detectors.tiling import FloatBox, RawFace, is_same_face, search_tiles
from gleanset.errors import MissingComponent
from gleanset.files.store import sha256_of
from gleanset.records import Face, overlap
from gleanset.work.onnx_session import onnx_session

LONGEST_SIDE = 1920
MODEL = Path(__file__).with_name("drawnface.onnx")
SIZE = 512
"""Pixels: the longer side of a picture at the first look. 16:9 and 4:3 keep their shape."""

PARTS = (1.0, 0.75, 0.5)
"""Of the size: a picture is looked at so large. What is a face is one at most of these sizes."""

CLOSE = 128
"""Pixels: the last look, for faces that fill a picture: larger ones than all that were learnt."""
LARGE, LARGEST = 0.3, 0.4
"""Parts of the longer side: the last look has a say about faces from `LARGE` on, the others about
those below `LARGEST`, where they take eyes and ornaments for faces."""

SMALLEST = 12
"""Pixels of a face as a look sees it: of smaller ones all but the first look say nothing."""

MOST_ENLARGED = 2.0
THRESHOLD = 0.35
SAME_FACE = 0.45
"""Boxes of one look that share more (intersection over union) are one."""
SAME_PLACE = 0.35
"""The same for those of several looks."""
LEAST_SCORE = 0.15
"""What a look is less sure of it has not seen."""
DECIMALS = 4
"""Of a score: the last bits of its float32 differ from one worker process to another."""


class Sighting(NamedTuple):
    """What one look has seen: the number of the look, where, and how sure it was."""

    look: int
    rect: FloatBox
    score: float


class DrawnFace:
    """Finds drawn faces with a network of our own. `threshold` is the lowest score.

    `size` is the longer side in pixels at which a picture is looked at first: more finds smaller
    faces and takes longer.
    """

    name: ClassVar[str] = "drawnface"

    def __init__(self, threshold: str | float = THRESHOLD, size: str | float = SIZE) -> None:
        """Load the network. Raises `UsageError` for a bad setting."""
        self.threshold = number("threshold", threshold, 0, 1)
        self.size = whole_number("size", size, 64, LONGEST_SIDE)
        self._sizes = (*(round(self.size * part) for part in PARTS), CLOSE)
        self._network = FaceNetwork.loaded()

    @property
    def settings(self) -> str:
        """For example `looks=512+384+256+128 size=512 threshold=0.35 weights=0123456789ab`."""
        looks = "+".join(str(size) for size in self._sizes)
        return (
            f"looks={looks} size={self.size} threshold={self.threshold:g} "
            f"weights={self._network.sha256[:12]}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `ValueError` for anything but height x width x 3 bytes."""
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        longest = max(part.shape[:2])
        places = grouped(self._sightings(part))
        faces = [RawFace(_mean_box(place), self._score(place, longest)) for place in places]
        kept: list[RawFace] = []
        for face in sorted(faces, key=lambda face: (-face.score, face.rect)):
            if not any(is_same_face(face.rect, other.rect) for other in kept):
                kept.append(face)
        return (face for face in kept if face.score >= self.threshold)

    def _sightings(self, part: Pixels) -> Iterator[Sighting]:
        longest = max(part.shape[:2])
        for look, size in enumerate(self._sizes):
            for rect, score in self._network.boxes(part, size, LEAST_SCORE):
                if self._has_say(look, rect, longest):
                    yield Sighting(look, rect, score)

    def _has_say(self, look: int, rect: FloatBox, longest: int) -> bool:
        side = math.sqrt(rect.width * rect.height)
        if look == len(PARTS):
            return side >= LARGE * longest
        scale = min(self._sizes[look] / longest, MOST_ENLARGED)
        return side < LARGEST * longest and (look == 0 or side * scale >= SMALLEST)

    def _score(self, place: list[Sighting], longest: int) -> float:
        """Return the mean of the looks that have a say: 0 of one that has not seen it."""
        surest = {one.look: one.score for one in reversed(place)}
        rect = _mean_box(place)
        asked = [
            look
            for look in range(len(self._sizes))
            if look in surest or self._has_say(look, rect, longest)
        ]
        return round(min(sum(surest.values()) / len(asked), 1.0), DECIMALS)


def grouped(sightings: Iterable[Sighting]) -> list[list[Sighting]]:
    """Join what lies in one place, the surest first."""
    places: list[list[Sighting]] = []
    for seen in sorted(sightings, key=lambda seen: (-seen.score, seen.rect)):
        shared, best = max(
            (
                (max(overlap(seen.rect, other.rect) for other in place), -index)
                for index, place in enumerate(places)
            ),
            default=(0.0, 0),
        )
        if shared >= SAME_PLACE:
            places[-best].append(seen)
        else:
            places.append([seen])
    return places


def _mean_box(place: list[Sighting]) -> FloatBox:
    """Return the mean box, by the squares of the scores: the surest look places it best."""
    weights = [seen.score**2 for seen in place]
    edges = zip(*(seen.rect for seen in place), strict=True)
    return FloatBox(
        *(
            sum(edge * weight for edge, weight in zip(column, weights, strict=True)) / sum(weights)
            for column in edges
        )
    )


class FaceNetwork:
    """The network; it takes pictures of any size."""

    def __init__(self, file: Path = MODEL) -> None:
        """Raise `MissingComponent` where the weights are not there or cannot be read."""
        try:
            weights = file.read_bytes()
            self._session = onnx_session(weights)
        except (OSError, ValueError) as error:
            raise MissingComponent(
                f"the weights of drawnface cannot be loaded: {error}", "install gleanset again"
            ) from error
        self.sha256 = sha256_of(weights)

    @classmethod
    @functools.cache
    def loaded(cls) -> FaceNetwork:
        """Return the one of this process."""
        return cls()

    def boxes(self, part: Pixels, size: int, threshold: float) -> list[tuple[FloatBox, float]]:
        """Return faces with scores from `threshold` on, in pixels of the part, surest first.

        The part is searched with its longer side at about `size` pixels.
        """
        import cv2  # help pages do without

        width, height = seen_size(part.shape[1], part.shape[0], size)
        across, down = part.shape[1] / width, part.shape[0] / height
        # Down to half the size a mean of two by two pixels tells enough, and is far quicker.
        much = min(across, down) > 2
        kind = cv2.INTER_AREA if much else cv2.INTER_LINEAR
        whole = np.ascontiguousarray(part)
        answer = self.ask(
            np.asarray(cv2.resize(whole, (width, height), interpolation=kind), np.uint8)
        )
        found = decode_boxes(
            centred(answer, width, height), OutputLayout("v8", 1), face=0, threshold=threshold
        )
        return [
            (FloatBox(x * across, y * down, wide * across, high * down), score)
            for (x, y, wide, high), score in suppress_overlaps(found, SAME_FACE)
        ]

    def ask(self, picture: Pixels) -> Array:
        """Return distances and scores of all places; sides are multiples of 32."""
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        answer: Array = self._session.run(None, {"picture": planes / 255})[0]
        return answer


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
