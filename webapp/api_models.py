"""What the API is sent and answers, as types: its description is made from them.

Answers are written by the processes that compute, as bytes, and are not read again on their way.
What only the page asks for is described in docs/webapp.md.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

Pixel = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
Length = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
MarkedBox = Annotated[
    tuple[Pixel, Pixel, Length, Length],
    Field(description="x, y, width, height of the upright picture"),
]


class Boxes(RootModel[list[list[MarkedBox] | None]]):
    """For each file a list of boxes, or null where the server is to find the faces."""


class SentReport(BaseModel, extra="forbid"):
    """Who it is in truth (`claimed`), in which box (null: the whole picture).

    Of the kind "removal": the picture should leave the dataset; `note` says why.
    """

    kind: Literal["wrong answer", "removal"] = "wrong answer"
    claimed: str = ""
    box: MarkedBox | None = None
    note: str = ""


class Problem(BaseModel):
    """What was refused (RFC 9457): `reason` is one of few, `detail` and `hint` are for people."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    fix: str


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


class Health(BaseModel):
    """Which model answers."""

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
