"""Answers to uploaded pictures, by the model in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from baseline.use.model import Model, PictureAnswer
from baseline.use.picture_parts import PicturePart
from baseline.use.predict import part_to_json
from facecrop.detectors.base import Detector
from gleanset.errors import Unreadable
from gleanset.images.cut import encode, within
from gleanset.images.decode import decode
from gleanset.records import HAND, Box, Face
from webapp.box_styles import faces_by_both
from webapp.computations import Upload
from webapp.loaded_model import LoadedModel
from webapp.problems import RefusedRequest
from webapp.settings import RequestLimits, ServeSettings

Answer = dict[str, Any]
ENCODE = msgspec.json.encode
TOP = 5
JPEG_SIDE = 4096
"""Pixels of the longer side of a JPEG for a browser: the page itself scales larger pictures."""
SMALL_PIXELS = 1_000_000
"""Of a picture that is judged together with those of other requests."""


@dataclass(frozen=True, slots=True)
class _CutPicture:
    """A picture, of `width` x `height` pixels, as the parts that are judged; or what is wrong."""

    name: str
    width: int = 0
    height: int = 0
    parts: Sequence[PicturePart] = ()
    error: Unreadable | None = None


def predict(
    loaded: LoadedModel, requests: Sequence[Sequence[Upload]], settings: ServeSettings
) -> list[bytes | None]:
    """Return what the model says of pictures, as the JSON of `POST /api/v1/predict`.

    Of several requests at a time, None for one with a large picture: the others do not wait.
    """
    together, limits = len(requests) > 1, settings.limits
    bounds = msgspec.structs.replace(limits, pixels=SMALL_PIXELS) if together else limits
    answers = _judged(loaded, [_cut_all(loaded, uploads, bounds) for uploads in requests])
    return [None if together and _has_large(answer) else ENCODE(answer) for answer in answers]


def answers_to(loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits) -> Answer:
    """Return the same of one request, as values."""
    return _judged(loaded, [_cut_all(loaded, uploads, limits)])[0]


def _has_large(answer: Answer) -> bool:
    errors = (picture.get("error") for picture in answer["pictures"])
    return any(error is not None and error["reason"] == "too large" for error in errors)


def _cut_all(
    loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits
) -> list[_CutPicture]:
    """Return pictures as parts. Those of a request have `all_pixels` together."""
    left, cut = limits.all_pixels, []
    for upload in uploads:
        cut.append(picture := _cut(loaded, upload, limits, left))
        left -= picture.width * picture.height
    return cut


def _cut(
    loaded: LoadedModel, upload: Upload, limits: RequestLimits, most_pixels: int
) -> _CutPicture:
    """Return one picture as parts, or what is wrong with it: the others are answered as well."""
    read = loaded.model.cropping.read
    try:
        picture = decode(upload.data, most_pixels=min(limits.pixels, most_pixels)).pixels
        parts = (
            read.parts(picture, faces_by_both)
            if upload.boxes is None
            else _marked(loaded.model, picture, upload.boxes)
        )
    except MemoryError:
        return _CutPicture(upload.name, error=Unreadable("too large", "not enough memory"))
    except Unreadable as refused:
        return _CutPicture(upload.name, error=refused)
    if len(parts) > limits.faces:
        many = Unreadable("too many faces", f"{len(parts)}, at most {limits.faces}")
        return _CutPicture(upload.name, error=many)
    return _CutPicture(upload.name, picture.width, picture.height, parts)


def _judged(loaded: LoadedModel, requests: Sequence[Sequence[_CutPicture]]) -> list[Answer]:
    """Return what the model says of the pictures of requests."""
    pictures = [picture for cut in requests for picture in cut]
    pixels = [part.pixels for picture in pictures for part in picture.parts]
    answers = iter(loaded.answers_to(np.stack(pixels), TOP) if pixels else ())
    shown = iter([_shown(loaded.model, picture, answers) for picture in pictures])
    return [{"run": loaded.run, "pictures": [next(shown) for _ in cut]} for cut in requests]


def _shown(model: Model, picture: _CutPicture, answers: Iterator[PictureAnswer]) -> Answer:
    if picture.error is not None:
        return {"name": picture.name, "error": _refused(picture.error)}
    shown = [
        part_to_json(part, answer) | {"unfamiliar": _unfamiliar(model, answer)}
        # The next ones are those of another picture.
        for part, answer in zip(picture.parts, answers, strict=False)
    ]
    size = {"width": picture.width, "height": picture.height}
    return {"name": picture.name, **size, "parts": shown}


def _unfamiliar(model: Model, answer: PictureAnswer) -> bool:
    """Return whether the answer is "unknown" because the picture looks like nothing learnt."""
    least, found = model.facts.answers.unfamiliar_below, answer.familiarity
    return least is not None and found is not None and found < least


def find_faces(
    loaded: LoadedModel, requests: Sequence[Sequence[Upload]], settings: ServeSettings
) -> list[bytes]:
    """Return where faces are in pictures, as the JSON of `POST /api/v1/faces`.

    Raises `RefusedRequest` for a model that takes pictures whole.
    """
    return [ENCODE(_faces_in(loaded, uploads, settings.limits)) for uploads in requests]


def _faces_in(loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits) -> Answer:
    spec = loaded.model.cropping.read.detector
    if spec is None:
        raise RefusedRequest(409, "no faces", "this model takes pictures whole")
    detector, left, pictures = spec.build(), limits.all_pixels, []
    for upload in uploads:
        pictures.append(answer := _faces(detector, upload, limits, left))
        left -= answer.get("width", 0) * answer.get("height", 0)
    return {"pictures": pictures}


def _faces(detector: Detector, upload: Upload, limits: RequestLimits, most_pixels: int) -> Answer:
    try:
        picture = decode(upload.data, most_pixels=min(limits.pixels, most_pixels)).pixels
        faces = sorted(faces_by_both(detector, np.asarray(picture)), key=lambda face: -face.score)
    except MemoryError:
        return {"name": upload.name, "error": {"reason": "too large", "detail": "no memory"}}
    except Unreadable as refused:
        return {"name": upload.name, "error": _refused(refused)}
    return {
        "name": upload.name,
        "width": picture.width,
        "height": picture.height,
        "faces": [
            {"box": face.box, "score": face.score, "found_by": face.detector}
            for face in faces[: limits.faces]
        ],
    }


def _marked(model: Model, picture: Any, boxes: Sequence[Box]) -> list[PicturePart]:
    """Return the marked faces, cut as the model learnt them. Raises `Unreadable`."""
    inside = [within(box, picture.width, picture.height) for box in boxes]
    if outside := [box for box, part in zip(boxes, inside, strict=True) if part is None]:
        said = f"{list(outside[0])} in {picture.width} x {picture.height} pixels"
        raise Unreadable("box outside the picture", said)
    faces = [Face(HAND, box, 1.0) for box in inside if box is not None]
    return model.cropping.read.faces(np.asarray(picture), faces)


def _refused(refused: Unreadable) -> Answer:
    return {"reason": refused.reason, "detail": refused.detail}


def jpegs_of(_: LoadedModel, requests: Sequence[Upload], settings: ServeSettings) -> list[bytes]:
    """Return pictures as JPEGs, which every browser shows. Raises `RefusedRequest`."""
    return [_jpeg(upload, settings.limits) for upload in requests]


def _jpeg(upload: Upload, limits: RequestLimits) -> bytes:
    try:
        pixels = decode(upload.data, JPEG_SIDE, most_pixels=limits.pixels).pixels
    except Unreadable as refused:
        raise RefusedRequest(422, refused.reason, refused.detail) from refused
    pixels.thumbnail((JPEG_SIDE, JPEG_SIDE))
    return encode(pixels)
