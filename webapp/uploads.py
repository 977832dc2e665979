"""Reading what was sent: files and fields of a form, checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gleanset.records import Box
from gleanset.terminal import replace_controls
from webapp.api_models import MarkedBox
from webapp.computations import Upload
from webapp.guard import OWNER_API
from webapp.problems import RefusedRequest
from webapp.settings import RequestLimits

MAX_NAME_LENGTH = 200
FORM = "multipart/form-data"


def _other_than_a_form(request: Request) -> RefusedRequest | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM or request.url.path.startswith(f"{OWNER_API}/"):  # which takes JSON
        return None
    return RefusedRequest(415, "wrong content type", f"{kind or 'none'}, not {FORM}")


def no_form(error: HTTPException) -> RefusedRequest:
    """Return the refusal of a form that cannot be read, or has too many parts."""
    if error.detail.startswith("Too many files"):
        return RefusedRequest(413, "too many pictures", error.detail)
    return RefusedRequest(400, "not a form", error.detail)


def wrong_field(request: Request, error: RequestValidationError) -> RefusedRequest:
    """Return the refusal of what is no form, or not as its types say."""
    if refused := _other_than_a_form(request):
        return refused
    first = error.errors()[0]
    field = next((str(name) for name in first["loc"][1:2]), "request")
    if field in ("files", "file"):
        return RefusedRequest(422, "no picture", "the form has no file", f"send it as: {field}")
    return RefusedRequest(422, f"wrong {field}", str(first["msg"]))


async def uploads_of(
    files: Sequence[UploadFile],
    boxes: Sequence[Sequence[MarkedBox] | None] | None,
    limits: RequestLimits,
) -> list[Upload]:
    """Return the pictures of a form, with the `boxes` of each. Raises `RefusedRequest`."""
    marked = [None] * len(files) if boxes is None else boxes
    if len(marked) != len(files):
        raise RefusedRequest(422, "wrong boxes", f"{len(marked)} lists for {len(files)} files")
    if any(len(one or ()) > limits.faces for one in marked):
        raise RefusedRequest(413, "too many faces", f"at most {limits.faces} in a picture")
    return [await upload_of(*pair) for pair in zip(files, marked, strict=True)]


def text_of(text: str, longest: int) -> str:
    """Return text from outside without control characters, at most `longest` letters."""
    return replace_controls(text[:longest], "\ufffd")


async def upload_of(file: UploadFile, boxes: Sequence[MarkedBox] | None = None) -> Upload:
    """Return a picture of a form, with its boxes.

    The name that it came under is text for an answer: it never becomes a path.
    """
    name = text_of(file.filename or "", MAX_NAME_LENGTH)
    faces = None if boxes is None else tuple(Box(*box) for box in boxes)
    return Upload(name, await file.read(), faces)
