"""Google image search: what a real browser shows, since Google answers nobody else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from gleanset.errors import Blocked, Changed, MissingComponent, Unreachable
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page
from harvest.http.ssrf import spelled_private
from harvest.sources.base import Option, Query, Source
from harvest.sources.google_parse import Result, View, results, state
from harvest.sources.google_query import LANGUAGES, SAFE, WORDS, own_filters, search

if TYPE_CHECKING:
    from harvest.sources.google_browser import Browser

# Patience with the page: seconds without any change, and in all.
_FIRST = (6.0, 30.0)
_MORE = (4.0, 30.0)
_PERSON = (300.0, 300.0)
_YES_NO = {"yes": "yes", "no": "no"}


class Google(Source):
    """`https://www.google.com/search?tbm=isch` in Chrome or Chromium; no key, no login."""

    name: ClassVar[str] = "google"
    example: ClassVar[str] = "cats"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site", "https://www.google.com"),
        Option("chrome", "path of Chrome or Chromium, where it is not found"),
        Option("chromedriver", "path of its driver, where the automatic one does not fit"),
        Option("window", "show the browser, for a person to answer its questions", "no", _YES_NO),
        Option("profile", "folder in which the browser keeps such answers; else forgotten"),
        Option("safe", "hide adult pictures", "moderate", {word: word for word in SAFE}),
        Option("size", f"{', '.join(WORDS['size'])}, or exactly WIDTHxHEIGHT pixels"),
        Option("colour", "all colours, or one that prevails", "", WORDS["colour"]),
        Option("type", "kind of picture", "", WORDS["type"]),
        Option("licence", "what the licence must allow", "", WORDS["licence"]),
        Option("date", f"within the last {', '.join(WORDS['date'])}, or 2020-01-01..2021-12-31"),
        Option("aspect", "shape of the picture", "", WORDS["aspect"]),
        Option("format", "file format", "", WORDS["format"]),
        Option(
            "language", "language of the pages it is on", "", {word: word for word in LANGUAGES}
        ),
    )

    def settings(self, query: Query) -> dict[str, str]:
        """As every source; a size may also be WIDTHxHEIGHT, a date also FROM..TO."""
        settings = super().settings(query)
        own_filters(settings)
        return settings

    def candidates(self, query: Query, client: Client) -> Iterator[Candidate]:
        """Results in the page's order, scrolled for as they are wanted, to the page's end.

        The browser lives as long as the generator.
        """
        settings = self.settings(query)
        _check_private(settings["endpoint"], client)
        with _browser(settings, client) as browser:
            _open(browser, query, settings)
            view = self._first(browser, query, settings["window"] == "yes")
            seen: set[str] = set()
            while new := _unseen(view, seen):
                for result in new:
                    seen.add(result.url)
                    yield _candidate(result, query)
                view = browser.watch(lambda view: bool(_unseen(view, seen)), *_MORE, scroll=True)
            if seen:
                self._raise_if_turned_away(view, query)

    def _first(self, browser: Browser, query: Query, window: bool) -> View:
        """The first view with results, or with the word that there are none."""
        view = browser.watch(lambda view: state(view) != "unknown", *_FIRST)
        if window and state(view) in ("captcha", "consent"):
            view = browser.watch(lambda view: state(view) in ("results", "none"), *_PERSON)
        self._raise_if_turned_away(view, query)
        if state(view) == "unknown":
            raise Changed(
                f"Google showed {query.text!r} a page without the results we know ({view.url}).",
                "Try again later; if it stays so, update Gleanset or use another source.",
            )
        return view

    def _raise_if_turned_away(self, view: View, query: Query) -> None:
        shown = state(view)
        if shown in ("captcha", "consent"):
            wanted = "a captcha solved" if shown == "captcha" else "its consent page answered"
            raise Blocked(
                f"Google wants {wanted} before it shows {query.text!r} ({view.url}).",
                "Answer it yourself with -o google.window=yes (and -o google.profile=DIR to keep "
                "the answer), wait some hours, or use another source.",
            )
        if shown == "refused":
            self.refuse(Page(view.status, view.text, view.url, {}), query)


def _check_private(endpoint: str, client: Client) -> None:
    # The browser connects by itself; the rule of the client holds for it as well.
    allowed = client.allow_private
    if not allowed and spelled_private(urlsplit(endpoint).hostname or ""):
        raise Unreachable(
            f"{endpoint} could not be asked: private address.",
            "Add --allow-private if this address is meant.",
        )


def _browser(settings: Mapping[str, str], client: Client) -> Browser:
    """Raises `MissingComponent` without selenium, a browser, its driver or a display."""
    window = settings["window"] == "yes"
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if window and sys.platform == "linux" and not any(map(os.environ.get, displays)):
        raise MissingComponent(
            "There is no display to show the browser's window on.",
            "Run it on a desktop, or leave out -o google.window=yes",
        )
    try:
        from harvest.sources.google_browser import Browser, Look
    except ImportError as error:
        raise _extra_missing(error) from error
    look = Look(settings["chrome"], settings["chromedriver"], settings["profile"], window)
    return Browser(look, client.wait)


def _open(browser: Browser, query: Query, settings: Mapping[str, str]) -> None:
    try:
        search(query.text, settings, browser.open)
    except ImportError as error:
        raise _extra_missing(error) from error


def _extra_missing(error: ImportError) -> Exception:
    if (error.name or "").partition(".")[0] not in ("selenium", "google_images_download"):
        return error
    return MissingComponent(
        f"Google needs the Python package {error.name}, which is not installed.",
        "pip install 'gleanset[google]'",
    )


def _unseen(view: View, seen: set[str]) -> list[Result]:
    return [result for result in results(view.html) if result.url not in seen]


def _candidate(result: Result, query: Query) -> Candidate:
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
