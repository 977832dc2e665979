"""YOLO-style face models in ONNX format, such as the anime face models of deepghs.

The image is letterboxed into the network's input, the output is decoded, and overlapping boxes are
suppressed (NMS). Three output layouts are supported and distinguished by their shape:

- YOLOv8 and later: 1 x (4 + classes) x boxes. Center, size, class scores.
- YOLOv5: 1 x boxes x (5 + classes). Center, size, objectness, class scores.
- YOLOv10, with NMS in the network: 1 x boxes x 6. Two corners, score, class.

Coordinates are pixels of the network's input.
"""

import ast
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from facecrop.detectors.base import parse_integer, parse_number
from facecrop.detectors.tiling import FloatBox, RawFace, TiledDetector
from facecrop.detectors.weights import find_weights
from gleanset.arrays import Float32Array, Pixels
from gleanset.errors import UsageError
from gleanset.files.hub import has_hub_prefix, pin_hub_name
from gleanset.files.store import hash_bytes
from gleanset.work.onnx_session import open_onnx_session

STRIDES = (8, 16, 32)
"""Strides in pixels of the three feature maps of these networks."""

ANCHORS = 3
"""Boxes per location in YOLOv5; later versions have one."""


class OutputLayout(NamedTuple):
    """Name ("v8", "v5" or "end": NMS in the network), and the number of classes (0: unknown)."""

    name: str
    classes: int


