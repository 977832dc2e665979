"""What the API is sent and answers, as types: its description is made from them.

Answers are written by the processes that compute, as bytes, and are not read again on their way.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue, RootModel

Pixel = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
Length = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
MarkedBox = Annotated[
    tuple[Pixel, Pixel, Length, Length],
    Field(description="x, y, width, height of the upright picture"),
]
Details = dict[str, JsonValue]


class Boxes(RootModel[list[list[MarkedBox] | None]]):
    """For each file a list of boxes, or null where the server is to find the faces."""


class SentReport(BaseModel, extra="forbid"):
    """Who it is in truth, in which box (null: the whole picture)."""

    claimed: str
    box: MarkedBox | None = None
    note: str = ""


class SentTakeDown(BaseModel, extra="forbid"):
    """The address that a picture came from, or which it is in words, and why it should go."""

    reason: str
    page: str = ""
    words: str = ""
    contact: str = ""


class Problem(BaseModel):
    """What was refused (RFC 9457): `reason` is one of few, `detail` and `mend` are for people."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    mend: str


class PictureError(BaseModel):
    """Why there is no answer to one picture of several."""

    reason: str
    detail: str


class AnsweredPicture(BaseModel):
    """A picture that was sent: its size, or its error."""

    name: str
    width: int | None = None
    height: int | None = None
    error: PictureError | None = None


class JudgedPart(BaseModel):
    """A face or a whole picture, and who it is; `answer` is null for "unknown".

    `unfamiliar` where that is because it looks like nothing that was learnt. The share of known
    faces that a card promises is of those `found_by` its `detector`; "hand" is a box that was sent.
    """

    box: MarkedBox | None
    score: float | None
    found_by: str | None
    answer: str | None
    familiarity: float | None
    tells_strangers: bool
    unfamiliar: bool
    predictions: list[dict[Literal["label", "confidence"], str | float]]
    nearest: list[dict[Literal["label", "sample", "likeness"], str | float]]


class PictureWithAnswers(AnsweredPicture):
    """A picture with who is in it."""

    parts: list[JudgedPart] | None = None


class PredictionAnswer(BaseModel):
    """Who is in pictures, by which run."""

    run: str
    pictures: list[PictureWithAnswers]


class FaceInPicture(BaseModel):
    """Where a face is, how likely one is there, and which detector found it."""

    box: MarkedBox
    score: float
    found_by: str


class SearchedPicture(AnsweredPicture):
    """A picture with its faces."""

    faces: list[FaceInPicture] | None = None


class FacesFound(BaseModel):
    """Where the faces of pictures are."""

    pictures: list[SearchedPicture]


class Kept(BaseModel):
    """Whether what was sent is new."""

    new: bool


class Classes(BaseModel):
    """Whom the model knows, and how pictures are cut; no `languages` are all."""

    title: str
    languages: list[str]
    sure_from: float
    run: str
    classes: list[str]
    size: int
    cropping: Details
    finder: Literal["browser", "server"]
    box_style: list[float]
    portraits: bool
    on_device: bool
    reports: bool


class ClassFaces(BaseModel):
    """Data URIs of JPEGs: a face of each class, and a picture to try."""

    faces: dict[str, str]
    example: str | None


class DeviceModel(BaseModel):
    """What a device must know to answer as the server does."""

    run: str
    bytes: int
    sha256: str
    classes: list[str]
    shown: list[str]
    size: int
    fit: str
    detector: str
    cut: Details
    unknown_below: float | None
    unfamiliar_below: float | None
    thresholds: Details | None
    scale: Details | None


class PublicCard(BaseModel):
    """What is known of the model; null is not known."""

    run: str
    title: str
    languages: list[str]
    detector: str
    classes: list[Details]
    unknown_below: float | None
    own_threshold: bool
    tells_strangers: bool
    strangers: Details | None
    measured: Details | None
    preset: str | None
    date: str | None
    learnt_from: Details | None
    contact: str | None
    description: str | None
    takes_requests: bool


class Health(BaseModel):
    """Which model is in force."""

    status: Literal["ok"]
    run: str
    version: str


class Pong(BaseModel):
    """An answer at once."""

    pong: bool


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of what may be refused, besides what any request may be."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": schema},
        }
        for status in (*statuses, 400, 401, 421, 429, 500)
    }
