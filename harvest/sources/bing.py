"""Bing image search: the HTML fragments that its result page loads while one scrolls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

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
    pages_until_repeated,
    parse_size,
)

_PAGE = 35
# An old browser, or one that takes no gzip, is given a page with a single picture.
_BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36"
)
# "No results for …" or "no results were found" in the languages of the markets. Parts of it such as
# "not found", "results for" or "no results" also stand on pages of another kind.
_NO_RESULTS = (
    *("there are no results for", "no results found for", "no results were found for"),
    *("did not match any image", "did not match any results", "did not match any documents"),
    *("keine ergebnisse für", "keine ergebnisse gefunden", "geen resultaten voor"),
    *("geen resultaten gevonden", "aucun résultat pour", "aucun résultat trouvé"),
    *("aucun résultat n'a été trouvé", "aucun résultat ne correspond"),
    *("inga resultat för", "inga resultat hittades", "hittade inga resultat"),
    *("ingen resultater for", "ingen resultater fundet", "ingen resultater funnet"),
    *("fandt ingen resultater", "fant ingen resultater"),
    *("no hay resultados para", "no se encontraron resultados", "no se han encontrado resultados"),
    *("no se encontró ningún resultado", "no se ha encontrado ningún resultado"),
    *("nessun risultato per", "nessun risultato trovato", "non ci sono risultati per"),
    *("non sono stati trovati risultati", "não há resultados para", "nenhum resultado para"),
    *("nenhum resultado encontrado", "nenhum resultado foi encontrado"),
    *("não foram encontrados resultados", "brak wyników dla", "nie znaleziono wyników"),
    *("nie znaleziono żadnych wyników", "žádné výsledky pro", "neexistují žádné výsledky"),
    *("nebyly nalezeny žádné výsledky", "žiadne výsledky pre", "neexistujú žiadne výsledky"),
    *("nenašli sa žiadne výsledky", "nincs találat a következő", "nincs találat a(z)"),
    *("nincsenek találatok a következő", "nincsenek találatok a(z)"),
    *("ei tuloksia haulle", "ei hakutuloksia haulle", "ei löytynyt tuloksia"),
    *("ei löytynyt hakutuloksia", "için sonuç yok", "sonuç bulunamadı"),
    *("niciun rezultat pentru", "nu există rezultate pentru", "nu s-au găsit rezultate"),
    *("nema rezultata za", "няма резултати за", "не са намерени резултати"),
    *("нет результатов для", "нет результатов по запросу", "результатов не найдено"),
    *("результаты не найдены", "по вашему запросу ничего не найдено", "немає результатів для"),
    *("немає результатів за запитом", "результатів не знайдено"),
    *("за вашим запитом нічого не знайдено", "δεν υπάρχουν αποτελέσματα για"),
    *("δεν βρέθηκαν αποτελέσματα", "結果は見つかりませんでした", "結果が見つかりませんでした"),
    *("に一致する結果は見つかりません", "結果はありません", "結果がありません"),
    *("没有与此相关的结果", "没有找到相关结果", "没有找到任何结果", "没有找到结果"),
    *("找不到相关结果", "找不到任何结果", "找不到结果", "沒有與此相關的結果", "沒有找到相關結果"),
    *("沒有找到任何結果", "沒有找到結果", "找不到相關結果", "找不到任何結果", "找不到結果"),
    *("에 대한 결과가 없습니다", "검색 결과가 없습니다", "결과를 찾을 수 없습니다"),
    *("không có kết quả cho", "không có kết quả nào", "không tìm thấy kết quả"),
    *("tidak ada hasil untuk", "tidak ada hasil yang ditemukan", "tidak ditemukan hasil"),
    *("ไม่พบผลลัพธ์สำหรับ", "ไม่มีผลลัพธ์สำหรับ", "لا توجد نتائج ل", "لم يتم العثور على نتائج"),
    *("لم يتم العثور على أي نتائج", "אין תוצאות עבור", "לא נמצאו תוצאות"),
    *("के लिए कोई परिणाम नहीं", "कोई परिणाम नहीं मिला", "कोई परिणाम नहीं मिले"),
)
_NO_RESULTS_BOX = "//*[contains(@class, 'nores') or contains(@class, 'no_res')]//text()"
_TURNED_AWAY = (
    *("turnstile", "captcha", "unusual traffic", "please solve the challenge"),
    *("before you continue", "one last step", "verify you are"),
)
# A banner on a page of any kind may say so too.
_CONSENT = ("consent", "accept cookies")
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
            parse=parse_size,
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
            if first == 1 and _says_none(page, query):
                # Bing says so of a good query now and then.
                page = self._page(query, settings, client, first)
            return _read(page, query, first)

        yield from pages_until_repeated(ask, 1)

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
    is_none = _says_none(page, query)
    if is_none and first == 1:
        return ResultPage([], None)
    if not results and _is_turned_away(page, query):
        raise Blocked(
            f"Bing wants a person to solve a captcha or consent before it shows {query.text!r} "
            f"({page.url}).",
            "Wait some hours, use another network, a smaller --limit or another source.",
        )
    what = "a page without the results we know"
    if is_none:
        what = '"no results" in the middle of a list'
    elif not results and not _visible_text(page):
        what = "an empty page"
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
    width, height = parse_size(size)
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
    return " ".join(" ".join(words).split()).casefold().replace("’", "'")


def _says_none(page: Page, query: Query) -> bool:
    if _results(page) or _is_turned_away(page, query):
        return False
    return _has_box(page) or _says(_visible_text(page), _NO_RESULTS, query)


def _has_box(page: Page) -> bool:
    tree = _tree(page)
    return tree is not None and bool("".join(tree.xpath(_NO_RESULTS_BOX)).strip())


def _is_turned_away(page: Page, query: Query) -> bool:
    # Not the whole address: the query in it may well be "captcha".
    shown = [urlsplit(page.url).path.casefold(), _visible_text(page)]
    if not _has_box(page):
        shown.append(page.text.casefold())
        return _says("\n".join(shown), (*_TURNED_AWAY, *_CONSENT), query)
    # In a page that says that it has nothing, scripts and a banner mean no refusal.
    tree = _tree(page)
    if tree is not None:
        shown += tree.xpath("//@class | //@id | //iframe/@src | //form/@action")
    return _says("\n".join(shown).casefold(), _TURNED_AWAY, query)


def _says(text: str, sentences: Iterable[str], query: Query) -> bool:
    """Whether one of the sentences is in a text other than as a part of the query."""
    asked = " ".join(query.text.split()).casefold()
    forms = {asked, quote(asked).casefold(), quote_plus(asked).casefold()} - {""}
    echoes = sum(text.count(form) for form in forms)
    return any(text.count(words) > echoes * asked.count(words) for words in sentences)


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
