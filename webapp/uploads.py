"""Reading what was sent: files and fields of a form, checked before anything is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gleanset.records import Box
from webapp.guard import RefusedRequest
from webapp.recognizer import Upload
from webapp.settings import RequestLimits

LONGEST_NAME = 200
MOST_FIELDS = 10
T = TypeVar("T")
BoxList = list[tuple[int, int, int, int]]
FORM = "multipart/form-data"


async def form_of(request: Request, limits: RequestLimits) -> FormData:
    """Return the form of a request. Raises `RefusedRequest`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise RefusedRequest(415, "wrong content type", f"{kind or 'none'}, not {FORM}")
    try:
        return await request.form(max_files=limits.pictures, max_fields=MOST_FIELDS)
    except HTTPException as error:
        if str(error.detail).startswith("Too many files"):
            raise _too_many(limits) from error
        raise RefusedRequest(400, "not a form", str(error.detail)) from error


def _too_many(limits: RequestLimits) -> RefusedRequest:
    return RefusedRequest(413, "too many pictures", f"at most {limits.pictures} a request")


async def uploads_of(form: FormData, limits: RequestLimits) -> list[Upload]:
    """Return the pictures of a form: its `files`, with the `boxes` of each.

    Raises `RefusedRequest`.
    """
    files = [one for one in form.getlist("files") if isinstance(one, UploadFile)]
    if not files:
        raise RefusedRequest(422, "no picture", "the form has no file", "send them as: files")
    boxes = _boxes(form.get("boxes"), len(files), limits.faces)
    return [
        Upload(_name(file), await file.read(), marked)
        for file, marked in zip(files, boxes, strict=True)
    ]


async def upload_of(form: FormData) -> Upload:
    """Return the one picture of a form: its `file`. Raises `RefusedRequest`."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise RefusedRequest(422, "no picture", "the form has no file", "send it as: file")
    return Upload(_name(file), await file.read())


def _boxes(text: Any, files: int, most: int) -> Sequence[tuple[Box, ...] | None]:
    if text is None:
        return [None] * files
    lists = field_of(text, list[BoxList | None], "boxes")
    if len(lists) != files:
        raise RefusedRequest(422, "wrong boxes", f"{len(lists)} lists for {files} files")
    if any(len(one or ()) > most for one in lists):
        raise RefusedRequest(413, "too many faces", f"at most {most} in a picture")
    if any(min(box[2:]) < 1 for one in lists for box in one or ()):
        raise RefusedRequest(422, "wrong boxes", "a box has no area")
    return [None if one is None else tuple(Box(*box) for box in one) for one in lists]


def field_of(text: Any, shape: type[T], name: str) -> T:
    """Return a field of a form that is JSON. Raises `RefusedRequest`."""
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise RefusedRequest(422, f"wrong {name}", str(error)) from error


def _name(file: UploadFile) -> str:
    """Return the name a file came under, as text for an answer: it never becomes a path."""
    return text_of(file.filename or "", LONGEST_NAME)


def text_of(text: str, longest: int) -> str:
    """Return text from outside without control characters, at most `longest` letters."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:longest])
