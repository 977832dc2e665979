"""Reading uploaded forms: files and fields, checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gleanset.records import Box
from gleanset.terminal import replace_controls
from webapp.api_models import MarkedBox
from webapp.computations import Upload
from webapp.guard import ADMIN_API
from webapp.problems import RefusedRequest
from webapp.settings import RequestLimits

MAX_NAME_LENGTH = 200
FORM = "multipart/form-data"


def invalid_form(error: HTTPException) -> RefusedRequest:
    """Return the error for a form that is malformed or has too many parts."""
    if error.detail.startswith("Too many files"):
        return RefusedRequest(413, "too many images", error.detail)
    return RefusedRequest(400, "not a form", error.detail)


def invalid_field(request: Request, error: RequestValidationError) -> RefusedRequest:
    """Return the error for a request that is not a form or has an invalid field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM and not request.url.path.startswith(f"{ADMIN_API}/"):  # its API takes JSON
        return RefusedRequest(415, "wrong content type", f"{kind or 'none'}, not {FORM}")
    first = error.errors()[0]
    field = next((str(name) for name in first["loc"][1:2]), "request")
    if field in ("files", "file"):
        return RefusedRequest(422, "no image", "the form has no file", f"send it as {field}")
    return RefusedRequest(422, f"wrong {field}", str(first["msg"]))


async def read_uploads(
    files: Sequence[UploadFile],
    boxes: Sequence[Sequence[MarkedBox] | None] | None,
    limits: RequestLimits,
) -> list[Upload]:
    """Read the images of a form and the `boxes` of each. Raises `RefusedRequest`."""
    marked = [None] * len(files) if boxes is None else boxes
    if len(marked) != len(files):
        raise RefusedRequest(422, "wrong boxes", f"{len(marked)} lists for {len(files)} files")
    if any(len(image_boxes or ()) > limits.faces for image_boxes in marked):
        raise RefusedRequest(413, "too many faces", f"limit: {limits.faces} per image")
    return [await read_upload(*pair) for pair in zip(files, marked, strict=True)]


def text_of(text: str, max_length: int) -> str:
    """Return the text of a user, truncated and without control characters."""
    return replace_controls(text[:max_length], "\ufffd")


async def read_upload(file: UploadFile, boxes: Sequence[MarkedBox] | None = None) -> Upload:
    """Read an image of a form and its boxes.

    The file name only appears in the response; it never becomes a path.
    """
    name = text_of(file.filename or "", MAX_NAME_LENGTH)
    faces = None if boxes is None else tuple(Box(*box) for box in boxes)
    return Upload(name, await file.read(), faces)
