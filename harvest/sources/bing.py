"""Bing image search: the HTML fragments that its result page loads while scrolling."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

from lxml.html import HtmlElement

from gleanset.errors import Blocked
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page
from harvest.sources.base import (
    Endpoint,
    Option,
    OptionValues,
    Pages,
    Query,
    ResultPage,
    Skipped,
    Source,
    changed_error,
    pages_until_repeated,
    parse_html,
    parse_size,
)

_PAGE_SIZE = 35
_RETRIES_OF_DECOYS = 2
# Old browsers, and those without gzip, get a page with a single image.
_USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)
# Parts such as "not found", "results for" or "no results" also occur on other pages. A consent
# banner may be on any page.
_PHRASE_LINES = Path(__file__).with_name("bing_phrases.tsv").read_text("utf-8")
_PHRASES = dict(
    line.split("\t") for line in _PHRASE_LINES.splitlines() if not line.startswith("#")
)
# `disamClust` holds results of other searches, such as "Art" and "Stickers".
_CLUSTER = "ancestor-or-self::*[contains(@class, 'disamClust')]"
_RESULTS = f"//a[contains(@class, 'iusc')][@m][not({_CLUSTER})]"
_NEXT_URL = f"//*[@data-nexturl][not({_CLUSTER})]/@data-nexturl"
_TITLES = "ancestor::li[1]//a[@title]/@title"
_VISIBLE_TEXT = (
    "//text()[not(ancestor::script or ancestor::style or ancestor::template)]"
)
_NO_RESULTS_BOX = "//*[contains(@class, 'nores') or contains(@class, 'no_res')]//text()"
# Bing marks the words of the query with these two private-use characters.
_HIGHLIGHT = dict.fromkeys((0xE000, 0xE001))
_SIZE_TEXT = re.compile(r"(\d+)\s*[×x]\s*(\d+)")

_SAFE = ("off", "moderate", "strict")
_FILTER_FILE = Path(__file__).with_name("bing_filters.toml")
# Our option -> our value -> Bing's word.
_FILTERS = tomllib.loads(_FILTER_FILE.read_text("utf-8"))


class Bing(Source):
    """`https://www.bing.com/images`: 35 results a page, without key or login."""

    name = "bing"
    example = "cats"
    options = (
        Option("endpoint", "URL to use instead of the site", "https://www.bing.com"),
        Option("safe", "filter for adult content", "moderate", _SAFE),
        Option(
            "market",
            "language and country; empty: Bing guesses by your IP address",
            "en-US",
        ),
        Option(
            "size",
            f"{', '.join(_FILTERS['size'])}, or at least WIDTHxHEIGHT pixels",
            choices=_FILTERS["size"],
            parse=parse_size,
        ),
        Option(
            "colour",
            "color, black and white, or a dominant color",
            "",
            _FILTERS["colour"],
        ),
        Option("type", "kind of image", "", _FILTERS["type"]),
        Option("people", "only faces, or head and shoulders", "", _FILTERS["people"]),
        Option("licence", "uses that the licence allows", "", _FILTERS["licence"]),
        Option("layout", "aspect ratio", "", _FILTERS["layout"]),
        Option("date", "indexed by Bing within the last …", "", _FILTERS["date"]),
    )

    def pages(self, query: Query, settings: OptionValues, client: Client) -> Pages:
        """Yield results in Bing's order. A list without a stated end ends by a repeated page."""

        def ask(first: int) -> ResultPage[Candidate]:
            page = self._request_page(query, settings, client, first)
            if first == 1 and _has_no_results(page, query):
                # Bing sometimes reports that for a good query.
                page = self._request_page(query, settings, client, first)
            return _parse_page(page, query, first)

        yield from pages_until_repeated(ask)

    def _request_page(
        self, query: Query, settings: OptionValues, client: Client, first: int
    ) -> Page:
        """Return a page, requested again while Bing answers with decoys. Raises `Blocked`."""
        for _ in range(1 + _RETRIES_OF_DECOYS):
            page = self._request_once(query, settings, client, first)
            if not _has_decoys(page, first):
                return page
        raise Blocked(
            f"Bing answers {query.text!r} with images of something else ({page.url})",
            "wait some hours, use another network or another source",
        )

    def _request_once(
        self, query: Query, settings: OptionValues, client: Client, first: int
    ) -> Page:
        endpoint = Endpoint(settings["endpoint"])
        headers = {
            "User-Agent": _USER_AGENT,
            "Accept": "text/html,*/*;q=0.8",
            "Accept-Language": f"{settings['market']},en;q=0.8",
            "Referer": endpoint.url("/"),
        }
        params = _build_params(query.text, settings, first)
        page = client.page(
            endpoint.url("/images/async"),
            params,
            headers,
        )
        self.check_status(page, query)
        return page


