"""Bing image search: the HTML fragments that its result page loads while one scrolls."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from lxml import html
from lxml.etree import ParserError

from gleanset.errors import Blocked
from gleanset.records import Candidate, Origin
from harvest.http import Client, Page
from harvest.sources.base import (
    Endpoint,
    Option,
    Pages,
    Query,
    ResultPage,
    Skipped,
    Source,
    changed,
    listed,
    until_repeated,
    width_and_height,
)

_PAGE = 35
# An old browser, or one that takes no gzip, is given a page with a single picture.
_BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)
# "No results" in the languages of the markets; the page around it is short and has no results.
_NO_RESULTS = (
    *("there are no results for", "no results found for", "did not match any"),
    *("keine ergebnisse", "aucun résultat", "geen resultaten", "inga resultat", "ingen resultat"),
    *("no hay resultados", "encontraron resultados", "encontrado resultados", "ningún resultado"),
    *("nessun risultato", "non ci sono risultati", "não há resultados", "nenhum resultado"),
    *("brak wyników", "nie znaleziono", "žádné výsledky", "žiadne výsledky", "nincs találat"),
    *("nincsenek találatok", "ei tuloksia", "ei hakutuloksia", "sonuç bulunamadı", "sonuç yok"),
    *("niciun rezultat", "nu există rezultate", "nema rezultata", "няма резултати"),
    *("нет результатов", "ничего не найдено", "результатов не найдено", "не найдены"),
    *("немає результатів", "нічого не знайдено", "αποτελέσματα για", "βρέθηκαν αποτελέσματα"),
    *("結果は見つかりません", "結果はありません", "結果がありません", "結果が見つかりません"),
    *("没有与此相关的结果", "没有找到", "找不到", "没有结果", "沒有結果", "沒有與此相關的結果"),
    *(
        "결과가 없습니다",
        "결과를 찾을 수 없",
        "không có kết quả",
        "không tìm thấy",
        "tidak ada hasil",
    ),
    *("ไม่พบผลลัพธ์", "ไม่มีผลลัพธ์", "لا توجد نتائج", "אין תוצאות", "לא נמצאו תוצאות", "कोई परिणाम नहीं"),
)
_NO_RESULTS_BOX = "//*[contains(@class, 'nores') or contains(@class, 'no_res')]//text()"
_TURNED_AWAY = ("turnstile", "captcha", "unusual traffic", "please solve the challenge")
_CONSENT = ("consent", "before you continue", "one last step", "verify you are", "accept cookies")
# Bing frames the words of the query with these two private characters.
_HIGHLIGHT = dict.fromkeys((0xE000, 0xE001))
_SIZE_TEXT = re.compile(r"(\d+)\s*[×x]\s*(\d+)")

_COLOURS = "red orange yellow green teal blue purple pink white gray black brown"
_AGES = (("day", 1440), ("week", 10_080), ("month", 43_200), ("year", 525_600))
_SAFE = {word: word for word in ("off", "moderate", "strict")}
_SIZE_WORDS = {word: f"imagesize-{word}" for word in ("small", "medium", "large", "wallpaper")}
_FILTERS: dict[str, dict[str, str]] = {
    "size": _SIZE_WORDS,
    "colour": {"color": "color2-color", "bw": "color2-bw"}
    | {colour: f"color2-FGcls_{colour.upper()}" for colour in _COLOURS.split()},
    "type": {word: f"photo-{word}" for word in ("photo", "clipart", "linedrawing", "transparent")}
    | {"animated": "photo-animatedgif"},
    "people": {"face": "face-face", "portrait": "face-portrait"},
    "licence": {
        "creative-commons": "licenseType-Any",
        "public-domain": "license-L1",
        "share": "license-L2_L3_L4_L5_L6_L7",
        "share-commercially": "license-L2_L3_L4",
        "modify": "license-L2_L3_L5_L6",
        "modify-commercially": "license-L2_L3",
    },
    "layout": {word: f"aspect-{word}" for word in ("square", "wide", "tall")},
    "date": {word: f"age-lt{minutes}" for word, minutes in _AGES},
}


class Bing(Source):
    """`https://www.bing.com/images`, 35 results a page, without key or login."""

    name: ClassVar[str] = "bing"
    example: ClassVar[str] = "cats"
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site", "https://www.bing.com"),
        Option("safe", "hide adult pictures", "moderate", _SAFE),
        Option("market", "language and country; unset, Bing guesses by your address", "en-US"),
        Option(
            "size",
            f"{', '.join(_SIZE_WORDS)}, or at least WIDTHxHEIGHT pixels",
            words=_SIZE_WORDS,
            parse=width_and_height,
        ),
        Option(
            "colour", "all colours, black and white, or one that prevails", "", _FILTERS["colour"]
        ),
        Option("type", "kind of picture", "", _FILTERS["type"]),
        Option("people", "only faces, or head and shoulders", "", _FILTERS["people"]),
        Option("licence", "what the licence must allow", "", _FILTERS["licence"]),
        Option("layout", "shape of the picture", "", _FILTERS["layout"]),
        Option("date", "found by Bing within the last …", "", _FILTERS["date"]),
    )

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield results in Bing's order. Past its end Bing repeats the last page: that ends it."""

        def ask(first: int) -> ResultPage[Candidate]:
            page = self._page(query, settings, client, first)
            if first == 1 and _says_none(page):
                # Bing says so of a good query now and then.
                page = self._page(query, settings, client, first)
            return _read(page, query, first)

        yield from until_repeated(page.items for page in listed(ask, 1))

    def _page(self, query: Query, settings: Mapping[str, str], client: Client, first: int) -> Page:
        endpoint = Endpoint(settings["endpoint"])
        headers = {
            "User-Agent": _BROWSER,
            "Accept": "text/html,*/*;q=0.8",
            "Accept-Language": f"{settings['market']},en;q=0.8",
            "Referer": endpoint.url("/"),
        }
        params = _params(query.text, settings, first)
        page = client.page(endpoint.url("/images/async"), params, headers)
        self.refuse(page, query)
        return page


