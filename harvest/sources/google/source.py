"""Google image search in a real browser, since Google answers no other client.

The package `google-images-download` builds the URL of a search. The rest of it is not used: it
prints, exits and writes into the current folder. `_OUR_FILTERS` replace filters that are wrong in
the package (teal, more than 1024x768) or missing.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from gleanset.errors import Blocked, Changed, MissingComponent
from gleanset.installation import install_command
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page, unreachable_error
from harvest.http.connections import is_private_literal
from harvest.http.policy import PRIVATE_ADDRESS
from harvest.sources.base import (
    Endpoint,
    Gap,
    Option,
    OptionValues,
    Pages,
    Query,
    Source,
    changed_error,
    parse_day_range,
    parse_size,
    require_package,
)
from harvest.sources.google.page import (
    GooglePage,
    GoogleResult,
    classify_page,
    count_tiles,
    parse_page,
)

if TYPE_CHECKING:
    from harvest.sources.google.browser import GoogleBrowser

_MODULE = "google_images_download.google_images_download"
_FILTERS = tomllib.loads(Path(__file__).with_name("filters.toml").read_text("utf-8"))
# Our option -> argument of the package, and our value -> its value.
_PACKAGE_FILTERS = _FILTERS["package"]
# Our option -> our value -> Google's value, also as in the current menu of the site.
_OUR_FILTERS = _FILTERS["site"]
CHOICES = {
    name: [*table["values"], *_OUR_FILTERS.get(name, {})]
    for name, table in _PACKAGE_FILTERS.items()
}
# Not in the package. By default adult images are blurred.
SAFE = {"off": "images", "moderate": "", "strict": "active"}
# Seconds without a change after which a page counts as complete, before its first results and
# after them.
_FIRST_QUIET_SECONDS = 6.0
_MORE_QUIET_SECONDS = 4.0
_PAGE_TIMEOUT_SECONDS = 30.0
# For a user to answer a captcha or consent page.
_USER_TIMEOUT_SECONDS = 300.0
# The other parameters of the package are from a session of 2015.
_OUR_PARAMETERS = ("q", "tbm", "tbs")


class Google(Source):
    """`https://www.google.com/search?tbm=isch` in Chrome or Chromium; no key, no login.

    `first_quiet` and `more_quiet` are the seconds without a change after which a page counts as
    complete, before its first results and after them.
    """

    name = "google"
    example = "cats"
    options = (
        Option("endpoint", "URL to use instead of the site", "https://www.google.com"),
        Option("chrome", "path of Chrome or Chromium, if it is not found"),
        Option("chromedriver", "path of its driver, if the automatic one does not fit"),
        Option(
            "window",
            "show the browser, to answer a captcha or consent page",
            "no",
            ("yes", "no"),
        ),
        Option(
            "profile",
            "folder in which the browser keeps such answers; default: temporary",
        ),
        Option("safe", "filter for adult content", "moderate", SAFE),
        Option(
            "size",
            f"{', '.join(CHOICES['size'])}, or exactly WIDTHxHEIGHT pixels",
            choices=CHOICES["size"],
            parse=parse_size,
        ),
        Option("colour", "color, or a dominant color", "", CHOICES["colour"]),
        Option("type", "kind of image", "", CHOICES["type"]),
        Option("licence", "uses that the licence allows", "", CHOICES["licence"]),
        Option(
            "date",
            f"within the last {', '.join(CHOICES['date'])}, or 2020-01-01..2021-12-31",
            choices=CHOICES["date"],
            parse=parse_day_range,
        ),
        Option("aspect", "aspect ratio", "", CHOICES["aspect"]),
    )

    def __init__(
        self,
        first_quiet: float = _FIRST_QUIET_SECONDS,
        more_quiet: float = _MORE_QUIET_SECONDS,
    ):
        self._first_quiet = first_quiet
        self._more_quiet = more_quiet

    def check_ready(self, settings: OptionValues) -> None:
        """Raise `MissingComponent` without the packages or a browser."""
        build_search_url(self.example, settings)
        with require_package("Google", install_command("google")):
            from harvest.sources.google.browser import find_chrome
        find_chrome(settings["chrome"])

    def pages(self, query: Query, settings: OptionValues, client: Client) -> Pages:
        """Yield results in page order, scrolling on demand to the end of the page.

        The browser lives as long as the generator.
        """
        # The browser makes its own connections; the rule of the client applies as well.
        endpoint = settings["endpoint"]
        if not client.allow_private and is_private_literal(
            urlsplit(endpoint).hostname or ""
        ):
            raise unreachable_error(endpoint, PRIVATE_ADDRESS)

        url = build_search_url(query.text, settings)
        with _make_browser(settings, client) as browser:
            browser.open(url)
            page = self._wait_for_first_page(browser, query, settings)
            urls = set[str]()  # of the results so far
            while new_results := _find_new_results(page, urls):
                urls.update(result.url for result in new_results)
                yield [_make_candidate(result, query) for result in new_results]
                page = browser.watch(
                    lambda page: bool(_find_new_results(page, urls)),
                    self._more_quiet,
                    _PAGE_TIMEOUT_SECONDS,
                    scroll=True,
                )
            # The last page tells why there were no more results. Without any result, the first
            # page has been checked already.
            if urls:
                self._raise_if_blocked(page, query)
                yield list(_find_gaps(browser, page))

    def _wait_for_first_page(
        self, browser: GoogleBrowser, query: Query, settings: OptionValues
    ) -> GooglePage:
        page = browser.watch(
            lambda page: classify_page(page) != "unknown",
            self._first_quiet,
            _PAGE_TIMEOUT_SECONDS,
        )

        is_question = classify_page(page) in ("captcha", "consent")
        if is_question and settings["window"] == "yes":
            # The user answers it. The page may not change meanwhile, so both times are the same.
            page = browser.watch(
                lambda page: classify_page(page) in ("results", "none"),
                _USER_TIMEOUT_SECONDS,
                _USER_TIMEOUT_SECONDS,
            )

        self._raise_if_blocked(page, query)
        if classify_page(page) == "unknown":
            raise changed_error(
                "Google",
                query.text,
                f"a page without results in a known format ({page.url})",
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
            self.check_status(
                Page(page.status, page.text, page.url, {}),
                query,
            )


def _make_browser(settings: OptionValues, client: Client) -> GoogleBrowser:
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    needs_display = settings["window"] == "yes" and sys.platform == "linux"
    if needs_display and not has_display:
        raise MissingComponent(
            "there is no display for the window of the browser",
            "run it on a desktop, or leave out -o google.window=yes",
        )
    with require_package("Google", install_command("google")):
        from harvest.sources.google.browser import GoogleBrowser
    return GoogleBrowser(settings, client.slots.wait)


def build_search_url(text: str, settings: OptionValues) -> str:
    """Return the URL of the search for `text`.

    Raises `MissingComponent` without the package, `Changed` when it no longer builds URLs as
    expected.
    """
    extra = build_extra_filters(settings)
    with require_package("Google", install_command("google")):
        package = import_module(_MODULE)
    try:
        builder = package.googleimagesdownload()
        # The package reads all its arguments; those that are not set must be None.
        arguments = dict.fromkeys(package.args_list)
        for name, table in _PACKAGE_FILTERS.items():
            arguments[table["argument"]] = table["values"].get(settings[name])
        filters = builder.build_url_parameters(arguments)
        # Without an image, similar images, a site, and safe search, which `_add_filters` sets.
        address = builder.build_search_url(text, filters, None, None, None, False)
    # The package exits on errors.
    except (SystemExit, AttributeError, LookupError, TypeError) as error:
        raise Changed(
            f"google-images-download failed: {error!r}",
            f"install the version that is known to work: {install_command('google')}",
        ) from error
    return _add_filters(address, extra, settings)


def build_extra_filters(settings: OptionValues) -> list[str]:
    """Return the filters that the package does not have."""
    filters = [
        values[settings[name]]
        for name, values in _OUR_FILTERS.items()
        if settings[name] in values
    ]
    if (size := settings["size"]) not in ("", *CHOICES["size"]):
        width, height = parse_size(size)
        filters.append(f"isz:ex,iszw:{width},iszh:{height}")

    if (date_range := settings["date"]) not in ("", *CHOICES["date"]):
        first, last = (
            f"{day:%m/%d/%Y}" if day else "" for day in parse_day_range(date_range)
        )
        filters.append(f"cdr:1,cd_min:{first},cd_max:{last}")
    return filters


def _add_filters(address: str, extra: list[str], settings: OptionValues) -> str:
    """Return a search address with further filters, and only the parameters that we know."""
    original = dict(parse_qsl(urlsplit(address).query))
    params = {name: original.get(name, "").strip() for name in _OUR_PARAMETERS}
    # Google's parameter `tbs` lists filters such as "isz:l,ic:gray".
    params["tbs"] = ",".join(filter(None, (params["tbs"], *extra)))
    params["safe"] = SAFE[settings["safe"]]
    # The phrases that identify a page are English.
    params["hl"] = "en"
    params = {name: value for name, value in params.items() if value}
    query = urlencode(params, quote_via=quote)
    return Endpoint(settings["endpoint"]).url(f"/search?{query}")


def _find_gaps(browser: GoogleBrowser, page: GooglePage) -> Iterator[Gap]:
    if browser.request_failure:
        yield Gap(browser.request_failure)
    tiles = count_tiles(page.html)
    results = len(parse_page(page))
    if tiles > results:
        yield Gap(f"{tiles - results} of {tiles} images on the page have no address")


def _find_new_results(page: GooglePage, urls: set[str]) -> list[GoogleResult]:
    return [result for result in parse_page(page) if result.url not in urls]


def _make_candidate(result: GoogleResult, query: Query) -> Candidate:
    origin = Origin(
        source="google",
        key=result.url,
        url=result.url,
        page_url=result.page_url,
        title=result.title,
        query=query.text,
        hint=query.hint,
    )
    return Candidate(
        result.url, origin, result.width, result.height, referer=result.page_url
    )
