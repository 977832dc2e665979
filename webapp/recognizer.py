"""Answers to uploaded pictures, by the model in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from baseline.use.model import Model, PictureAnswer
from baseline.use.picture_parts import PicturePart
from baseline.use.predict import part_to_json
from facecrop.detectors.base import Detector
from gleanset.errors import Unreadable
from gleanset.images.cut import within
from gleanset.images.decode import decode
from gleanset.records import HAND, Box, Face
from webapp.box_styles import faces_by_both
from webapp.guard import RefusedRequest
from webapp.served import LoadedModel
from webapp.settings import RequestLimits

Answer = dict[str, Any]
TOP = 5


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of a picture, the name it came under, and the faces that are marked in it.

    `boxes` are in pixels of the upright picture; None where the server is to look.
    """

    name: str
    data: bytes
    boxes: tuple[Box, ...] | None = None


def answers_to(loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits) -> Answer:
    """Return what the model says of pictures, as the JSON of `POST /api/v1/predict`."""
    pictures = [_answer(loaded, upload, limits) for upload in uploads]
    return {"run": loaded.run, "pictures": pictures}


def _answer(loaded: LoadedModel, upload: Upload, limits: RequestLimits) -> Answer:
    """Return the answer to one picture, or why there is none: the others are answered as well."""
    try:
        picture = decode(upload.data, most_pixels=limits.pixels).pixels
        size = {"width": picture.width, "height": picture.height}
        parts = (
            loaded.model.cropping.read.parts(picture)
            if upload.boxes is None
            else _marked(loaded.model, picture, upload.boxes)
        )
    except Unreadable as refused:
        return {"name": upload.name, "error": _refused(refused)}
    if len(parts) > limits.faces:
        many = Unreadable("too many faces", f"{len(parts)}, at most {limits.faces}")
        return {"name": upload.name, "error": _refused(many)}
    told = loaded.answers_to(np.stack([part.pixels for part in parts]), TOP) if parts else []
    shown = [
        part_to_json(part, answer) | {"unfamiliar": _unfamiliar(loaded.model, answer)}
        for part, answer in zip(parts, told, strict=True)
    ]
    return {"name": upload.name, **size, "parts": shown}


def _unfamiliar(model: Model, answer: PictureAnswer) -> bool:
    """Return whether the answer is "unknown" because the picture looks like nothing learnt."""
    least, found = model.facts.answers.unfamiliar_below, answer.familiarity
    return least is not None and found is not None and found < least


def faces_in(loaded: LoadedModel, uploads: Sequence[Upload], limits: RequestLimits) -> Answer:
    """Return where faces are in pictures, as the JSON of `POST /api/v1/faces`.

    Raises `RefusedRequest` for a model that takes pictures whole.
    """
    spec = loaded.model.cropping.read.detector
    if spec is None:
        raise RefusedRequest(409, "no faces", "this model takes pictures whole")
    detector = spec.build()
    return {"pictures": [_faces(detector, upload, limits) for upload in uploads]}


def _faces(detector: Detector, upload: Upload, limits: RequestLimits) -> Answer:
    try:
        picture = decode(upload.data, most_pixels=limits.pixels).pixels
    except Unreadable as refused:
        return {"name": upload.name, "error": _refused(refused)}
    found = faces_by_both(detector, np.asarray(picture))
    return {
        "name": upload.name,
        "width": picture.width,
        "height": picture.height,
        "faces": [{"box": face.box, "score": face.score} for face in found[: limits.faces]],
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
