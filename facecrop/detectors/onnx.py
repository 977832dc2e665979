"""Any YOLO-style face model in ONNX form, such as the anime face models of deepghs.

The picture is fitted into the network's input with grey bars (letterbox), the answer is
decoded, and boxes on each other are reduced to the surest. Three layouts of answers are known,
told apart by their shape:

- YOLOv8 and later: 1 x (4 + classes) x boxes. Centre, size; a score for each class.
- YOLOv5: 1 x boxes x (5 + classes). Centre, size, how likely anything is there; then classes.
- With the suppression inside the network (YOLOv10): 1 x boxes x 6. Two corners, score, class.

Coordinates are pixels of the network's input.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecrop.detectors.base import Pixels, number, whole_number
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles
from facecrop.detectors.weights import weights_file
from gleanset.errors import UsageError
from gleanset.files.hub import is_on_hub, pinned
from gleanset.files.store import sha256_of
from gleanset.records import Face
from gleanset.work.onnx_session import onnx_session

Array: TypeAlias = npt.NDArray[np.float32]

STRIDES = (8, 16, 32)
"""Pixels between the places at which these networks look for small, middling, large things."""

ANCHORS = 3
"""Boxes at each place in YOLOv5; later ones have one."""

LAYOUTS = ("v8", "v5", "end")


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """Which of `LAYOUTS` a network's answer has, and for how many classes (0: not known)."""

    name: str
    classes: int


