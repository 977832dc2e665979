"""Flickr through its own API: photos with licence, author and tags, under the user's key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import ClassVar

from gleanset.errors import NeedsLogin
from gleanset.records import Candidate, Origin
from harvest.http import Client
from harvest.secrets import LOGIN_HELP, secret
from harvest.sources.base import (
    Endpoint,
    Gap,
    Option,
    Pages,
    Query,
    Skipped,
    Source,
    changed,
    days,
    number,
)
from harvest.sources.flickr.api import HOST, NEWEST_FIRST, FlickrApi, Photo, iterate_pages

# 3,600 calls an hour are one a second.
_PACE = 1.0
# The longer side in pixels that a size has at most, by the letter of its `url_X`. The square
# crops `sq` and `q` are left out, they are not the picture.
_SIDES: dict[str, float] = {
    "t": 100,
    "s": 240,
    "n": 320,
    "w": 400,
    "m": 500,
    "z": 640,
    "c": 800,
    "l": 1024,
    "h": 1600,
    "k": 2048,
    "3k": 3072,
    "4k": 4096,
    "5k": 5120,
    "6k": 6144,
    "o": math.inf,
}
_EXTRAS = ["license", "owner_name", "date_upload", "tags", "media", *(f"url_{x}" for x in _SIDES)]

# flickr.photos.licenses.getInfo; 11 to 16 came in June 2025.
LICENCES: dict[str, str] = {
    "0": "All Rights Reserved",
    "1": "CC BY-NC-SA 2.0",
    "2": "CC BY-NC 2.0",
    "3": "CC BY-NC-ND 2.0",
    "4": "CC BY 2.0",
    "5": "CC BY-SA 2.0",
    "6": "CC BY-ND 2.0",
    "7": "No known copyright restrictions",
    "8": "United States Government Work",
    "9": "CC0 1.0",
    "10": "Public Domain Mark 1.0",
    "11": "CC BY 4.0",
    "12": "CC BY-SA 4.0",
    "13": "CC BY-ND 4.0",
    "14": "CC BY-NC 4.0",
    "15": "CC BY-NC-SA 4.0",
    "16": "CC BY-NC-ND 4.0",
}
_CC = "1,2,3,4,5,6,9,11,12,13,14,15,16"
_COMMERCIAL = "4,5,6,8,9,10,11,12,13"
_WORDS: dict[str, dict[str, str]] = {
    "licence": {
        "any": "",
        "cc": _CC,
        "creative-commons": _CC,
        "commercial": _COMMERCIAL,
        "share-commercially": _COMMERCIAL,
        "modify": "1,2,4,5,8,9,10,11,12,14,15",
        "modify-commercially": "4,5,8,9,10,11,12",
        "public-domain": "8,9,10",
        "no-known-copyright": "7",
    },
    "sort": {
        "relevance": "relevance",
        "date": NEWEST_FIRST,
        "interesting": "interestingness-desc",
    },
    "safe": {"strict": "1", "moderate": "2", "off": "3"},
    "content": {"photo": "0", "screenshot": "1", "other": "2", "all": "0,1,2"},
    "colour": {
        "red": "0",
        "dark-orange": "1",
        "orange": "2",
        "yellow": "4",
        "green": "5",
        "lime": "6",
        "cyan": "7",
        "blue": "8",
        "violet": "9",
        "pink": "a",
        "pale-pink": "b",
        "white": "c",
        "gray": "d",
        "black": "e",
    },
    "tags": {"any": "any", "all": "all"},
}
_PARAMETERS = {
    "licence": "license",
    "sort": "sort",
    "safe": "safe_search",
    "content": "content_types",
    "colour": "color_codes",
    "tags": "tag_mode",
}


class Flickr(Source):
    """`flickr.photos.search`, 500 results a call. `pace`: seconds between two calls."""

    name: ClassVar[str] = "flickr"
    example: ClassVar[str] = "owl"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site", HOST),
        Option("size", "wanted longer side in pixels: the next one there is", "1024", parse=number),
        Option("licence", "what the licence must allow", "any", _WORDS["licence"]),
        Option("sort", "which come first", "relevance", _WORDS["sort"]),
        Option("safe", "hide adult pictures", "strict", _WORDS["safe"]),
        Option("content", "kind of picture", "photo", _WORDS["content"]),
        Option("colour", "colour that prevails", "", _WORDS["colour"]),
        Option("taken", "days, as 2020-01-01..2020-12-31, or open on one side", parse=days),
        Option("uploaded", "days, as 2020-01-01..2020-12-31, or open on one side", parse=days),
        Option(
            "tags",
            "search tags only, for any or all words (or what commas part)",
            "",
            _WORDS["tags"],
        ),
    )

    def __init__(self, pace: float = _PACE) -> None:
        self._pace = pace

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `NeedsLogin` without a key and its secret."""
        _keys()

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield results in the order asked for; from the 4,001st on, the newest upload first."""
        endpoint = Endpoint(settings["endpoint"])
        api = FlickrApi(query.text, client, self._pace, endpoint, _keys())
        any_readable = False
        for photos in iterate_pages(api, _params(query.text, settings)):
            items = [
                photo if isinstance(photo, Skipped | Gap) else _candidate(photo, query, settings)
                for photo in photos
            ]
            any_readable |= any(isinstance(item, Candidate) for item in items)
            unreadable = [i for i in items if isinstance(i, Skipped) and i.reason == "unreadable"]
            if photos and not any_readable and len(unreadable) == len(items):
                raise changed("Flickr", query.text, "photos, but none with an address")
            yield items


def _keys() -> tuple[str, str]:
    key, shared = secret("flickr.key"), secret("flickr.secret")
    if not key or not shared:
        raise NeedsLogin(
            "Flickr wants an API key and its secret, and none is known.", LOGIN_HELP["flickr"]
        )
    return key, shared


def _params(text: str, settings: Mapping[str, str]) -> dict[str, str]:
    params = {_PARAMETERS[name]: words.get(settings[name], "") for name, words in _WORDS.items()}
    params |= {"media": "photos", "extras": ",".join(_EXTRAS)}
    if settings["tags"]:
        params["tags"] = ",".join(text.split(",") if "," in text else text.split())
    else:
        params["text"] = text
    for end, moment in _moments(settings["taken"]):
        params[f"{end}_taken_date"] = f"{moment:%Y-%m-%d %H:%M:%S}"
    for end, moment in _moments(settings["uploaded"]):
        params[f"{end}_upload_date"] = f"{moment.timestamp():.0f}"
    return {name: value for name, value in params.items() if value}


def _moments(text: str) -> Iterator[tuple[str, datetime]]:
    first, last = days(text) if text else (None, None)
    for end, day, clock in (("min", first, time.min), ("max", last, time(23, 59, 59))):
        if day is not None:
            yield end, datetime.combine(day, clock, UTC)


def _candidate(photo: Photo, query: Query, settings: Mapping[str, str]) -> Candidate | Skipped:
    key, size = photo.get("id"), _size(photo, int(settings["size"]))
    if photo.get("media", "photo") != "photo":
        return Skipped(str(key), "filtered")
    if not key or not size:
        return Skipped(str(key or photo), "unreadable")
    licence = str(photo.get("license", ""))
    owner = photo.get("owner")
    origin = Origin(
        source="flickr",
        key=str(key),
        url=photo[f"url_{size}"],
        page_url=f"https://www.flickr.com/photos/{owner}/{key}" if owner else None,
        query=query.text,
        hint=query.hint,
        author=str(photo.get("ownername") or owner or "") or None,
        licence=LICENCES.get(licence, f"Flickr licence {licence}" if licence else None),
        title=str(photo.get("title") or "") or None,
        tags=tuple(str(photo.get("tags") or "").split()),
    )
    url: str = photo[f"url_{size}"]
    return Candidate(url, origin, _pixels(photo, "width", size), _pixels(photo, "height", size))


def _size(photo: Photo, side: int) -> str | None:
    """Return the letter of the smallest size not under `side`, else of the largest there is."""
    sides = {x: _longer(photo, x) for x in _SIDES if _is_address(photo.get(f"url_{x}"))}
    enough = [x for x in sides if sides[x] >= side]
    if enough:
        return min(enough, key=sides.__getitem__)
    return max(sides, key=sides.__getitem__, default=None)


def _longer(photo: Photo, size: str) -> float:
    sides = [_pixels(photo, side, size) for side in ("width", "height")]
    return max((side for side in sides if side), default=_SIDES[size])


def _pixels(photo: Photo, side: str, size: str) -> int | None:
    # Numbers come as numbers or as strings, now and then as null.
    pixels = str(photo.get(f"{side}_{size}") or "")
    return int(pixels) if pixels.isdecimal() else None


def _is_address(url: object) -> bool:
    return isinstance(url, str) and url.startswith(("https://", "http://"))
