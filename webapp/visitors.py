"""Checks of reports: answers that are wrong, images to be removed."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from baseline.use.crops import NO_FACE
from gleanset.db.classes import normalize_class_name
from gleanset.db.reports import REMOVAL, Claim
from gleanset.errors import Unreadable, UsageError
from gleanset.files.names import kept_name
from gleanset.files.store import sha256_of
from gleanset.images.cut import encode, within
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.measure import measure
from gleanset.records import Box
from webapp.api_models import SentReport
from webapp.computations import KeptReport, Upload
from webapp.loaded_model import LoadedModel
from webapp.problems import RefusedRequest
from webapp.recognizer import answers_to
from webapp.settings import RequestLimits, ServeSettings

LONGEST_NOTE = 1000
UNKNOWN = ("unknown", "未知", "不明")
"""What the page answers where it names nobody, in its languages."""


def claims_of(
    loaded: LoadedModel, requests: Sequence[tuple[Upload, SentReport]], settings: ServeSettings
) -> list[KeptReport]:
    """Return reports with what the model itself says of them. Raises `RefusedRequest`."""
    return [_claim(loaded, upload, sent, settings.limits) for upload, sent in requests]


def _claim(
    loaded: LoadedModel, upload: Upload, sent: SentReport, limits: RequestLimits
) -> KeptReport:
    if len(sent.note) > LONGEST_NOTE:
        raise RefusedRequest(422, "note too long", f"at most {LONGEST_NOTE} letters")
    if sent.kind == REMOVAL:
        return _removal(loaded, upload, sent, limits)
    claimed, answer = _class_name(sent.claimed), _answer(loaded, upload, sent, limits)
    picture = _bare(upload, limits)
    whole = Box(0, 0, picture.width, picture.height)
    box = within(Box(*sent.box) if sent.box else whole, picture.width, picture.height)
    if box is None:
        raise RefusedRequest(422, "box outside the picture", str(sent.box))
    sha256 = sha256_of(picture.data)
    claim = Claim(sha256, picture.format, box, claimed, loaded.run, *answer, sent.note)
    return KeptReport(claim, picture.data, sha256_of(upload.data))


def _removal(
    loaded: LoadedModel, upload: Upload, sent: SentReport, limits: RequestLimits
) -> KeptReport:
    if not sent.note.strip():
        raise RefusedRequest(422, "no reason", "say in `note` why the picture should go")
    picture = _bare(upload, limits)
    measured = measure(picture.data, limits.pixels)
    box = Box(0, 0, picture.width, picture.height)
    claim = Claim(measured.sha256, picture.format, box, "", loaded.run, note=sent.note)
    removal = claim._replace(kind=REMOVAL, phash=measured.phash)
    return KeptReport(removal, picture.data, sha256_of(upload.data))


def _bare(upload: Upload, limits: RequestLimits) -> BarePicture:
    try:
        return bare_picture(upload.data, limits.pixels)
    except Unreadable as refused:
        raise RefusedRequest(422, refused.reason, refused.detail) from refused


def _class_name(claimed: str) -> str:
    try:
        name = normalize_class_name(claimed)
    except UsageError as error:
        raise RefusedRequest(422, "no name of a class", error.what, error.fix) from error
    # What Windows keeps for devices, and what the page answers where it does not know.
    if kept_name(name) == f"_{name}" or name.casefold() in UNKNOWN:
        raise RefusedRequest(422, "no name of a class", f"{name!r} is the name of no class")
    return name


def _answer(
    loaded: LoadedModel, upload: Upload, claim: SentReport, limits: RequestLimits
) -> tuple[str | None, float | None]:
    boxes = None if claim.box is None else (Box(*claim.box),)
    asked = Upload(upload.name, upload.data, boxes)
    (picture,) = answers_to(loaded, [asked], limits)["pictures"]
    if (error := picture.get("error")) is not None:
        # A face that was not found at all is what some reports are about.
        if error["reason"] == NO_FACE:
            return None, None
        raise RefusedRequest(422, error["reason"], error["detail"])
    part = picture["parts"][0]
    return part["answer"], part["predictions"][0]["confidence"]


LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
BESIDES = 65_536
"""Bytes that a file may have over those of its pixels: profiles, dates, a small picture."""

# What ends the data of a scan: any marker but zero bytes, restarts and fill.
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


class BarePicture(NamedTuple):
    """The file of a picture and nothing else, with its size in upright pixels."""

    data: bytes
    format: str
    width: int
    height: int


def bare_picture(data: bytes, most_pixels: int) -> BarePicture:
    """Return the picture alone, which is decoded to see that it is one. Raises `Unreadable`.

    A JPEG or PNG stays as it is up to its end, so that its hash is that of the same picture
    elsewhere. Of other formats, and where a file takes more bytes than its pixels do, the pixels
    are written anew.
    """
    picture = decode(data, most_pixels=most_pixels)
    kind = picture.format
    alone = data[: _END[kind](data)] if kind in _END else b""
    if not 0 < len(alone) <= 3 * picture.width * picture.height + BESIDES:
        kind, alone = _written_anew(picture)
    return BarePicture(alone, kind, picture.width, picture.height)


def _written_anew(picture: DecodedImage) -> tuple[str, bytes]:
    if picture.format not in LOSSLESS:
        return "JPEG", encode(picture.pixels)
    picture.pixels.info = {}  # Pillow carries profiles and comments along.
    picture.pixels.save(buffer := io.BytesIO(), "PNG", compress_level=3)
    return "PNG", buffer.getvalue()


def _jpeg_end(data: bytes) -> int:
    """Return where a JPEG ends (ITU-T T.81, annex B); 0 where its markers do not lead there."""
    place = 2
    while data[place : place + 1] == b"\xff":
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xD9:
            return place + 2
        place += 2 + length
        if marker == 0xDA:
            after = _JPEG_MARKER.search(data, place)
            place = after.start() if after else len(data)
    return 0


def _png_end(data: bytes) -> int:
    """Return where a PNG ends (its chunk IEND); 0 where its chunks do not lead there."""
    place = 8
    while kind := data[place + 4 : place + 8]:
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        if kind == b"IEND":
            return place
    return 0


_END = {"JPEG": _jpeg_end, "PNG": _png_end}