def _parse_page(page: Page, query: Query, first: int) -> ResultPage[Candidate]:
    """Return the results of a page. Raises `Blocked` for a captcha or consent page."""
    results = _find_results(page)
    items = [_parse_result(result, query) for result in results]
    next_url = _find_next_url(page)
    if any(isinstance(item, Candidate) for item in items):
        return ResultPage(
            items,
            _next_position(next_url, first, len(results)),
        )
    # Without a result, a page is right in two cases: it says "no results" on the first page, or a
    # later page states the end of the list.
    is_empty = _has_no_results(page, query)
    is_end = next_url == "" and not results
    if (is_empty and first == 1) or (is_end and first > 1):
        return ResultPage([], None)
    if not results and _is_blocked(page, query):
        raise Blocked(
            f"Bing shows a captcha or consent page instead of {query.text!r} ({page.url})",
            "wait some hours, use another network, a smaller --limit or another source",
        )

    description = "a page without results in a known format"
    if is_empty:
        description = '"no results" in the middle of a list'
    elif not results and not _read_visible_text(page):
        description = "an empty page"
    error = changed_error(
        "Bing",
        query.text,
        f"{description} ({page.url})",
    )
    # `walk_pages` requests the page again, and raises the error if it stays so.
    return ResultPage([], first, error)


def _build_params(text: str, settings: OptionValues, first: int) -> dict[str, str]:
    filters = ""
    for name, words in _FILTERS.items():
        value = settings[name]
        if value:
            word = words.get(value)
            if not word:
                # The size in pixels.
                width, height = parse_size(value)
                word = f"imagesize-custom_{width}_{height}"
            filters += f"+filterui:{word}"

    language, _, country = settings["market"].partition("-")
    params = {
        "q": text,
        "first": str(first),
        "count": str(_PAGE_SIZE),
        # Some servers of Bing know `async` and `mkt`, others `mmasync` with `setlang` and `cc`: all
        # are sent (docs/sources.md).
        "async": "1",
        "mmasync": "1",
        "adlt": settings["safe"],
        "mkt": settings["market"],
        "setlang": language,
        "cc": country,
        "qft": filters,
    }
    return {name: value for name, value in params.items() if value}


def _find_results(page: Page) -> list[HtmlElement]:
    return list(parse_html(page.text).xpath(_RESULTS))


def _find_next_url(page: Page) -> str | None:
    """Return the address of the next page: empty at the end of the list, None if not stated."""
    urls: list[str] = parse_html(page.text).xpath(_NEXT_URL)
    # A list within another one may state the address that the outer one leaves empty.
    return max((url.strip() for url in urls), key=len, default=None)


def _next_position(next_url: str | None, first: int, count: int) -> int | None:
    """Return where the next page begins; None at the end of the list."""
    if next_url == "":
        return None
    position = _read_number(next_url or "", "first")
    if position is not None and position > first:
        return position
    return first + count


