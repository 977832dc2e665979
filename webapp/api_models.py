"""Types of the API's requests and responses, from which its OpenAPI document is made.

Compute processes write responses as bytes, which are passed on without validation. Endpoints that
only the page uses are described in docs/webapp.md.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, RootModel

Pixel = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
Length = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
MarkedBox = Annotated[
    tuple[Pixel, Pixel, Length, Length],
    Field(description="x, y, width, height in pixels of the upright image"),
]


class Boxes(RootModel[list[list[MarkedBox] | None]]):
    """A list of boxes for each file, or null to let the server detect the faces."""


class SentReport(BaseModel, extra="forbid"):
    """A correction: the class (`claimed`) of a box, or of the whole image if `box` is null.

    A report of the kind "removal" asks to remove the image from the dataset; `note` says why.
    """

    kind: Literal["wrong answer", "removal"] = "wrong answer"
    claimed: str = ""
    box: MarkedBox | None = None
    note: str = ""


class Problem(BaseModel):
    """An error (RFC 9457): `reason` is for programs, `detail` and `hint` are for people."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    hint: str


class ImageError(BaseModel):
    """Why one of the images could not be processed."""

    reason: str
    detail: str


class UploadedImage(BaseModel):
    """An uploaded image: its size, or its error."""

    name: str
    width: int | None = None
    height: int | None = None
    error: ImageError | None = None


class PredictedPart(BaseModel):
    """Prediction for a face or a whole image; `answer` is null for "unknown".

    `unfamiliar` is true if the image is unlike the training images: its `similarity` is below
    `unfamiliar_below` (null without such a rule). `found_by` is the detector of the face, "hand"
    for a box from the request.
    """

    box: MarkedBox | None
    score: float | None
    found_by: str | None
    answer: str | None
    similarity: float | None
    has_unknown_rule: bool
    unfamiliar: bool
    unfamiliar_below: float | None
    predictions: list[dict[Literal["label", "confidence"], str | float]]
    nearest: list[dict[Literal["label", "sample", "similarity"], str | float]]


class PredictedImage(UploadedImage):
    """An image with its predictions."""

    parts: list[PredictedPart] | None = None


class PredictionResponse(BaseModel):
    """Predictions for images, and the run that made them."""

    run: str
    images: list[PredictedImage]


class FaceResult(BaseModel):
    """A detected face: box, score and detector."""

    box: MarkedBox
    score: float
    found_by: str


class FaceSearchResult(UploadedImage):
    """An image with its faces."""

    faces: list[FaceResult] | None = None


class FacesResponse(BaseModel):
    """Detected faces of images."""

    images: list[FaceSearchResult]


class ReportResponse(BaseModel):
    """Whether the report is new."""

    new: bool


class Health(BaseModel):
    """Status of the server."""

    status: Literal["ok"]
    run: str
    version: str


class Pong(BaseModel):
    """Reply to a ping."""

    pong: bool


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of error responses, including those of any request."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": schema},
        }
        for status in (*statuses, 400, 401, 421, 429, 500)
    }
