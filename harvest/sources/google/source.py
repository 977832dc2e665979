"""Google image search: what a real browser shows, since Google answers nobody else.

The address of a search is built by the package `google-images-download`. The rest of it is left
alone: it prints, exits and writes into the current folder. Where its filters are wrong (teal,
webp, more than 1024x768) or missing, ours stand in `_OWN`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from gleanset.errors import Blocked, Changed, MissingComponent
from gleanset.installation import install_command
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page, unreachable_error
from harvest.http.connections import is_private_literal
from harvest.sources.base import (
    Endpoint,
    Gap,
    Option,
    Pages,
    Query,
    Source,
    changed,
    days,
    parse_size,
)
from harvest.sources.google.page import GooglePage, GoogleResult, results, state

if TYPE_CHECKING:
    from harvest.sources.google.browser import GoogleBrowser

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
LANGUAGES = (
    *("ar", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hu", "is", "it", "ja"),
    *("ko", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sv", "tr", "zh-CN", "zh-TW"),
)
# What the package does not add: adult pictures are blurred unless told otherwise.
SAFE = {"off": "images", "moderate": "", "strict": "active"}
# Seconds without any change until a page is taken as it is, before its first results and after.
_FIRST, _MORE = 6.0, 4.0
# Seconds for a page in all, and for a person to answer its questions.
_LONGEST = 30.0
_PERSON = 300.0
_YES_NO = {"yes": "yes", "no": "no"}
# The rest of the package's address is a recording of somebody's session of 2015.
_KEPT = ("q", "tbm", "tbs")


class Google(Source):
    """`https://www.google.com/search?tbm=isch` in Chrome or Chromium; no key, no login.

    `first` and `more` are the seconds without any change after which a page without results,
    or without more of them, is taken as it is.
    """

    name: ClassVar[str] = "google"
    example: ClassVar[str] = "cats"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site", "https://www.google.com"),
        Option("chrome", "path of Chrome or Chromium, where it is not found"),
        Option("chromedriver", "path of its driver, where the automatic one does not fit"),
        Option("window", "show the browser, for a person to answer its questions", "no", _YES_NO),
        Option("profile", "folder in which the browser keeps such answers; else forgotten"),
        Option("safe", "hide adult pictures", "moderate", {word: word for word in SAFE}),
        Option(
            "size",
            f"{', '.join(WORDS['size'])}, or exactly WIDTHxHEIGHT pixels",
            words=WORDS["size"],
            parse=parse_size,
        ),
        Option("colour", "all colours, or one that prevails", "", WORDS["colour"]),
        Option("type", "kind of picture", "", WORDS["type"]),
        Option("licence", "what the licence must allow", "", WORDS["licence"]),
        Option(
            "date",
            f"within the last {', '.join(WORDS['date'])}, or 2020-01-01..2021-12-31",
            words=WORDS["date"],
            parse=days,
        ),
        Option("aspect", "shape of the picture", "", WORDS["aspect"]),
        Option("format", "file format", "", WORDS["format"]),
        Option(
            "language", "language of the pages it is on", "", {word: word for word in LANGUAGES}
        ),
    )

    def __init__(self, first: float = _FIRST, more: float = _MORE) -> None:
        self._first = first
        self._more = more

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `MissingComponent` without the packages or a browser."""
        build_search_url(self.example, settings)
        try:
            from harvest.sources.chrome import find_chrome
        except ImportError as error:
            raise _extra_missing(error) from error
        find_chrome(settings["chrome"])

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield results in the page's order, scrolled for as they are wanted, to the page's end.

        The browser lives as long as the generator.
        """
        # The browser connects by itself; the rule of the client holds for it as well.
        endpoint = settings["endpoint"]
        if not client.allow_private and is_private_literal(urlsplit(endpoint).hostname or ""):
            raise unreachable_error(endpoint, "private address")
        address = build_search_url(query.text, settings)
        with _browser(settings, client) as browser:
            browser.open(address)
            page = self._first_page(browser, query, settings["window"] == "yes")
            seen: set[str] = set()
            while new := _unseen(page, seen):
                seen.update(result.url for result in new)
                yield [_candidate(result, query) for result in new]
                page = browser.watch(
                    lambda page: bool(_unseen(page, seen)), self._more, _LONGEST, scroll=True
                )
            if seen:
                self._raise_if_turned_away(page, query)
                if browser.lacks:
                    yield [Gap(browser.lacks)]

    def _first_page(self, browser: GoogleBrowser, query: Query, window: bool) -> GooglePage:
        page = browser.watch(lambda page: state(page) != "unknown", self._first, _LONGEST)
        if window and state(page) in ("captcha", "consent"):
            page = browser.watch(lambda page: state(page) in ("results", "none"), _PERSON, _PERSON)
        self._raise_if_turned_away(page, query)
        if state(page) == "unknown":
            raise changed("Google", query.text, f"a page without the results we know ({page.url})")
        return page

    def _raise_if_turned_away(self, page: GooglePage, query: Query) -> None:
        shown = state(page)
        if shown in ("captcha", "consent"):
            task = "a captcha solved" if shown == "captcha" else "its consent page answered"
            raise Blocked(
                f"Google wants {task} before it shows {query.text!r} ({page.url}).",
                "Answer it yourself with -o google.window=yes (and -o google.profile=DIR to keep "
                "the answer), wait some hours, or use another source.",
            )
        if shown == "refused":
            self.refuse(Page(page.status, page.text, page.url, {}), query)


def _browser(settings: Mapping[str, str], client: Client) -> GoogleBrowser:
    window = settings["window"] == "yes"
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if window and sys.platform == "linux" and not any(map(os.environ.get, displays)):
        raise MissingComponent(
            "There is no display to show the browser's window on.",
            "Run it on a desktop, or leave out -o google.window=yes",
        )
    try:
        from harvest.sources.google.browser import BrowserOptions, GoogleBrowser
    except ImportError as error:
        raise _extra_missing(error) from error
    options = BrowserOptions(
        settings["chrome"], settings["chromedriver"], settings["profile"], window
    )
    return GoogleBrowser(options, client.wait)


def build_search_url(text: str, settings: Mapping[str, str]) -> str:
    """Return the address of the search for `text`.

    Raises `MissingComponent` without the package, `Changed` when it no longer builds addresses as
    it did.
    """
    own = extra_filters(settings)
    try:
        package = import_module(_MODULE)
        builder = package.googleimagesdownload()
        arguments = dict.fromkeys(package.args_list) | _arguments(settings)
        filters = builder.build_url_parameters(arguments)
        address = builder.build_search_url(text, filters, None, None, None, False)
    except ImportError as error:
        raise _extra_missing(error) from error
    # It exits where it is at a loss.
    except (SystemExit, AttributeError, LookupError, TypeError) as error:
        raise Changed(
            f"google-images-download gave up: {error!r}",
            f"Install the version that is known to work: {install_command('google')}",
        ) from error
    return _with_own_filters(address, own, settings)


def _extra_missing(error: ImportError) -> Exception:
    if (error.name or "").partition(".")[0] not in ("selenium", "google_images_download"):
        return error
    return MissingComponent(
        f"Google needs the Python package {error.name}, which is not installed.",
        install_command("google"),
    )


def extra_filters(settings: Mapping[str, str]) -> list[str]:
    """Return the filters that the package does not know."""
    filters = [words[settings[name]] for name, words in _OWN.items() if settings[name] in words]
    if (size := settings["size"]) not in WORDS["size"] | {"": ""}:
        width, height = parse_size(size)
        filters.append(f"isz:ex,iszw:{width},iszh:{height}")
    if (span := settings["date"]) not in WORDS["date"] | {"": ""}:
        first, last = (f"{day:%m/%d/%Y}" if day else "" for day in days(span))
        filters.append(f"cdr:1,cd_min:{first},cd_max:{last}")
    return filters


def _arguments(settings: Mapping[str, str]) -> dict[str, str]:
    return {
        argument: words[settings[name]]
        for name, (argument, words) in _THEIRS.items()
        if settings[name] in words
    }


def _with_own_filters(address: str, own: list[str], settings: Mapping[str, str]) -> str:
    asked = dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))
    params = {name: asked[name].strip() for name in _KEPT if name in asked}
    params["tbs"] = ",".join(part for part in (params.get("tbs", ""), *own) if part)
    params["lr"] = f"lang_{settings['language']}" if settings["language"] else ""
    params["safe"] = SAFE[settings["safe"]]
    # The sentences we know a page by are English, wherever the browser is.
    params["hl"] = "en"
    sent = {name: value for name, value in params.items() if value}
    return Endpoint(settings["endpoint"]).url("/search?" + urlencode(sent, quote_via=quote))


def _unseen(page: GooglePage, seen: set[str]) -> list[GoogleResult]:
    return [result for result in results(page.html) if result.url not in seen]


def _candidate(result: GoogleResult, query: Query) -> Candidate:
    origin = Origin(
        source="google",
        key=result.url,
        url=result.url,
        page_url=result.page_url,
        title=result.title,
        query=query.text,
        hint=query.hint,
    )
    return Candidate(result.url, origin, result.width, result.height, referer=result.page_url)
