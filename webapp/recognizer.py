"""Computations on uploaded images: predictions, face detection, JPEG conversion."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, starmap
from typing import Any, NamedTuple

import msgspec
import numpy as np
from PIL.Image import Image

from baseline.use.crops import ImagePart
from baseline.use.model import ImagePrediction, Model
from baseline.use.predict import part_to_json
from gleanset.command_result import JsonDict
from gleanset.errors import Unreadable
from gleanset.images.cropping import clip_box, encode_jpeg
from gleanset.images.decode import decode
from gleanset.records import HAND, Box, Face
from gleanset.web.problems import RefusedRequest, unreadable_error
from webapp.box_styles import detect_for_page
from webapp.computations import Upload
from webapp.loaded_model import LoadedModel
from webapp.settings import RequestLimits, ServeSettings

TOP_CLASSES = 5
MAX_JPEG_SIDE = 4096
"""Pixels of the longer side; the page scales larger images anyway."""


class _ImageResult(NamedTuple):
    """The parts of an image with what was found there, or why it cannot be read."""

    name: str
    width: int = 0
    height: int = 0
    parts: Sequence[Any] = ()
    error: Unreadable | None = None

    def to_json(self, key: str, parts: Iterable[JsonDict]) -> JsonDict:
        """Return the result of an image, with its parts under `key`."""
        if self.error is not None:
            return {
                "name": self.name,
                "error": {"reason": self.error.reason, "detail": self.error.detail},
            }
        return {
            "name": self.name,
            "width": self.width,
            "height": self.height,
            key: list(parts),
        }


def predict(
    model: LoadedModel, requests: Sequence[Sequence[Upload]], settings: ServeSettings
) -> list[bytes]:
    """Predict for images; return the JSON of `POST /api/v1/predict`."""
    return list(
        map(msgspec.json.encode, predict_values(model, requests, settings.limits))
    )


def _find_all_parts(
    model: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits
) -> list[_ImageResult]:
    reader = model.predictor.cropping.reader

    def find_parts(image: Image, upload: Upload) -> Sequence[ImagePart]:
        if upload.boxes is None:
            parts = reader.parts(image, detect_for_page)
        else:
            parts = _crop_boxes(model.predictor, image, upload.boxes)
        if len(parts) > limits.faces:
            raise Unreadable(
                "too many faces",
                f"{len(parts)}, limit: {limits.faces}",
            )
        return parts

    return list(_process(uploads, limits, find_parts))


def _process(
    uploads: Sequence[Upload],
    limits: RequestLimits,
    search: Callable[[Image, Upload], Sequence[Any]],
) -> Iterator[_ImageResult]:
    """Decode and search each image; an error concerns only its own image.

    Raises `RefusedRequest` for one that is alone.
    """
    remaining_pixels = limits.all_pixels
    for upload in uploads:
        try:
            image = _decode(upload, min(limits.pixels, remaining_pixels))
            remaining_pixels -= image.width * image.height
            parts = search(image, upload)
        # The memory of a compute process is limited.
        except MemoryError:
            error = Unreadable("too large", "not enough memory")
            yield _ImageResult(upload.name, error=error)
        except Unreadable as error:
            yield _ImageResult(upload.name, error=error)
        else:
            yield _ImageResult(
                upload.name,
                image.width,
                image.height,
                parts,
            )


def _decode(upload: Upload, max_pixels: int) -> Image:
    """Decode an image. Raises `RefusedRequest` for one that is alone, else `Unreadable`."""
    try:
        return decode(upload.data, max_pixels=max_pixels).pixels
    except Unreadable as error:
        if upload.is_alone:
            raise unreadable_error(error) from error
        raise


def predict_values(
    model: LoadedModel, requests: Sequence[Sequence[Upload]], limits: RequestLimits
) -> list[JsonDict]:
    """Return the responses of `predict` as values."""
    images_by_request = [
        _find_all_parts(model, uploads, limits) for uploads in requests
    ]
    pixels = []
    for image in chain.from_iterable(images_by_request):
        pixels += [part.pixels for part in image.parts]

    # All parts at once, then each image takes the answers to its own.
    answers: Iterator[ImagePrediction] = iter(())
    if pixels:
        answers = iter(model.predict_pixels(np.stack(pixels), TOP_CLASSES))

    def take_answers(image: _ImageResult) -> JsonDict:
        # Not strict: the remaining answers are those of the next images.
        pairs = zip(image.parts, answers, strict=False)
        return image.to_json("parts", starmap(_predicted_part_to_json, pairs))

    source = {"run": model.run, "model_version": model.version}
    return [
        source | {"images": list(map(take_answers, images))}
        for images in images_by_request
    ]


def _predicted_part_to_json(part: ImagePart, answer: ImagePrediction) -> JsonDict:
    threshold = answer.unfamiliar_below
    is_unfamiliar = False
    if threshold is not None and answer.similarity is not None:
        is_unfamiliar = answer.similarity < threshold
    return part_to_json(part, answer) | {
        "unfamiliar": is_unfamiliar,
        "unfamiliar_below": threshold,
    }


def find_faces(
    model: LoadedModel, uploads: Sequence[Upload], settings: ServeSettings
) -> bytes:
    """Detect faces in images; return the JSON of `POST /api/v1/faces`.

    Raises `RefusedRequest` for a model of whole images.
    """
    spec = model.predictor.cropping.reader.detector
    if spec is None:
        raise RefusedRequest(
            409,
            "no faces",
            "this model classifies whole images",
            "send images to /api/v1/predict",
        )

    detector = spec.build()
    limits = settings.limits

    # `_process` passes the upload too: only the search for predictions uses its boxes.
    def find_best_faces(image: Image, _: Upload) -> Sequence[JsonDict]:
        faces = detect_for_page(detector, np.asarray(image))
        faces.sort(key=lambda face: -face.score)
        return [
            {
                "box": face.box,
                "score": face.score,
                "found_by": face.detector,
            }
            for face in faces[: limits.faces]
        ]

    return msgspec.json.encode(
        {
            "model_version": model.version,
            "images": [
                image.to_json("faces", image.parts)
                for image in _process(uploads, limits, find_best_faces)
            ],
        }
    )


def _crop_boxes(model: Model, image: Image, boxes: Sequence[Box]) -> list[ImagePart]:
    """Crop the faces in boxes of a request as in training. Raises `Unreadable`."""
    faces = []
    for box in boxes:
        box_in_image = clip_box(box, image.width, image.height)
        if box_in_image is None:
            raise Unreadable(
                "box outside the image",
                f"{list(box)} in {image.width} x {image.height} pixels",
            )
        faces.append(Face(HAND, box_in_image, score=1.0))
    return model.cropping.reader.faces(np.asarray(image), faces)


def convert_to_jpeg(_: LoadedModel, upload: Upload, settings: ServeSettings) -> bytes:
    """Convert an image to JPEG, which every browser shows. Raises `Unreadable`.

    A computation of `webapp/computations.py`: all of them get the model, which is not used here.
    """
    pixels = decode(
        upload.data, MAX_JPEG_SIDE, max_pixels=settings.limits.pixels
    ).pixels
    pixels.thumbnail((MAX_JPEG_SIDE, MAX_JPEG_SIDE))
    return encode_jpeg(pixels)
