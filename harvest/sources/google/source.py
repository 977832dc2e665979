"""Google image search in a real browser, since Google answers no other client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from gleanset.errors import Blocked, MissingComponent
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
    changed_error,
    parse_day_range,
    parse_size,
)
from harvest.sources.google.page import GooglePage, GoogleResult, classify_page, parse_results

if TYPE_CHECKING:
    from harvest.sources.google.browser import GoogleBrowser

_COLOURS = "red orange yellow green teal blue purple pink white gray black brown"
_MEGAPIXELS = (2, 4, 6, 8, 10, 12, 15, 20, 40, 70)
# Our option -> our value -> Google's value in the parameter `tbs`.
_FILTERS: dict[str, dict[str, str]] = {
    "size": {"large": "isz:l", "medium": "isz:m", "icon": "isz:i", "small": "isz:i"}
    | {"400x300+": "isz:lt,islt:qsvga", "640x480+": "isz:lt,islt:vga"}
    | {"800x600+": "isz:lt,islt:svga", "1024x768+": "isz:lt,islt:xga"}
    | {f"{size}mp+": f"isz:lt,islt:{size}mp" for size in _MEGAPIXELS},
    "colour": {"color": "ic:color", "bw": "ic:gray", "transparent": "ic:trans"}
    | {colour: f"ic:specific,isc:{colour}" for colour in _COLOURS.split()},
    "type": {word: f"itp:{word}" for word in ("face", "photo", "clipart", "animated")}
    | {"linedrawing": "itp:lineart"},
    "licence": {
        "creative-commons": "il:cl",
        "other": "il:ol",
        "share": "sur:f",
        "share-commercially": "sur:fc",
        "modify": "sur:fm",
        "modify-commercially": "sur:fmc",
    },
    "date": {"day": "qdr:d", "week": "qdr:w", "month": "qdr:m", "year": "qdr:y"},
    "aspect": {"tall": "iar:t", "square": "iar:s", "wide": "iar:w", "panoramic": "iar:xw"},
    "format": {word: f"ift:{word}" for word in ("jpg", "gif", "png", "bmp", "svg", "ico", "webp")},
}
LANGUAGES = (
    *("ar", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hu", "is", "it", "ja"),
    *("ko", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sv", "tr", "zh-CN", "zh-TW"),
)
# By default adult images are blurred.
SAFE = {"off": "images", "moderate": "", "strict": "active"}
# Seconds without a change after which a page counts as complete, before its first results and
# after them.
_FIRST_QUIET_SECONDS, _MORE_QUIET_SECONDS = 6.0, 4.0
_PAGE_TIMEOUT_SECONDS = 30.0
# For a user to answer a captcha or consent page.
_USER_TIMEOUT_SECONDS = 300.0
_YES_NO = {"yes": "yes", "no": "no"}


class Google(Source):
    """`https://www.google.com/search?tbm=isch` in Chrome or Chromium; no key, no login.

    `first` and `more` are the seconds without a change after which a page counts as complete,
    before its first results and after them.
    """

    name: ClassVar[str] = "google"
    example: ClassVar[str] = "cats"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "URL to use instead of the site", "https://www.google.com"),
        Option("chrome", "path of Chrome or Chromium, if it is not found"),
        Option("chromedriver", "path of its driver, if the automatic one does not fit"),
        Option("window", "show the browser, to answer a captcha or consent page", "no", _YES_NO),
        Option("profile", "folder in which the browser keeps such answers; default: temporary"),
        Option("safe", "filter for adult content", "moderate", {word: word for word in SAFE}),
        Option(
            "size",
            f"{', '.join(_FILTERS['size'])}, or exactly WIDTHxHEIGHT pixels",
            choices=_FILTERS["size"],
            parse=parse_size,
        ),
        Option("colour", "color, or a dominant color", "", _FILTERS["colour"]),
        Option("type", "kind of image", "", _FILTERS["type"]),
        Option("licence", "uses that the licence allows", "", _FILTERS["licence"]),
        Option(
            "date",
            f"within the last {', '.join(_FILTERS['date'])}, or 2020-01-01..2021-12-31",
            choices=_FILTERS["date"],
            parse=parse_day_range,
        ),
        Option("aspect", "aspect ratio", "", _FILTERS["aspect"]),
        Option("format", "file format", "", _FILTERS["format"]),
        Option(
            "language",
            "language of the pages with the images",
            "",
            {word: word for word in LANGUAGES},
        ),
    )

    def __init__(
        self, first: float = _FIRST_QUIET_SECONDS, next_quiet: float = _MORE_QUIET_SECONDS
    ) -> None:
        self._first_quiet, self._more_quiet = first, next_quiet

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `MissingComponent` without selenium or a browser."""
        try:
            from harvest.sources.chrome import find_chrome
        except ImportError as error:
            raise _missing_package(error) from error
        find_chrome(settings["chrome"])

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield results in page order, scrolling on demand to the end of the page.

        The browser lives as long as the generator.
        """
        # The browser makes its own connections; the rule of the client applies as well.
        endpoint = settings["endpoint"]
        if not client.allow_private and is_private_literal(urlsplit(endpoint).hostname or ""):
            raise unreachable_error(endpoint, "private address")
        url = build_search_url(query.text, settings)
        with _browser(settings, client) as browser:
            browser.open(url)
            page = self._first_page(browser, query, settings["window"] == "yes")
            seen_urls: set[str] = set()
            while new := _new_results(page, seen_urls):
                seen_urls.update(result.url for result in new)
                yield [_candidate(result, query) for result in new]
                page = browser.watch(
                    lambda page: bool(_new_results(page, seen_urls)),
                    self._more_quiet,
                    _PAGE_TIMEOUT_SECONDS,
                    scroll=True,
                )
            if seen_urls:
                self._raise_if_blocked(page, query)
                if browser.failed_request:
                    yield [Gap(browser.failed_request)]

    def _first_page(self, browser: GoogleBrowser, query: Query, window: bool) -> GooglePage:
        page = browser.watch(
            lambda page: classify_page(page) != "unknown", self._first_quiet, _PAGE_TIMEOUT_SECONDS
        )
        if window and classify_page(page) in ("captcha", "consent"):
            page = browser.watch(
                lambda page: classify_page(page) in ("results", "none"),
                _USER_TIMEOUT_SECONDS,
                _USER_TIMEOUT_SECONDS,
            )
        self._raise_if_blocked(page, query)
        if classify_page(page) == "unknown":
            raise changed_error(
                "Google", query.text, f"a page without results in a known format ({page.url})"
            )
        return page

    def _raise_if_blocked(self, page: GooglePage, query: Query) -> None:
        state = classify_page(page)
        if state in ("captcha", "consent"):
            raise Blocked(
                f"Google shows a {state} page instead of {query.text!r} ({page.url})",
                "answer it yourself with -o google.window=yes (and -o google.profile=DIR to keep "
                "the answer), wait some hours, or use another source",
            )
        if state == "refused":
            self.check_status(Page(page.status, page.text, page.url, {}), query)


def _browser(settings: Mapping[str, str], client: Client) -> GoogleBrowser:
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    is_shown = settings["window"] == "yes"
    if is_shown and sys.platform == "linux" and not any(map(os.environ.get, displays)):
        raise MissingComponent(
            "there is no display for the window of the browser",
            "run it on a desktop, or leave out -o google.window=yes",
        )
    try:
        from harvest.sources.google.browser import GoogleBrowser
    except ImportError as error:
        raise _missing_package(error) from error
    return GoogleBrowser(settings, client.wait)


def build_search_url(text: str, settings: Mapping[str, str]) -> str:
    """Return the URL of the search for `text`."""
    params = {
        "q": text,
        "tbm": "isch",
        "tbs": ",".join(_find_filters(settings)),
        "lr": f"lang_{settings['language']}" if settings["language"] else "",
        "safe": SAFE[settings["safe"]],
        # The phrases that identify a page are English.
        "hl": "en",
    }
    sent = {name: value for name, value in params.items() if value}
    return Endpoint(settings["endpoint"]).url("/search?" + urlencode(sent, quote_via=quote))


def _find_filters(settings: Mapping[str, str]) -> Iterator[str]:
    for name, values in _FILTERS.items():
        value = settings[name]
        if value in values:
            yield values[value]
        elif value and name == "size":
            width, height = parse_size(value)
            yield f"isz:ex,iszw:{width},iszh:{height}"
        elif value and name == "date":
            first, last = (f"{day:%m/%d/%Y}" if day else "" for day in parse_day_range(value))
            yield f"cdr:1,cd_min:{first},cd_max:{last}"


def _missing_package(error: ImportError) -> Exception:
    if (error.name or "").partition(".")[0] != "selenium":
        return error
    return MissingComponent(
        f"Google needs the Python package {error.name}, which is not installed",
        install_command("google"),
    )


def _new_results(page: GooglePage, seen_urls: set[str]) -> list[GoogleResult]:
    return [result for result in parse_results(page.html) if result.url not in seen_urls]


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
