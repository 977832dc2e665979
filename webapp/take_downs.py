"""Taking requests to remove a picture: which one, and why, kept for a person to look at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from gleanset import Dataset
from gleanset.db.visitors import TakeDownRequests, TakeDownWish
from gleanset.errors import DatasetBusy, DiskFull, NotWritable, Unreadable
from gleanset.images.measure import measure
from webapp.recognizer import Upload
from webapp.refusal import RefusedRequest
from webapp.settings import ServeSettings

LONGEST = {"page": 2000, "words": 1000, "reason": 1000, "contact": 200}


class ToldTakeDown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `takedown` of a form: the address that a picture came from, or which it is in words."""

    reason: str
    page: str = ""
    words: str = ""
    contact: str = ""


def keep_take_down(
    settings: ServeSettings, upload: Upload | None, sent: ToldTakeDown
) -> dict[str, Any]:
    """Keep a request; whether it is a new one. Of a picture only its hashes are kept.

    Raises `RefusedRequest`.
    """
    if settings.dataset is None:
        raise RefusedRequest(
            404, "no pictures here", "this server has no dataset", settings.web.contact or ""
        )
    wish = _wish(settings, upload, sent)
    try:
        with Dataset.open(settings.dataset) as dataset:
            requests = TakeDownRequests(dataset.db)
            with dataset.db.write():
                if requests.count() >= settings.limits.take_downs:
                    raise RefusedRequest(503, "too many wait", "nobody has looked at them yet")
                return {"new": requests.add(wish)}
    except (DatasetBusy, DiskFull, NotWritable) as error:
        raise RefusedRequest(503, "cannot keep it", error.what, error.mend) from error


def _wish(settings: ServeSettings, upload: Upload | None, wish: ToldTakeDown) -> TakeDownWish:
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
    try:
        picture = measure(upload.data, settings.limits.pixels)
    except Unreadable as refused:
        raise RefusedRequest(422, refused.reason, refused.detail) from refused
    return TakeDownWish(**texts, sha256=picture.sha256, phash=picture.phash)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text.isprintable()