def layout_of(shape: tuple[int, ...], width: int, height: int) -> OutputLayout | None:
    """Return the layout of an answer to an input of that size; None for no layout that we know."""
    if len(shape) != 3 or shape[0] != 1:
        return None
    places = sum((width // stride) * (height // stride) for stride in STRIDES)
    if shape[2] == places and shape[1] > 4:
        return OutputLayout("v8", shape[1] - 4)
    if shape[1] == places * ANCHORS and shape[2] > 5:
        return OutputLayout("v5", shape[2] - 5)
    if shape[2] == 6 and shape[1] < places:
        return OutputLayout("end", 0)
    return None


def decode_boxes(
    answer: Array, layout: OutputLayout, face: int, threshold: float
) -> list[tuple[FloatBox, float]]:
    """Boxes of the class `face` with their scores, from `threshold` on, in input pixels."""
    rows = answer[0].T if layout.name == "v8" else answer[0]
    if layout.name == "end":
        kept = rows[(rows[:, 4] >= threshold) & (rows[:, 5].round() == face)]
        return [(_from_corners(row), float(row[4])) for row in kept]
    scores = rows[:, 4] * rows[:, 5 + face] if layout.name == "v5" else rows[:, 4 + face]
    sure = scores >= threshold
    return [
        (_from_centre(row), float(score))
        for row, score in zip(rows[sure], scores[sure], strict=True)
    ]


def suppress_overlaps(
    boxes: list[tuple[FloatBox, float]], most: float
) -> list[tuple[FloatBox, float]]:
    """Keep the surest of boxes that share more than `most` (intersection over union)."""
    import cv2  # help pages do without

    rects, scores = [rect for rect, _ in boxes], [score for _, score in boxes]
    return [boxes[int(row)] for row in cv2.dnn.NMSBoxes(rects, scores, 0.0, most)]


def are_scores(answer: Array, layout: OutputLayout) -> bool:
    """Return whether the numbers where scores should be can be scores: all within 0..1."""
    rows = answer[0].T if layout.name == "v8" else answer[0]
    scores = rows[:, 4:5] if layout.name == "end" else rows[:, 4:]
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (0.0, 0.0)
    return bool(np.isfinite(rows).all()) and low >= -0.001 and high <= 1.001


def _from_centre(row: Array) -> FloatBox:
    x, y, width, height = (float(number) for number in row[:4])
    return FloatBox(x - width / 2, y - height / 2, width, height)


def _from_corners(row: Array) -> FloatBox:
    left, top, right, bottom = (float(number) for number in row[:4])
    return FloatBox(left, top, right - left, bottom - top)


LONGEST_SIDE = 1920
USUAL_SIZE = 640
"""Pixels. The side of the input where a model leaves it open."""

BARS = 114
"""The grey of the bars, as these networks were trained with."""

_NO_FACE_MODEL = (
    "give a detection model of the YOLO kind in one file, for example one that facecrop detectors "
    "names"
)


class OnnxModel:
    """Finds faces with a network. `model` is a file, a name on a hub, or an address with `sha256`.

    `threshold` is the lowest score, `overlap` how much two boxes may share (intersection over
    union), `size` the input's side where the model leaves it open, `face` the class that
    is a face where there are several.
    """

    name: ClassVar[str] = "onnx"

    def __init__(
        self,
        model: str | float = "",
        sha256: str | float = "",
        threshold: str | float = 0.25,
        overlap: str | float = 0.45,
        size: str | float = USUAL_SIZE,
        face: str | float = "",
    ) -> None:
        """Load the model and ask it once.

        Raises `UsageError` for a bad setting and for what is no such model,
        `MissingComponent` where it cannot be fetched.
        """
        self.threshold = number("threshold", threshold, 0, 1)
        self.overlap = number("overlap", overlap, 0, 1)
        self._model, digest = pinned(str(model), str(sha256))
        weights = weights_file(self._model, digest, "-o onnx.model=").read_bytes()
        self._session = _session(weights, self._model)
        self._sha256 = sha256_of(weights)
        self._width, self._height, self._kind = self._input(whole_number("size", size, 32, 4096))
        self._layout = self._checked_layout()
        self._face = self._face_class(str(face))

    @property
    def settings(self) -> str:
        """For example `face=0 model=0123456789ab overlap=0.45 size=640x640 threshold=0.25`."""
        named = f"{self._model} sha256={self._sha256}"  # what a model on a hub is found by again
        model = named if is_on_hub(self._model) else self._sha256[:12]
        return (
            f"face={self._face} model={model} overlap={self.overlap:g} "
            f"size={self._width}x{self._height} threshold={self.threshold:g}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `ValueError` for anything but height x width x 3 bytes."""
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        scale = min(self._width / part.shape[1], self._height / part.shape[0])
        inner = max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1)
        left, top = (self._width - inner[0]) // 2, (self._height - inner[1]) // 2
        across, down = part.shape[1] / inner[0], part.shape[0] / inner[1]
        answer = self._ask(letterboxed(part, inner, (self._width, self._height), (left, top)))
        for rect, score in suppress_overlaps(
            decode_boxes(answer, self._layout, self._face, self.threshold), self.overlap
        ):
            place = FloatBox(
                (rect.x - left) * across,
                (rect.y - top) * down,
                rect.width * across,
                rect.height * down,
            )
            if all(math.isfinite(edge) for edge in place):
                yield RawFace(place, score)

    def _ask(self, picture: Pixels) -> Array:
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1)[None]).astype(self._kind) / 255
        name = self._session.get_inputs()[0].name
        answer = self._session.run(None, {name: planes.astype(self._kind)})[0]
        return np.asarray(answer, np.float32)

    def _input(self, size: int) -> tuple[int, int, Any]:
        """Width, height and number type that the network takes."""
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] in (1, 2, 4):
            raise self._refused(f"it takes {[(one.name, one.shape) for one in inputs]}")
        height, width = (side if isinstance(side, int) else size for side in shape[2:])
        if not 32 <= min(width, height) <= max(width, height) <= 8192:
            raise self._refused(f"its input is {width} x {height}")
        return width, height, np.float16 if "float16" in inputs[0].type else np.float32

    def _checked_layout(self) -> OutputLayout:
        grey = np.full((self._height, self._width, 3), BARS, np.uint8)
        try:
            answer = self._ask(grey)
        except Exception as error:  # onnxruntime has a dozen kinds, none of them public
            raise self._refused(f"it fails on a grey picture: {error}") from error
        layout = layout_of(answer.shape, self._width, self._height)
        if layout is None:
            shape = " x ".join(str(side) for side in answer.shape)
            raise self._refused(f"its answer has the shape {shape or 'of one number'}")
        if not are_scores(answer, layout):
            raise self._refused("its scores are not between 0 and 1")
        return layout

    def _face_class(self, wanted: str) -> int:
        count = self._layout.classes
        if wanted:
            return whole_number("face", wanted, 0, max(count - 1, 0) or 1000)
        names = _class_names(self._session.get_modelmeta().custom_metadata_map)
        faces = [index for index, name in names.items() if "face" in name.lower()]
        if len(faces) == 1:
            return faces[0]
        if count <= 1 and len(names) <= 1:
            return 0
        known = ", ".join(f"{index} {name}" for index, name in sorted(names.items())[:10])
        raise UsageError(
            f"{self._model} tells {count or len(names)} kinds of things apart"
            + (f": {known}" if known else ""),
            "say which of them is the face, counting from 0: -o onnx.face=0",
        )

    def _refused(self, why: str) -> UsageError:
        return UsageError(f"{self._model} is no face model: {why}", _NO_FACE_MODEL)


def letterboxed(
    part: Pixels, inner: tuple[int, int], outer: tuple[int, int], place: tuple[int, int]
) -> Pixels:
    """Return a part made `inner` large, at `place` in `outer` pixels of grey (width, height)."""
    image = Image.fromarray(np.ascontiguousarray(part)).resize(inner, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", outer, (BARS, BARS, BARS))
    canvas.paste(image, place)
    return np.asarray(canvas)


def _class_names(metadata: dict[str, str]) -> dict[int, str]:
    """Return the classes' names that Ultralytics writes into its models, a Python dict as text."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    pairs = names.items() if isinstance(names, dict) else ()
    return {key: str(name) for key, name in pairs if isinstance(key, int)}


def _session(model: bytes, name: str) -> Any:
    try:
        return onnx_session(model)
    except ValueError as error:
        raise UsageError(f"{name} is no ONNX model: {error}", _NO_FACE_MODEL) from error
