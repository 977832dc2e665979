"""Reading uploaded images: forms, JSON with base64, and plain image files.

Everything is checked before an image is decoded. File names only appear in responses; they never
become paths.
"""

import base64
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from gleanset.records import Box
from gleanset.terminal import replace_controls
from gleanset.web.json_bodies import JSON, parse_json
from gleanset.web.problems import RefusedRequest
from webapp.api_models import Boxes, EncodedImage, ImagesRequest, MarkedBox
from webapp.computations import Upload
from webapp.settings import RequestLimits

FORM = "multipart/form-data"
MAX_NAME_LENGTH = 200
MAX_FORM_FIELDS = 10
BOXES_HINT = "send a list of [x, y, width, height], or null, for each file"
IMAGES_HINT = 'send {"images": [{"data": "<base64 of a file>"}]}'


async def read_images(request: Request, limits: RequestLimits) -> list[Upload]:
    """Read the images of a request and the boxes of each. Raises `RefusedRequest`."""
    kind = _get_content_type(request)
    if kind == JSON:
        content = parse_json(
            await request.body(),
            ImagesRequest,
            "images",
            IMAGES_HINT,
        )
        uploads = [
            _decode(image, number) for number, image in enumerate(content.images)
        ]
    elif kind.startswith("image/"):
        uploads = [Upload("", await request.body(), is_alone=True)]
    elif kind == FORM:
        uploads = await _read_form_images(request, limits.images)
    else:
        raise _wrong_type_error(
            kind,
            f"{FORM}, {JSON} or image/jpeg",
        )

    if not uploads:
        raise RefusedRequest(422, "no image", "`images` is empty", IMAGES_HINT)
    if len(uploads) > limits.images:
        raise RefusedRequest(
            413,
            "too many images",
            f"limit: {limits.images} per request",
            "send several requests",
        )
    if any(len(upload.boxes or ()) > limits.faces for upload in uploads):
        raise RefusedRequest(
            413,
            "too many faces",
            f"limit: {limits.faces} per image",
            "send the boxes in several requests",
        )
    return uploads


async def _read_form_images(request: Request, max_files: int) -> list[Upload]:
    """Read the files of a form, and `boxes`: a list for each file."""
    files, texts = await _read_form(request, max_files)
    boxes: Boxes = [None] * len(files)
    if "boxes" in texts:
        boxes = parse_json(texts["boxes"], Boxes, "boxes", BOXES_HINT)
    if len(boxes) != len(files):
        raise RefusedRequest(
            422,
            "wrong boxes",
            f"{len(boxes)} lists for {len(files)} files",
            BOXES_HINT,
        )

    return [
        _make_upload(name, data, boxes_of_file)
        for (name, data), boxes_of_file in zip(files, boxes, strict=True)
    ]


async def read_file(
    request: Request, limits: RequestLimits
) -> tuple[Upload, dict[str, str]]:
    """Read a form with one image, and its other fields. Raises `RefusedRequest`."""
    kind = _get_content_type(request)
    if kind != FORM:
        raise _wrong_type_error(kind, FORM)
    files, texts = await _read_form(request, max_files=1)
    name, data = files[0]
    return _make_upload(name, data, boxes=None), texts


async def _read_form(
    request: Request, max_files: int
) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """Return the files of a form with their names, sent as `file` or `files`, and its texts."""
    files = list[tuple[str, bytes]]()
    texts = dict[str, str]()
    try:
        async with request.form(
            max_files=max_files,
            max_fields=MAX_FORM_FIELDS,
        ) as form:
            for name, value in form.multi_items():
                if isinstance(value, str):
                    texts[name] = value
                elif name in ("file", "files"):
                    files.append((value.filename or "", await value.read()))
                else:  # such as a file with the boxes
                    texts[name] = (await value.read()).decode(errors="replace")
    except HTTPException as error:
        # Starlette tells its refusals apart only by their texts.
        if error.detail.startswith("Too many files"):
            raise RefusedRequest(
                413,
                "too many images",
                error.detail,
                "send several requests",
            ) from None
        raise RefusedRequest(
            400,
            "not a form",
            error.detail,
            "let an HTTP library build the form with its boundary",
        ) from None

    if not files:
        raise RefusedRequest(
            422,
            "no image",
            "the form has no file",
            "such as: -F file=@a.jpg",
        )
    return files, texts


def text_of(text: str, max_length: int) -> str:
    """Shorten a user's text, and replace its control characters."""
    return replace_controls(text[:max_length], "\ufffd")


def _decode(image: EncodedImage, number: int) -> Upload:
    # Browsers make data: URIs, and base64(1) breaks lines.
    text = image.data
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise RefusedRequest(
            422,
            "wrong images",
            f"not base64: {error} - at `$.images[{number}].data`",
            IMAGES_HINT,
        ) from None
    return _make_upload(image.name, data, image.boxes)


def _make_upload(name: str, data: bytes, boxes: Sequence[MarkedBox] | None) -> Upload:
    face_boxes = None if boxes is None else tuple(Box(*box) for box in boxes)
    return Upload(text_of(name, MAX_NAME_LENGTH), data, face_boxes)


def _get_content_type(request: Request) -> str:
    """Return the type without its parameters, such as the charset."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _wrong_type_error(kind: str, valid_types: str) -> RefusedRequest:
    return RefusedRequest(
        415,
        "wrong content type",
        kind or "no content type",
        f"send {valid_types}",
    )