def _read(page: Page, query: Query, first: int) -> ResultPage[Candidate]:
    """Return the results of a page. Raises `Blocked` for a page that wants a person."""
    results = _results(page)
    items = [_candidate(result, query) for result in results]
    if any(isinstance(item, Candidate) for item in items):
        return ResultPage(items, first + len(results))
    if _says_none(page):
        return ResultPage([], None)
    if not results and _is_turned_away(page):
        raise Blocked(
            f"Bing wants a person to solve a captcha or consent before it shows {query.text!r} "
            f"({page.url}).",
            "Wait some hours, use another network, a smaller --limit or another source.",
        )
    is_blank = not _visible_text(page) and not _is_turned_away(page)
    what = "an empty page" if is_blank else "a page without the results we know"
    return ResultPage([], first, changed("Bing", query.text, f"{what} ({page.url})"))


def _params(text: str, settings: Mapping[str, str], first: int) -> dict[str, str]:
    chosen = {name: settings[name] for name in _FILTERS if settings[name]}
    filters = [_FILTERS[name].get(word) or _custom_size(word) for name, word in chosen.items()]
    language, _, country = settings["market"].partition("-")
    params = {
        "q": text,
        "first": str(first),
        "count": str(_PAGE),
        # Either of each pair is what Bing knows; docs/sources.md says since when.
        "async": "1",
        "mmasync": "1",
        "adlt": settings["safe"],
        "mkt": settings["market"],
        "setlang": language,
        "cc": country,
        "qft": "".join(f"+filterui:{word}" for word in filters),
    }
    return {name: value for name, value in params.items() if value}


def _custom_size(size: str) -> str:
    width, height = width_and_height(size)
    return f"imagesize-custom_{width}_{height}"


def _tree(page: Page) -> html.HtmlElement | None:
    try:
        # lxml refuses a text that declares its own encoding, bytes it takes.
        return html.fromstring(page.text.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except ParserError:
        return None


def _results(page: Page) -> list[html.HtmlElement]:
    tree = _tree(page)
    return [] if tree is None else list(tree.xpath("//a[contains(@class, 'iusc')][@m]"))


def _visible_text(page: Page) -> str:
    tree = _tree(page)
    if tree is None:
        return ""
    words = tree.xpath("//text()[not(parent::script or parent::style)]")
    return " ".join(" ".join(words).split()).casefold()


def _says_none(page: Page) -> bool:
    tree, text = _tree(page), _visible_text(page)
    if tree is None or _results(page):
        return False
    in_box = "".join(tree.xpath(_NO_RESULTS_BOX)).strip()
    return bool(in_box) or any(sentence in text for sentence in _NO_RESULTS)


def _is_turned_away(page: Page) -> bool:
    # Not the whole address: the query in it may well be "captcha".
    source = (urlsplit(page.url).path + page.text).casefold()
    text = _visible_text(page)
    return any(mark in source for mark in _TURNED_AWAY) or any(mark in text for mark in _CONSENT)


def _candidate(result: html.HtmlElement, query: Query) -> Candidate | Skipped:
    try:
        fields = json.loads(result.get("m"))
    except ValueError:
        fields = None
    url = fields.get("murl") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(url, str) or not url:
        return Skipped(result.get("m"), "unreadable")
    page_url = purl if isinstance(purl := fields.get("purl"), str) and purl else None
    width, height = _size(result)
    # The key is the address of the file: it is what must not be fetched twice. Bing's own
    # `mid` changes between markets, and two of them may name the same file.
    origin = Origin(
        source="bing",
        key=url,
        url=url,
        page_url=page_url,
        title=str(fields.get("t") or "").translate(_HIGHLIGHT).strip() or None,
        query=query.text,
        hint=query.hint,
    )
    return Candidate(url, origin, width, height, referer=page_url)


def _size(result: html.HtmlElement) -> tuple[int | None, int | None]:
    params = parse_qs(urlsplit(result.get("href") or "").query)
    width, height = params.get("expw", [""])[0], params.get("exph", [""])[0]
    if width.isdecimal() and height.isdecimal():
        return int(width), int(height)
    cards = result.xpath("ancestor::li[1]//span[contains(@class, 'nowrap')]")
    for card in cards:
        if size := _SIZE_TEXT.search(card.text_content()):
            return int(size[1]), int(size[2])
    return None, None
