"""The search itself, through the package `google-images-download`.

Its `download` takes three steps for a keyword: filters, address, page. We take the same three
and leave the rest of it alone, which prints, exits and writes into the current folder. Where
its filters are wrong (teal, webp, more than 1024x768) or missing, ours stand in `_OWN`.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from importlib import import_module
from threading import get_ident
from typing import Any, TextIO, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from gleanset.errors import Changed, UsageError
from harvest.sources.base import Endpoint

_MODULE = "google_images_download.google_images_download"
_PLAIN_COLOURS = "red orange yellow green blue purple pink white gray black brown"
_MEGAPIXELS = (2, 4, 6, 8, 10, 12, 15, 20, 40, 70)
# Our option -> the package's argument -> our word -> its word.
_THEIRS: dict[str, tuple[str, dict[str, str]]] = {
    "size": (
        "size",
        {"large": "large", "medium": "medium", "icon": "icon", "small": "icon"}
        | {f"{size}+": f">{size.replace('x', '*')}" for size in ("400x300", "640x480", "800x600")}
        | {f"{size}mp+": f">{size}MP" for size in _MEGAPIXELS},
    ),
    "colour": ("color", {word: word for word in _PLAIN_COLOURS.split()}),
    "type": (
        "type",
        {word: word for word in ("face", "photo", "clipart", "animated")}
        | {"linedrawing": "line-drawing"},
    ),
    "licence": (
        "usage_rights",
        {
            "share": "labeled-for-nocommercial-reuse",
            "share-commercially": "labeled-for-reuse",
            "modify": "labeled-for-noncommercial-reuse-with-modification",
            "modify-commercially": "labeled-for-reuse-with-modifications",
        },
    ),
    "date": (
        "time",
        {"day": "past-24-hours", "week": "past-7-days", "month": "past-month", "year": "past-year"},
    ),
    "aspect": ("aspect_ratio", {word: word for word in ("tall", "square", "wide", "panoramic")}),
    "format": ("format", {word: word for word in ("jpg", "gif", "png", "bmp", "svg", "ico")}),
}
# Our option -> our word -> what Google calls it.
_OWN: dict[str, dict[str, str]] = {
    "size": {"1024x768+": "isz:lt,islt:xga"},
    "colour": {"teal": "ic:specific,isc:teal", "color": "ic:color", "bw": "ic:gray"}
    | {"transparent": "ic:trans"},
    # What the site's own menu offers today.
    "licence": {"creative-commons": "il:cl", "other": "il:ol"},
    "format": {"webp": "ift:webp"},
}
WORDS: dict[str, dict[str, str]] = {
    name: {word: word for word in [*theirs, *_OWN.get(name, {})]}
    for name, (_, theirs) in _THEIRS.items()
}
LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hu": "Hungarian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "zh-CN": "Chinese (Simplified)",
    "zh-TW": "Chinese (Traditional)",
}
# What the package does not add: adult pictures are blurred unless told otherwise.
SAFE = {"off": "images", "moderate": "", "strict": "active"}
_EXACT = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
_SPAN = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")
# The rest of the package's address is a recording of somebody's session of 2015.
_KEPT = ("q", "tbm", "tbs", "lr")


def search(text: str, settings: Mapping[str, str], show: Callable[[str], None]) -> None:
    """Let the package look for `text`; `show` opens the address in the browser.

    Raises `UsageError` for a size or date that makes no sense, `ImportError` without the package.
    """
    own = own_filters(settings)
    with _kept_quiet():
        driver = import_module(_MODULE)
        arguments = dict.fromkeys(driver.args_list) | _arguments(settings)
        searcher = _searcher(driver, show)
        filters = searcher.build_url_parameters(arguments)
        address = searcher.build_search_url(text, filters, None, None, None, False)
    searcher.download_extended_page(_ours(address, own, settings), None)


def _searcher(driver: Any, show: Callable[[str], None]) -> Any:
    class Searcher(driver.googleimagesdownload):  # type: ignore[misc]
        """The package with our browser in place of its own."""

        def download_extended_page(self, url: str, _: str | None) -> str:
            show(url)
            return ""

    return Searcher()


def own_filters(settings: Mapping[str, str]) -> list[str]:
    """The filters that the package does not know. Raises `UsageError` for a wrong word."""
    found = [words[settings[name]] for name, words in _OWN.items() if settings[name] in words]
    found += _exact_size(settings["size"])
    found += _span(settings["date"])
    return found


def _arguments(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings as the package's arguments, as far as it knows them."""
    found = {
        argument: words[settings[name]]
        for name, (argument, words) in _THEIRS.items()
        if settings[name] in words
    }
    if settings["language"]:
        found["language"] = LANGUAGES[settings["language"]]
    return found


def _ours(address: str, own: list[str], settings: Mapping[str, str]) -> str:
    """The package's address on our endpoint, with what it lacks and without its ballast."""
    asked = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    params = {name: asked[name].strip() for name in _KEPT if name in asked}
    params["tbs"] = ",".join(part for part in (params.get("tbs", ""), *own) if part)
    params["safe"] = SAFE[settings["safe"]]
    # The sentences we know a page by are English, wherever the browser is.
    params["hl"] = "en"
    sent = {name: value for name, value in params.items() if value}
    return Endpoint(settings["endpoint"]).url("/search?" + urlencode(sent, quote_via=quote))


def _exact_size(size: str) -> list[str]:
    if not size or size in WORDS["size"]:
        return []
    if exact := _EXACT.fullmatch(size):
        return [f"isz:ex,iszw:{exact[1]},iszh:{exact[2]}"]
    raise UsageError(
        f"google.size cannot be {size!r}.",
        f"Use one of: {', '.join(WORDS['size'])}, or exactly WIDTHxHEIGHT such as 1920x1080.",
    )


def _span(span: str) -> list[str]:
    if not span or span in WORDS["date"]:
        return []
    if days := _SPAN.fullmatch(span):
        with contextlib.suppress(ValueError):
            first, last = (date.fromisoformat(day) for day in days.groups())
            return [f"cdr:1,cd_min:{first:%m/%d/%Y},cd_max:{last:%m/%d/%Y}"]
    raise UsageError(
        f"google.date cannot be {span!r}.",
        f"Use one of: {', '.join(WORDS['date'])}, or a span such as 2020-01-01..2021-12-31.",
    )


class _Aside:
    """A stream that this thread writes aside. The streams are those of the whole process, and
    other threads print meanwhile."""

    def __init__(self, stream: TextIO, aside: io.StringIO) -> None:
        self._stream = stream
        self._aside = aside
        self._mine = get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aside if get_ident() == self._mine else self._stream, name)


@contextlib.contextmanager
def _kept_quiet() -> Iterator[None]:
    """Swallow what the package prints; its way out of a trouble is not ours."""
    swallowed = io.StringIO()
    out, err = (cast(TextIO, _Aside(stream, swallowed)) for stream in (sys.stdout, sys.stderr))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    except SystemExit as error:
        raise Changed(
            f"google-images-download gave up: {swallowed.getvalue().strip()[:300]}",
            "Install the version that is known to work: pip install 'gleanset[google]'",
        ) from error
