"""Parses a Google image page: its results, or why there are none.

The page has its results twice: as arrays in its scripts, `["https://host/a.jpg",H,W]` (height
first) followed by `"2003":[null,id,page,title]`, and as links `/imgres?imgurl=…`. Class names
change from week to week and are not used.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from lxml.html import HtmlElement

from harvest.sources.base import parse_html

PageState = Literal["results", "none", "captcha", "consent", "refused", "unknown"]

_TEXT = r'"(?:[^"\\]|\\.)*"'
_ATOM = rf"(?:{_TEXT}|null|[\d.]+)"
_TOKEN = re.compile(
    rf"""
    \[\s* (?P<url>"https?:(?:[^"\\]|\\.)+") \s*,\s* (?P<height>\d+) \s*,\s* (?P<width>\d+) \s*[,\]]
    | "2003"\s*:\s*\[\s* {_ATOM} \s*,\s* {_ATOM} \s*,\s* (?P<page>{_ATOM})
      (?: \s*,\s* (?P<title>{_ATOM}) )?
    """,
    re.VERBOSE,
)
# Scripts may write \x3d, which JSON does not know, for \u003d.
_HEX_ESCAPE = re.compile(r"(?<!\\)\\x([0-9A-Fa-f]{2})")

_NO_RESULTS_TEXT = ("did not match any image results", "did not match any documents")
_CAPTCHA_TEXT = ("unusual traffic", "not a robot", "solve the captcha")
_CAPTCHA_CODE = ("g-recaptcha", "captcha-form", "recaptcha/api", "recaptcha/enterprise")
_CONSENT_TEXT = ("before you continue",)
_CONSENT_FORM = re.compile(r'<form[^>]+action="https?://consent\.')
_MAX_REDIRECT_CHARS = 2000
# Each tile has its own value of one of these: the first since 2023, the others before.
_TILE_ATTRIBUTES = ("data-docid", "data-tbnid", "data-ri")
_LITERAL = re.compile(_TEXT)


class GooglePage(NamedTuple):
    """A snapshot of the page in the browser.

    `text` is its visible text; `status` its HTTP status, 0 if the browser does not report one.
    `answers` are the answers to requests of its scripts: they alone hold the addresses of images
    that come after the first hundred or so.
    """

    url: str
    html: str
    text: str
    status: int = 0
    answers: tuple[str, ...] = ()


class GoogleResult(NamedTuple):
    """One result; `width` and `height` are those of the original."""

    url: str
    width: int | None
    height: int | None
    page_url: str | None = None
    title: str | None = None


def parse_page(page: GooglePage) -> list[GoogleResult]:
    """Return every image of a page and of the answers to its scripts once."""
    return _drop_repeats(parse_results(page.html), *map(parse_answer, page.answers))


def parse_results(html: str) -> list[GoogleResult]:
    """Return every image once, in page order; scripts take precedence over links."""
    tree = parse_html(html)
    scripts = [_parse_script(str(text)) for text in tree.xpath("//script/text()")]
    links = [_parse_link(a) for a in tree.xpath("//a[contains(@href, 'imgres?')]")]
    return _drop_repeats(*scripts, *links)


def _drop_repeats(*results: Iterable[GoogleResult]) -> list[GoogleResult]:
    """Return the first result with each URL."""
    by_url: dict[str, GoogleResult] = {}
    for result in chain.from_iterable(results):
        by_url.setdefault(result.url, result)
    return list(by_url.values())


@lru_cache(maxsize=256)
def parse_answer(text: str) -> tuple[GoogleResult, ...]:
    """Return the images of an answer: HTML, a script, or JSON with JSON in its texts."""
    results: list[GoogleResult] = []
    for script in (text, *_iter_nested_texts(text)):
        results += _parse_script(script)
        results += parse_results(script)
    return tuple(_drop_repeats(results))


def _iter_nested_texts(text: str) -> Iterator[str]:
    """Yield the string literals of an answer that hold data, and those within them.

    Its JSON has more JSON or HTML in its texts, with `)]}'`, numbers of bytes or calls around it.
    """
    for literal in _LITERAL.findall(text):
        nested = _parse_string(literal) or ""
        # A plain address is not data.
        if "http" in nested and not nested.startswith("http"):
            yield nested
            yield from _iter_nested_texts(nested)


def count_tiles(html: str) -> int:
    """Return how many images a page shows, with or without an address."""
    tree = parse_html(html)
    return max(
        len(set(tree.xpath(f"//@{attribute}")) - {""}) for attribute in _TILE_ATTRIBUTES
    )


def classify_page(page: GooglePage) -> PageState:
    """Return the kind of a page; `unknown` may change while it loads."""
    if parse_results(page.html):
        return "results"
    text = " ".join(page.text.split()).casefold()
    # Not the whole address: the query in it may be "sorry".
    parts = urlsplit(page.url)
    if "/sorry/" in f"{parts.path}/":
        return "captcha"
    if (parts.hostname or "").startswith("consent."):
        return "consent"
    if any(sentence in text for sentence in _NO_RESULTS_TEXT):
        return "none"
    return _classify_other(page, text)


def _classify_other(page: GooglePage, text: str) -> PageState:
    if page.status == 429:
        return "refused"
    if _is_captcha(page.html, text):
        return "captcha"

    has_consent_text = any(sentence in text for sentence in _CONSENT_TEXT)
    if has_consent_text or _CONSENT_FORM.search(page.html):
        return "consent"
    if page.status >= 400:
        return "refused"
    # Not earlier: a captcha may have replaced the page that received the answers.
    return "results" if parse_page(page) else "unknown"


def _is_captcha(html: str, text: str) -> bool:
    if any(sentence in text for sentence in _CAPTCHA_TEXT):
        return True
    if any(mark in html for mark in _CAPTCHA_CODE):
        return True
    # A short page that leads to a captcha; a long one may have such an address among its results.
    return len(html) < _MAX_REDIRECT_CHARS and "/sorry/" in html


def _parse_script(script: str) -> Iterator[GoogleResult]:
    """Yield the images in a script: an address, then often its page and title."""
    result: GoogleResult | None = None
    for token in _TOKEN.finditer(script):
        if not token["url"]:
            # A "2003" array: the page and title of the image before it.
            if result:
                words = (_parse_string(token["title"]) or "").split()
                page_url = _parse_url(token["page"])
                yield result._replace(
                    page_url=page_url,
                    title=" ".join(words) or None,
                )
            result = None
            continue

        url = _parse_url(token["url"])
        if not url or _is_thumbnail(url):
            continue
        if result:
            yield result
        width = _parse_pixels(token["width"])
        result = GoogleResult(
            url,
            width,
            _parse_pixels(token["height"]),
        )
    if result:
        yield result


def _parse_link(link: HtmlElement) -> Iterator[GoogleResult]:
    params = parse_qs(link.get("href").partition("?")[2])
    fields = {name: values[0] for name, values in params.items()}
    url = fields.get("imgurl", "")
    if url.startswith(("http://", "https://")) and not _is_thumbnail(url):
        words = link.xpath("string(.//img/@alt)").split()
        yield GoogleResult(
            url,
            width=_parse_pixels(fields.get("w")),
            height=_parse_pixels(fields.get("h")),
            page_url=fields.get("imgrefurl"),
            title=" ".join(words) or None,
        )


def _is_thumbnail(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    host = parts.hostname or ""
    return host.endswith(".gstatic.com") or parts.query.startswith("q=tbn")


def _parse_url(literal: str | None) -> str | None:
    text = _parse_string(literal)
    return text if text and text.startswith(("http://", "https://")) else None


def _parse_string(literal: str | None) -> str | None:
    """Return the text of a string literal of JavaScript; None for another literal."""
    if not literal or not literal.startswith('"'):
        return None
    try:
        text: str = json.loads(
            _HEX_ESCAPE.sub(r"\\u00\1", literal),
            strict=False,
        )
    except ValueError:
        return None
    # Half of a surrogate pair cannot be encoded.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parse_pixels(digits: str | None) -> int | None:
    if not digits or not digits.isdecimal() or len(digits) > 6:
        return None
    return int(digits) or None
