"""Checks of reports from users: wrong answers, and removal requests."""

import io
from typing import NamedTuple

from gleanset.db.classes import normalize_class_name
from gleanset.db.reports import REMOVAL, Claim
from gleanset.errors import Unreadable, UsageError
from gleanset.files.names import make_folder_name
from gleanset.files.store import hash_bytes
from gleanset.images.cropping import clip_box, encode_jpeg
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.embedded_metadata import iter_jpeg_segments, iter_png_chunks
from gleanset.images.measure import measure
from gleanset.records import Box
from gleanset.web.problems import RefusedRequest
from webapp.api_models import SentReport
from webapp.computations import KeptReport, Upload
from webapp.loaded_model import LoadedModel
from webapp.recognizer import predict_values
from webapp.report_decisions import NOT_A_FACE, UNLISTED_PERSON
from webapp.settings import RequestLimits, ServeSettings

MIN_BOX_SIDE = 8
"""Pixels; a smaller box shows no face that a person could name."""
UNKNOWN = ("unknown", "未知", "不明")
"""The page's words for "unknown" in its languages; none can be a class."""


class StrippedImage(NamedTuple):
    """An image file without trailing data, and its size in upright pixels."""

    data: bytes
    format: str
    width: int
    height: int


def check_report(
    model: LoadedModel, request: tuple[Upload, SentReport], settings: ServeSettings
) -> KeptReport:
    """Return a report with the model's own prediction. Raises `RefusedRequest`."""
    upload, report = request
    limits = settings.limits
    is_removal = report.kind == REMOVAL
    if is_removal and not report.note.strip():
        raise RefusedRequest(
            422,
            "no reason",
            "`note` is empty",
            "say in `note` why the image should be removed",
        )
    if not is_removal and model.of_faces and report.box is None:
        raise RefusedRequest(
            422,
            "no box",
            "this model classifies faces",
            "send the `box` of the face",
        )

    label = "" if is_removal else _resolve_class(report, model)
    image = strip_image(upload.data, limits.pixels)
    box = _resolve_box(report, image)
    answer: str | None = None
    confidence: float | None = None
    if not is_removal:
        answer, confidence = _predict(model, upload, report, limits)

    # Of the stripped file, which is what a dataset would contain.
    measures = measure(image.data, limits.pixels)
    claim = Claim(
        sha256=measures.sha256,
        format=image.format,
        box=box,
        claimed=label,
        run=model.run,
        answer=answer,
        confidence=confidence,
        note=report.note,
        kind=report.kind,
        phash=measures.phash,
    )
    has_new_box = report.new_box and report.box is not None
    return KeptReport(
        claim,
        image.data,
        hash_bytes(upload.data),
        has_new_box,
    )


def _resolve_class(report: SentReport, model: LoadedModel) -> str:
    """Return the claimed class, spelled as that of the model. Raises `RefusedRequest`."""
    if report.claimed is None:
        return UNLISTED_PERSON
    if report.claimed == NOT_A_FACE and model.of_faces:
        return NOT_A_FACE

    reason = "no name of a class"
    hint = "use another name, or null for none of the classes"
    if report.claimed == NOT_A_FACE:
        raise RefusedRequest(
            422,
            reason,
            f"{NOT_A_FACE!r} is only for models of faces",
            hint,
        )

    try:
        name = normalize_class_name(report.claimed)
    except UsageError as error:
        raise RefusedRequest(422, reason, error.what, error.fix) from error

    # `make_folder_name` puts a `_` before device names of Windows. The page has the same rule.
    is_device = make_folder_name(name) == f"_{name.rstrip('. ')}"
    if is_device or name.casefold() in UNKNOWN:
        raise RefusedRequest(422, reason, f"reserved: {name!r}", hint)

    for model_class in model.visible_classes:
        if model_class.casefold() == name.casefold():
            return model_class
    return name


def _resolve_box(report: SentReport, image: StrippedImage) -> Box:
    """Return the box of a report within its image; the whole image for a removal."""
    if report.box is None or report.kind == REMOVAL:
        return Box(0, 0, image.width, image.height)
    box = clip_box(Box(*report.box), image.width, image.height)
    if box is None or min(box.width, box.height) < MIN_BOX_SIDE:
        raise RefusedRequest(
            422,
            "box too small or outside the image",
            str(report.box),
            f"mark {MIN_BOX_SIDE} pixels or more; the image has {image.width} x {image.height}",
        )
    return box


def _predict(
    model: LoadedModel, upload: Upload, report: SentReport, limits: RequestLimits
) -> tuple[str | None, float | None]:
    """Return the answer of the model and its confidence. Raises `Unreadable`."""
    boxes = None if report.box is None else (Box(*report.box),)
    (response,) = predict_values(
        model,
        [[upload._replace(boxes=boxes)]],
        limits,
    )
    (image,) = response["images"]
    if "error" in image:
        raise Unreadable(
            image["error"]["reason"],
            image["error"]["detail"],
        )
    part = image["parts"][0]
    return part["best"], part["predictions"][0]["confidence"]


LOSSLESS_FORMATS = ("PNG", "GIF", "BMP", "TIFF")
MAX_METADATA_BYTES = 65_536
"""Bytes of a file beyond those of its raw pixels; more looks like hidden data."""


def strip_image(data: bytes, max_pixels: int) -> StrippedImage:
    """Decode an image and drop data that its file may carry. Raises `Unreadable`.

    A JPEG or PNG keeps its bytes up to its end mark, with up to `MAX_METADATA_BYTES` more than its
    pixels, so that ordinary files keep their hash. Other files are encoded again.
    """
    image = decode(data, max_pixels=max_pixels)
    kind = image.format
    content = data[: _find_end(kind, data)] if kind in _PARTS else b""

    raw_bytes = 3 * image.width * image.height
    # `content` is empty for other formats, and for files without an end mark.
    if not 0 < len(content) <= raw_bytes + MAX_METADATA_BYTES:
        kind, content = _encode_again(image)
    return StrippedImage(content, kind, image.width, image.height)


def _encode_again(image: DecodedImage) -> tuple[str, bytes]:
    if image.format not in LOSSLESS_FORMATS:
        return "JPEG", encode_jpeg(image.pixels)
    image.pixels.info = {}  # Pillow would copy profiles and comments
    buffer = io.BytesIO()
    image.pixels.save(buffer, "PNG", compress_level=3)
    return "PNG", buffer.getvalue()


def _find_end(kind: str, data: bytes) -> int:
    """Return the length of a file up to its end mark; 0 without one."""
    iterate, end_mark = _PARTS[kind]
    try:
        *_, last = iterate(data)
    except (Unreadable, ValueError):
        return 0
    return last.end if last.kind == end_mark else 0


_PARTS = {"JPEG": (iter_jpeg_segments, b"\xd9"), "PNG": (iter_png_chunks, b"IEND")}
"""Readers of the parts of a file, and the kind of the last part."""