def detect_layout(
    shape: tuple[int, ...], width: int, height: int
) -> OutputLayout | None:
    """Return the layout of an output for this input size; None: unknown."""
    if len(shape) != 3 or shape[0] != 1:
        return None

    # Each cell of a feature map of each stride is a location. The shapes are in the description of
    # this module: 4 coordinates, and 5 with objectness, precede the classes.
    _, rows, columns = shape
    locations = sum((width // stride) * (height // stride) for stride in STRIDES)
    if columns == locations and rows > 4:
        return OutputLayout("v8", classes=rows - 4)
    if rows == locations * ANCHORS and columns > 5:
        return OutputLayout("v5", classes=columns - 5)
    # NMS in the network leaves fewer boxes than locations.
    if columns == 6 and rows < locations:
        return OutputLayout("end", classes=0)
    return None


def decode_boxes(
    output: Float32Array, layout: OutputLayout, face_class: int, threshold: float
) -> list[RawFace]:
    """Return boxes of a class scoring at least `threshold`, in input pixels."""
    # The columns of each layout are in the description of this module.
    rows = _box_rows(output, layout)
    make_box = _box_from_center
    if layout.name == "end":
        make_box = _box_from_corners
        rows = rows[rows[:, 5].round() == face_class]
        scores = rows[:, 4]
    elif layout.name == "v5":
        # Objectness times the probability of the class.
        scores = rows[:, 4] * rows[:, 5 + face_class]
    else:
        scores = rows[:, 4 + face_class]

    is_face = scores >= threshold
    return [
        RawFace(make_box(row), float(score))
        for row, score in zip(rows[is_face], scores[is_face], strict=True)
    ]


def suppress_overlaps(faces: list[RawFace], max_iou: float) -> list[RawFace]:
    """Suppress boxes that overlap a better one by more than `max_iou` (NMS)."""
    import cv2  # slow to import

    rects = [face.rect for face in faces]
    scores = [face.score for face in faces]
    # The minimum score is 0: these faces have passed a threshold.
    indices = cv2.dnn.NMSBoxes(rects, scores, 0.0, max_iou)
    return [faces[int(number)] for number in indices]


def are_scores(output: Float32Array, layout: OutputLayout) -> bool:
    """Return whether the columns of scores are in 0..1, and all numbers finite."""
    rows = _box_rows(output, layout)
    scores = rows[:, 4:]
    if layout.name == "end":
        scores = scores[:, :1]  # the last column is the class

    # Rounding may leave 0..1 a little.
    in_range = (scores >= -0.001) & (scores <= 1.001)
    return bool(np.isfinite(rows).all() and in_range.all())


def _box_rows(output: Float32Array, layout: OutputLayout) -> Float32Array:
    """Return an output with one row per box (boxes x columns)."""
    rows: Float32Array = output[0]
    return rows.T if layout.name == "v8" else rows


def _box_from_center(row: Float32Array) -> FloatBox:
    x, y, width, height = row[:4].tolist()
    return FloatBox(x - width / 2, y - height / 2, width, height)


def _box_from_corners(row: Float32Array) -> FloatBox:
    left, top, right, bottom = row[:4].tolist()
    return FloatBox(left, top, right - left, bottom - top)


DEFAULT_SIZE = 640
"""Side in pixels of an input without a fixed size."""

BAR_GRAY = 114
"""Gray level of the letterbox bars in training."""

_FIX_MODEL = (
    "use a YOLO detection model in one file, such as those of facecrop detectors"
)


class OnnxModel(TiledDetector):
    """Finds faces with a network. `model` is a file, a hub name, or a URL with `sha256`.

    `threshold` is the minimum score, `overlap` the maximum IoU of two boxes, `size` the side of an
    input without a fixed size, `face` the number of the class of faces.
    """

    name = "onnx"

    def __init__(
        self,
        model: str | float = "",
        sha256: str | float = "",
        threshold: str | float = 0.25,
        overlap: str | float = 0.45,
        size: str | float = DEFAULT_SIZE,
        face: str | float = "",
    ):
        """Load the model and test it on an empty image.

        Raises `UsageError` for an invalid setting or model, `MissingComponent` if a download fails.
        """
        self.threshold = parse_number("threshold", threshold, 0, 1)
        self.overlap = parse_number("overlap", overlap, 0, 1)
        self._model, digest = pin_hub_name(str(model), str(sha256))
        weights = find_weights(self._model, digest, "onnx:model=FILE").read_bytes()
        self._session = _open_session(weights, self._model)
        self._sha256 = hash_bytes(weights)
        self._read_input(parse_integer("size", size, 32, 4096))
        self._layout = self._test_layout()
        self._face = self._choose_face_class(str(face))

    @property
    def settings(self) -> str:
        """For example `face=0 model=0123456789ab overlap=0.45 size=640x640 threshold=0.25`."""
        model = self._sha256[:12]
        if has_hub_prefix(self._model):
            model = f"{self._model} sha256={self._sha256}"
        return (
            f"face={self._face} model={model} overlap={self.overlap:g} "
            f"size={self._width}x{self._height} threshold={self.threshold:g}"
        )

    def _find(self, tile: Pixels) -> Iterator[RawFace]:
        # Letterboxing: the tile keeps its aspect ratio and is centered between gray bars.
        height, width = tile.shape[:2]
        scale = min(self._width / width, self._height / height)
        inner_width = max(round(width * scale), 1)
        inner_height = max(round(height * scale), 1)
        left = (self._width - inner_width) // 2
        top = (self._height - inner_height) // 2

        image = Image.fromarray(np.ascontiguousarray(tile))
        inner_size = (inner_width, inner_height)
        canvas = Image.new(
            "RGB",
            (self._width, self._height),
            (BAR_GRAY,) * 3,
        )
        canvas.paste(
            image.resize(inner_size, Image.Resampling.BILINEAR),
            (left, top),
        )
        output = self._run(np.asarray(canvas))

        # Back from pixels of the canvas to pixels of the tile.
        x_scale = width / inner_width
        y_scale = height / inner_height
        faces = decode_boxes(
            output,
            self._layout,
            self._face,
            self.threshold,
        )
        for rect, score, *_ in suppress_overlaps(faces, self.overlap):
            box = FloatBox(
                (rect.x - left) * x_scale,
                (rect.y - top) * y_scale,
                rect.width * x_scale,
                rect.height * y_scale,
            )
            if all(map(math.isfinite, box)):
                yield RawFace(box, score)

    def _run(self, image: Pixels) -> Float32Array:
        """Return the output for an image (height x width x 3) of the input's size."""
        # The input is 1 x 3 x height x width, in 0..1.
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
        values = planes.astype(self._number_type) / 255
        name = self._session.get_inputs()[0].name
        return np.asarray(self._session.run(None, {name: values})[0], np.float32)

    def _read_input(self, size: int) -> None:
        """Set width, height and number type; `size` is the side of an input of any size."""
        inputs = self._session.get_inputs()
        shape = inputs[0].shape  # batch, channels, height, width
        # A size in the shape is a number, or a name if any size fits. One, two or four channels do
        # not fit RGB.
        if len(inputs) != 1 or len(shape) != 4 or shape[1] in (1, 2, 4):
            tensors = [(tensor.name, tensor.shape) for tensor in inputs]
            raise self._invalid(f"its inputs are {tensors}")

        # Networks of any input size get `size`.
        height, width = (side if isinstance(side, int) else size for side in shape[2:])
        if min(width, height) < 32 or max(width, height) > 8192:
            raise self._invalid(f"its input is {width} x {height}")
        self._width: int = width
        self._height: int = height
        is_half = "float16" in inputs[0].type
        self._number_type: Any = np.float16 if is_half else np.float32

    def _test_layout(self) -> OutputLayout:
        gray = np.full((self._height, self._width, 3), BAR_GRAY, np.uint8)
        try:
            output = self._run(gray)
        except Exception as error:  # the error classes of onnxruntime are not public
            raise self._invalid(f"it fails on a gray image: {error}") from error

        layout = detect_layout(output.shape, self._width, self._height)
        if layout is None:
            shape = " x ".join(str(side) for side in output.shape)
            raise self._invalid(f"its output has the shape {shape or 'of a scalar'}")
        if not are_scores(output, layout):
            raise self._invalid("its scores are not between 0 and 1")
        return layout

    def _choose_face_class(self, setting: str) -> int:
        """Return the number of the class of faces. Raises `UsageError` if it is not clear."""
        count = self._layout.classes
        if setting:
            # The number of classes is unknown (0) with NMS in the network: any number up to 1000.
            return parse_integer("face", setting, 0, count - 1 if count else 1000)

        names = _read_class_names(self._session.get_modelmeta().custom_metadata_map)
        faces = [number for number, name in names.items() if "face" in name.lower()]
        if len(faces) == 1:
            return faces[0]
        # The only class needs no name.
        if count <= 1 and len(names) <= 1:
            return 0

        description = f"{self._model} has {count or len(names)} classes"
        if names:
            texts = [f"{number} {name}" for number, name in sorted(names.items())]
            description += f": {', '.join(texts[:10])}"
        raise UsageError(
            description,
            "choose the class of faces by its number: onnx:model=FILE,face=0",
        )

    def _invalid(self, reason: str) -> UsageError:
        return UsageError(
            f"{self._model} is not a face model: {reason}",
            _FIX_MODEL,
        )


def _read_class_names(metadata: dict[str, str]) -> dict[int, str]:
    """Return an Ultralytics model's class names, stored as a Python literal."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    pairs = names.items() if isinstance(names, dict) else ()
    return {key: str(name) for key, name in pairs if isinstance(key, int)}


def _open_session(model: bytes, name: str) -> Any:
    try:
        return open_onnx_session(model)
    except ValueError as error:
        raise UsageError(
            f"{name} is not an ONNX model: {error}",
            _FIX_MODEL,
        ) from error
