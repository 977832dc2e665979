"""What visitors say and ask, kept for a person: answers that are wrong, pictures to remove."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from baseline.use.picture_parts import NO_FACE
from curation.web_reports import report_store
from gleanset import Dataset
from gleanset.db.classes import class_name
from gleanset.db.visitors import Claim, Reports, TakeDownRequests, TakeDownWish
from gleanset.errors import DatasetBusy, DiskFull, NotWritable, Unreadable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.images.cut import within
from gleanset.images.measure import measure
from gleanset.records import Box, Measured
from webapp.guard import RefusedRequest
from webapp.recognizer import Upload, answers_to
from webapp.served import LoadedModel
from webapp.settings import RequestLimits, ServeSettings

LONGEST_NOTE = 1000
LONGEST = {"page": 2000, "words": 1000, "reason": 1000, "contact": 200}


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `report` of a form: who it is in truth, in which box (None: the whole picture)."""

    claimed: str
    box: tuple[int, int, int, int] | None = None
    note: str = ""


class ToldTakeDown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `takedown` of a form: the address that a picture came from, or which it is in words."""

    reason: str
    page: str = ""
    words: str = ""
    contact: str = ""


@contextmanager
def _writing(settings: ServeSettings, lacking: RefusedRequest) -> Iterator[Dataset]:
    """Open the dataset that a server keeps things in. Raises `RefusedRequest`."""
    if settings.dataset is None:
        raise lacking
    try:
        with Dataset.open(settings.dataset) as dataset:
            yield dataset
    except (DatasetBusy, DiskFull, NotWritable) as error:
        raise RefusedRequest(503, "cannot keep it", error.what, error.mend) from error


def keep_report(
    settings: ServeSettings, loaded: LoadedModel, upload: Upload, sent: Told
) -> dict[str, Any]:
    """Keep a report with what the model itself says of it; whether it is a new one.

    Raises `RefusedRequest`.
    """
    nowhere = RefusedRequest(404, "no reports here", "this server has no dataset to keep them in")
    with _writing(settings, nowhere) as dataset:
        if len(sent.note) > LONGEST_NOTE:
            raise RefusedRequest(422, "note too long", f"at most {LONGEST_NOTE} letters")
        claimed, answer = _class_name(sent.claimed), _answer(loaded, upload, sent, settings.limits)
        picture = _measured(upload, settings.limits.pixels)
        box, note = _box(sent, picture), sent.note
        claim = Claim(picture.sha256, picture.format, box, claimed, loaded.run, *answer, note)
        return {"new": _kept(dataset, upload.data, claim, settings.limits.reports)}


def _class_name(claimed: str) -> str:
    try:
        return class_name(claimed)
    except UsageError as error:
        raise RefusedRequest(422, "no name of a class", error.what, error.mend) from error


def _answer(
    loaded: LoadedModel, upload: Upload, claim: Told, limits: RequestLimits
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


def _measured(upload: Upload, most_pixels: int) -> Measured:
    try:
        return measure(upload.data, most_pixels)
    except Unreadable as refused:
        raise RefusedRequest(422, refused.reason, refused.detail) from refused


def _box(claim: Told, picture: Measured) -> Box:
    whole = Box(0, 0, picture.width, picture.height)
    box = within(Box(*claim.box) if claim.box else whole, picture.width, picture.height)
    if box is None:
        raise RefusedRequest(422, "box outside the picture", str(claim.box))
    return box


def _kept(dataset: Dataset, data: bytes, claim: Claim, most: int) -> bool:
    """Return whether it is new. File and row come together: `gc` removes nothing in between."""
    reports = Reports(dataset.db)
    with dataset.db.write():
        if dataset.images.buried(claim.sha256) is not None:
            raise RefusedRequest(410, "taken down", "this picture was taken out of the dataset")
        if reports.count() >= most:
            raise RefusedRequest(503, "full", "too many reports wait to be looked at")
        path = report_store(dataset.root, dataset.cache).path(claim.sha256, claim.format)
        # Beside its place, where nothing but a row makes it known.
        write_atomic(Path(str(path)), data)
        return reports.add(claim)


def keep_take_down(
    settings: ServeSettings, upload: Upload | None, sent: ToldTakeDown
) -> dict[str, Any]:
    """Keep a request; whether it is a new one. Of a picture only its hashes are kept.

    Raises `RefusedRequest`.
    """
    contact = settings.web.contact or ""
    nowhere = RefusedRequest(404, "no pictures here", "this server has no dataset", contact)
    with _writing(settings, nowhere) as dataset:
        wish, requests = _wish(settings.limits, upload, sent), TakeDownRequests(dataset.db)
        with dataset.db.write():
            if requests.count() >= settings.limits.take_downs:
                raise RefusedRequest(503, "too many wait", "nobody has looked at them yet")
            return {"new": requests.add(wish)}


def _wish(limits: RequestLimits, upload: Upload | None, wish: ToldTakeDown) -> TakeDownWish:
    texts = {name: getattr(wish, name).strip() for name in LONGEST}
    for name, longest in LONGEST.items():
        if len(texts[name]) > longest:
            raise RefusedRequest(422, f"{name} too long", f"at most {longest} letters")
    if not texts["reason"]:
        raise RefusedRequest(422, "no reason", "say why the picture should go")
    if texts["page"] and not _is_address(texts["page"]):
        raise RefusedRequest(422, "no address", "a page begins with http:// or https://")
    if not (texts["page"] or texts["words"] or upload):
        raise RefusedRequest(422, "which picture?", "give its page, the picture, or words")
    if upload is None:
        return TakeDownWish(**texts)
    picture = _measured(upload, limits.pixels)
    return TakeDownWish(**texts, sha256=picture.sha256, phash=picture.phash)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text.isprintable()
