"""Checks of reports: answers that are wrong, images to be removed."""

from __future__ import annotations

from collections.abc import Sequence

from baseline.use.picture_parts import NO_FACE
from gleanset.db.classes import class_name
from gleanset.db.visitors import REMOVAL, Claim
from gleanset.errors import Unreadable, UsageError
from gleanset.files.names import kept_name
from gleanset.files.store import sha256_of
from gleanset.images.cut import within
from gleanset.images.measure import measure
from gleanset.records import Box
from webapp.api_models import SentReport
from webapp.bare_picture import BarePicture, bare_picture
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
    """Return a report that asks for a removal; of the whole image, whatever the box."""
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
        name = class_name(claimed)
    except UsageError as error:
        raise RefusedRequest(422, "no name of a class", error.what, error.mend) from error
    # What Windows keeps for devices, and what the page answers where it does not know.
    if kept_name(name) == f"_{name}" or name.casefold() in UNKNOWN:
        raise RefusedRequest(422, "no name of a class", f"{name!r} is the name of no class")
    return name


def _answer(
    loaded: LoadedModel, upload: Upload, claim: SentReport, limits: RequestLimits
) -> tuple[str | None, float | None]:
    """Return what the model says of the box, and how sure: nobody need be believed about that."""
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
