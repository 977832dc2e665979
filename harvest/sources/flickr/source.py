"""Flickr through its API: photos with licence, author and tags, with the key of the user."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import ClassVar

from gleanset.errors import NeedsLogin
from gleanset.records import Candidate, Origin
from harvest.http import Client
from harvest.secrets import LOGIN_HELP, read_secret
from harvest.sources.base import (
    Endpoint,
    Gap,
    Option,
    Pages,
    Query,
    Skipped,
    Source,
    changed_error,
    parse_day_range,
    parse_number,
)
from harvest.sources.flickr.api import HOST, NEWEST_FIRST, FlickrApi, Photo, iterate_pages

# 3,600 calls an hour are one a second.
_PACE_SECONDS = 1.0
# The maximum longer side of a size in pixels, by the letter of its `url_X`; without the square
# crops `sq` and `q`.
_MAX_SIDES: dict[str, float] = {
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
_EXTRAS = [
    "license",
    "owner_name",
    "date_upload",
    "tags",
    "media",
    *(f"url_{x}" for x in _MAX_SIDES),
]

# flickr.photos.licenses.getInfo; 11 to 16 since June 2025.
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
_CHOICES: dict[str, dict[str, str]] = {
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
        Option("endpoint", "URL to use instead of the site", HOST),
        Option(
            "size",
            "longer side in pixels: the next larger available size",
            "1024",
            parse=parse_number,
        ),
        Option("licence", "uses that the licence allows", "any", _CHOICES["licence"]),
        Option("sort", "order of results", "relevance", _CHOICES["sort"]),
        Option("safe", "filter for adult content", "strict", _CHOICES["safe"]),
        Option("content", "kind of image", "photo", _CHOICES["content"]),
        Option("colour", "dominant color", "", _CHOICES["colour"]),
        Option(
            "taken",
            "days such as 2020-01-01..2020-12-31, or with one side open",
            parse=parse_day_range,
        ),
        Option(
            "uploaded",
            "days such as 2020-01-01..2020-12-31, or with one side open",
            parse=parse_day_range,
        ),
        Option(
            "tags",
            "search only tags, for any or all words (or parts between commas)",
            "",
            _CHOICES["tags"],
        ),
    )

    def __init__(self, pace: float = _PACE_SECONDS) -> None:
        self._pace = pace

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `NeedsLogin` without a key."""
        _key()

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield results in the requested order; from the 4,001st on, the newest upload first."""
        endpoint = Endpoint(settings["endpoint"])
        api = FlickrApi(query.text, client, self._pace, endpoint, _key())
        has_readable = False
        for photos in iterate_pages(api, _params(query.text, settings)):
            items = [
                photo if isinstance(photo, Skipped | Gap) else _candidate(photo, query, settings)
                for photo in photos
            ]
            has_readable |= any(isinstance(item, Candidate) for item in items)
            unreadable = [i for i in items if isinstance(i, Skipped) and i.reason == "unreadable"]
            if photos and not has_readable and len(unreadable) == len(items):
                raise changed_error("Flickr", query.text, "photos without a URL")
            yield items


def _key() -> str:
    if key := read_secret("flickr.key"):
        return key
    raise NeedsLogin("Flickr needs an API key, and none is stored", LOGIN_HELP["flickr"])


def _params(text: str, settings: Mapping[str, str]) -> dict[str, str]:
    params = {_PARAMETERS[name]: words.get(settings[name], "") for name, words in _CHOICES.items()}
    params |= {"media": "photos", "extras": ",".join(_EXTRAS)}
    if settings["tags"]:
        params["tags"] = ",".join(text.split(",") if "," in text else text.split())
    else:
        params["text"] = text
    for end, time_of_end in _time_range(settings["taken"]):
        params[f"{end}_taken_date"] = f"{time_of_end:%Y-%m-%d %H:%M:%S}"
    for end, time_of_end in _time_range(settings["uploaded"]):
        params[f"{end}_upload_date"] = f"{time_of_end.timestamp():.0f}"
    return {name: value for name, value in params.items() if value}


def _time_range(text: str) -> Iterator[tuple[str, datetime]]:
    first, last = parse_day_range(text) if text else (None, None)
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
    """Return the letter of the smallest size of at least `side`, else of the largest."""
    urls = {x: str(photo.get(f"url_{x}")) for x in _MAX_SIDES}
    # A size without numbers counts as its maximum.
    sides = {
        x: max(_pixels(photo, "width", x) or 0, _pixels(photo, "height", x) or 0) or _MAX_SIDES[x]
        for x, url in urls.items()
        if url.startswith("http")
    }
    large_enough = [x for x in sides if sides[x] >= side]
    if large_enough:
        return min(large_enough, key=sides.__getitem__)
    return max(sides, key=sides.__getitem__, default=None)


def _pixels(photo: Photo, side: str, size: str) -> int | None:
    # Numbers may be numbers, strings or null.
    pixels = str(photo.get(f"{side}_{size}") or "")
    return int(pixels) if pixels.isdecimal() else None