def _has_decoys(page: Page, first: int) -> bool:
    """Return whether a page is of another part of a list than the one requested.

    Asked for a first page, Bing sometimes answers with images of something else. Their links state
    positions of a later page, or the address of the next page does.
    """
    results = _find_results(page)
    positions = []
    for result in results:
        position = _read_number(
            result.get("href") or "",
            "selectedIndex",
        )
        if position is not None:
            positions.append(position)

    # Where the page begins, by its links and by the address of the next page.
    starts = []
    if positions:
        # The lowest tenth is skipped: single links may have other positions than their neighbors.
        # Positions in links count from 0, those of pages from 1.
        starts.append(sorted(positions)[len(positions) // 10] + 1)
    next_position = _read_number(_find_next_url(page) or "", "first")
    if results and next_position is not None:
        starts.append(next_position - len(results))
    return any(start >= first + _PAGE_SIZE for start in starts)


def _read_number(url: str, name: str) -> int | None:
    """Return a number in the query of an address, if it is there."""
    # Some addresses are escaped twice.
    number, *_ = parse_qs(urlsplit(url).query.replace("&amp;", "&")).get(name, [""])
    return int(number) if number.isdecimal() else None


def _read_visible_text(page: Page) -> str:
    """Return the text that a person sees, with single spaces and in lower case."""
    words = " ".join(parse_html(page.text).xpath(_VISIBLE_TEXT)).split()
    return " ".join(words).casefold().replace("’", "'")


def _has_no_results(page: Page, query: Query) -> bool:
    if _find_results(page) or _is_blocked(page, query):
        return False
    return _has_no_results_box(page) or _contains(
        _read_visible_text(page), query, "no results"
    )


def _has_no_results_box(page: Page) -> bool:
    texts = parse_html(page.text).xpath(_NO_RESULTS_BOX)
    return any(text.strip() for text in texts)


def _is_blocked(page: Page, query: Query) -> bool:
    tree = parse_html(page.text)
    visible_text = _read_visible_text(page)
    # Only the path of the address: the query behind it may be "captcha".
    texts = [urlsplit(page.url).path, visible_text]
    texts += tree.xpath("//iframe/@src | //form/@action")
    if not visible_text and not tree.xpath("//a | //img"):
        # A captcha that a script draws. Scripts of any other page mention captchas and consent.
        texts.append(page.text)

    asks_consent = _contains(
        "\n".join(texts).casefold(),
        query,
        "consent",
    )
    # A page with a "no results" box may have a banner for consent.
    if asks_consent and not _has_no_results_box(page):
        return True
    texts += tree.xpath("//@class | //@id")
    return _contains("\n".join(texts).casefold(), query, "blocked")


def _contains(text: str, query: Query, meaning: str) -> bool:
    """Return whether a text has a phrase with this meaning, other than within the query."""
    words = " ".join(query.text.split()).casefold()
    # How often the query is in the text, as it is or within an address.
    forms = {words, quote(words).casefold(), quote_plus(words).casefold()} - {""}
    echoes = sum(text.count(form) for form in forms)

    # A query such as "no results" brings its phrases into the page with each echo.
    phrases = [phrase for phrase, sense in _PHRASES.items() if sense == meaning]
    return any(text.count(phrase) > echoes * words.count(phrase) for phrase in phrases)


def _parse_result(result: HtmlElement, query: Query) -> Candidate | Skipped:
    try:
        fields = json.loads(result.get("m"))
    except (ValueError, RecursionError):
        fields = None

    if not isinstance(fields, dict):
        fields = {}
    url = fields.get("murl")
    if not isinstance(url, str) or not url:
        return Skipped(result.get("m"), "unreadable")

    page_url = fields.get("purl")
    if not isinstance(page_url, str) or not page_url:
        page_url = None
    width, height = _find_size(result)
    # The key is the URL of the file, which must not be downloaded twice. Bing's own `mid` changes
    # between markets, and two of them may have the same file.
    origin = Origin(
        source="bing",
        key=url,
        url=url,
        page_url=page_url,
        title=_find_title(result, fields),
        query=query.text,
        hint=query.hint,
    )
    return Candidate(url, origin, width, height, referer=page_url)


def _find_title(result: HtmlElement, fields: Mapping[str, object]) -> str | None:
    for title in [fields.get("t"), result.get("title"), *result.xpath(_TITLES)]:
        text = str(title or "").translate(_HIGHLIGHT).strip()
        if text:
            return text
    return None


def _find_size(result: HtmlElement) -> tuple[int | None, int | None]:
    url = result.get("href") or ""
    width = _read_number(url, "expw")
    height = _read_number(url, "exph")
    if width is not None and height is not None:
        return width, height

    cards = result.xpath("ancestor::li[1]//span[contains(@class, 'nowrap')]")
    for card in cards:
        size = _SIZE_TEXT.search(card.text_content())
        if size:
            return int(size[1]), int(size[2])
    return None, None
