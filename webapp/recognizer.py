"""Answers to uploaded pictures, by the model in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from PIL.Image import Image

from baseline.use.crops import PicturePart
from baseline.use.model import Model, PictureAnswer
from baseline.use.predict import part_to_json
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


@dataclass(frozen=True, slots=True)
class _SearchedPicture:
    name: str
    width: int = 0
    height: int = 0
    parts: Sequence[Any] = ()
    error: Unreadable | None = None

    def answer(self, name: str, parts: Iterable[Answer]) -> Answer:
        """Return the JSON of it, with its parts under a name."""
        if self.error is not None:
            error = {"reason": self.error.reason, "detail": self.error.detail}
            return {"name": self.name, "error": error}
        return {"name": self.name, "width": self.width, "height": self.height, name: list(parts)}


def predict(
    loaded: LoadedModel, requests: Sequence[Sequence[Upload]], settings: ServeSettings
) -> list[bytes]:
    """Return what the model says of pictures, as the JSON of `POST /api/v1/predict`."""
    return [ENCODE(answer) for answer in _judged(loaded, requests, settings.limits)]


def answers_to(loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits) -> Answer:
    """Return the same of one request, as values."""
    return _judged(loaded, [uploads], limits)[0]


def _cut_all(
    loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits
) -> list[_SearchedPicture]:
    read = loaded.model.cropping.read

    def parts_of(picture: Image, upload: Upload) -> Sequence[PicturePart]:
        if upload.boxes is None:
            parts = read.parts(picture, faces_by_both)
        else:
            parts = _marked(loaded.model, picture, upload.boxes)
        if len(parts) > limits.faces:
            raise Unreadable("too many faces", f"{len(parts)}, at most {limits.faces}")
        return parts

    return list(_searched(uploads, limits, parts_of))


def _searched(
    uploads: Sequence[Upload],
    limits: RequestLimits,
    search: Callable[[Image, Upload], Sequence[Any]],
) -> Iterator[_SearchedPicture]:
    """Yield each picture with its parts, or what is wrong with it: the others are answered as well.

    Those of a request have `all_pixels` together.
    """
    left = limits.all_pixels
    for upload in uploads:
        try:
            picture = decode(upload.data, most_pixels=min(limits.pixels, left)).pixels
            left -= picture.width * picture.height
            parts = search(picture, upload)
            yield _SearchedPicture(upload.name, picture.width, picture.height, parts)
        except MemoryError:
            yield _SearchedPicture(upload.name, error=Unreadable("too large", "not enough memory"))
        except Unreadable as refused:
            yield _SearchedPicture(upload.name, error=refused)


def _judged(
    loaded: LoadedModel, requests: Sequence[Sequence[Upload]], limits: RequestLimits
) -> list[Answer]:
    cut = [_cut_all(loaded, uploads, limits) for uploads in requests]
    pictures = list(chain.from_iterable(cut))
    pixels = [part.pixels for picture in pictures for part in picture.parts]
    answers = iter(loaded.answers_to(np.stack(pixels), TOP) if pixels else ())

    def judged(picture: _SearchedPicture) -> Answer:
        # The next answers are those of another picture.
        pairs = zip(picture.parts, answers, strict=False)
        return picture.answer("parts", (_part(loaded.model, *pair) for pair in pairs))

    return [{"run": loaded.run, "pictures": list(map(judged, own))} for own in cut]


def _part(model: Model, part: PicturePart, answer: PictureAnswer) -> Answer:
    least, found = model.facts.answers.unfamiliar_below, answer.familiarity
    unfamiliar = least is not None and found is not None and found < least
    return part_to_json(part, answer) | {"unfamiliar": unfamiliar}


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
    detector = spec.build()

    def surest_faces(picture: Image, _: Upload) -> Sequence[Face]:
        faces = faces_by_both(detector, np.asarray(picture))
        return sorted(faces, key=lambda face: -face.score)[: limits.faces]

    pictures = _searched(uploads, limits, surest_faces)
    return {
        "pictures": [picture.answer("faces", map(_face, picture.parts)) for picture in pictures]
    }


def _face(face: Face) -> Answer:
    return {"box": face.box, "score": face.score, "found_by": face.detector}


def _marked(model: Model, picture: Image, boxes: Sequence[Box]) -> list[PicturePart]:
    """Return the marked faces, cut as the model learnt them. Raises `Unreadable`."""
    inside = [within(box, picture.width, picture.height) for box in boxes]
    if outside := [box for box, part in zip(boxes, inside, strict=True) if part is None]:
        said = f"{list(outside[0])} in {picture.width} x {picture.height} pixels"
        raise Unreadable("box outside the picture", said)
    faces = [Face(HAND, box, 1.0) for box in inside if box is not None]
    return model.cropping.read.faces(np.asarray(picture), faces)


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
