"""One server on loopback that plays all four sites and the hosts of their images.

    with running(FourSites(["alpha", "beta"], each=60)) as sites:
        run("harvest", "keyword", "alpha", *sites.options(), **sites.environment)

Bing returns pages of 35 results, Google a page that loads more when scrolled, Flickr REST answers,
Pixiv a login, pages of 30 works, and works of several images. Every
image is different and drawn on request. The server acts as a proxy for names that no DNS server
knows, so that `--allow-private` is not needed.
"""

import functools
import hashlib
import json
import time
import zlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from faulty_server import FaultyServer, Handler
from google_page import PAGE, ImageResult, script
from pixiv_site import BAD_TOKEN, EXPIRED, account, search_response, work
from tools_for_tests import picture

from pipeline.demo import PAGE_SIZE, SearchResult, render_search_page

SOURCES = ("bing", "google", "flickr", "pixiv")
KEYS = {
    "FLICKR_API_KEY": "flickr-key-of-the-four-sites",
    "FLICKR_API_SECRET": "flickr-secret",
    "PIXIV_REFRESH_TOKEN": "pixiv-refresh-token-of-the-four-sites",
}
# Flickr's license numbers (shared/facts/sites.md, section 3).
LICENCES = {
    "0": "All Rights Reserved",
    "4": "CC BY 2.0",
    "9": "CC0 1.0",
    "12": "CC BY-SA 4.0",
}
GOOGLE_CHUNK = 20
PIXIV_PAGE = 30
_IMAGE_HOSTS = ("pictures.example", "cdn.example", "static.example", "i.example")
_BASE = "http://four-sites.example"
_PIXIV_HOME = "https://app-api.pixiv.net/"
_ACCESS = "access-of-the-four-sites"

Fields = dict[str, str]


@dataclass(frozen=True)
class SiteImage:
    """An image of a site with the site's information about it."""

    source: str
    keyword: str
    number: int
    url: str
    page: str
    title: str | None
    author: str | None = None
    licence: str | None = None
    post: str | None = None

    @property
    def seed(self) -> int:
        """The seed of the drawing, different for every image."""
        return zlib.crc32(f"{self.source}/{self.keyword}/{self.number}".encode())

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def key(self) -> str:
        """The id of the image on its site."""
        if self.source == "flickr":
            return str(_photo_id(self))
        if self.source == "pixiv":
            return f"{self.post}_p{_page_of(self.number)}"
        return self.url

    @property
    def width(self) -> int:
        return 96

    @property
    def data(self) -> bytes:
        return _drawn(self.seed)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@functools.lru_cache(4096)
def _drawn(seed: int) -> bytes:
    return picture(seed, (96, 72))


class FourSites(FaultyServer):
    """Sites with `each` images per keyword; `images` maps paths to images.

    `requests` has every request except for robots.txt; `pause` is the time in seconds an image
    takes.
    """

    def __init__(self, keywords: list[str], each: int) -> None:
        super().__init__()
        self.pause = 0.0
        self.otherwise = self._answer
        self._lists = {
            (source, word): [self._make_image(source, word, n) for n in range(each)]
            for source in SOURCES
            for word in keywords
        }
        self.images = {
            image.path: image for many in self._lists.values() for image in many
        }

    def options(self, sources: tuple[str, ...] = SOURCES) -> list[str]:
        """Return the command-line options that direct these sites to this server."""
        places = {f"{source}.endpoint": source for source in sources}
        if "pixiv" in sources:
            places["pixiv.auth_endpoint"] = "pixiv-auth"
        return [
            w for name, at in places.items() for w in ("-o", f"{name}={_BASE}/{at}")
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {**KEYS, "HTTP_PROXY": self.url}

    def results_of(self, source: str, word: str) -> list[SiteImage]:
        """Return a site's results for a keyword, in order; unknown: none."""
        return self._lists.get((source, word), [])

    def image_requests(self) -> list[str]:
        """Return the paths of all images requested, in order."""
        with self.lock:
            paths = [urlsplit(target).path for target in self.requests]
        return [path for path in paths if path.startswith("/p/")]

    def send(self, h: Handler) -> None:
        """Send the requested image as a working host does."""
        image = self.images[urlsplit(h.path).path]
        if image.source == "pixiv" and h.headers["Referer"] != _PIXIV_HOME:
            h.answer(403, b"<html>Forbidden</html>", Content_Type="text/html")
            return
        time.sleep(self.pause)
        h.answer(200, image.data, Content_Type="image/jpeg")

    def _answer(self, h: Handler) -> None:
        path = urlsplit(h.path).path
        if path in self.images:
            self.send(h)
        elif endpoint := _ENDPOINTS.get(path):
            status, kind, body = endpoint(
                self, h.fields | {"authorization": h.headers["Authorization"] or ""}
            )
            h.answer(status, body.encode(), Content_Type=kind)
        else:
            h.answer(404, b"<html>not here</html>", Content_Type="text/html")

    def _make_image(self, source: str, word: str, number: int) -> SiteImage:
        host = _IMAGE_HOSTS[number % len(_IMAGE_HOSTS)]
        url = f"http://{host}/p/{source}/{word}/{number}.jpg"
        title = f"{word} {number} — “猫” & <co>"
        if source == "flickr":
            licence = list(LICENCES.values())[number % len(LICENCES)]
            image = SiteImage(
                source, word, number, url, "", title, f"owner {number % 7}", licence
            )
            page = f"https://www.flickr.com/photos/{_owner(image)}/{image.key}"
            return replace(image, page=page)
        if source == "pixiv":
            work = _work_of(number)
            page = f"https://www.pixiv.net/artworks/{_work_id(word, work)}"
            return SiteImage(
                source,
                word,
                number,
                url,
                page,
                f"{word} work {work}",
                f"artist {work % 5}",
                post=str(_work_id(word, work)),
            )
        return SiteImage(
            source, word, number, url, f"https://blog.example/{word}/{number}", title
        )


Response = tuple[int, str, str]
_HTML = "text/html; charset=utf-8"
_JSON = "application/json; charset=utf-8"


def _bing(sites: FourSites, sent: Fields) -> Response:
    listed = [
        SearchResult("", image.url, image.title or "", image.page)
        for image in sites.results_of("bing", sent["q"])
    ]
    return (
        200,
        _HTML,
        render_search_page(sent["q"], listed, int(sent["first"]), PAGE_SIZE, ""),
    )


def _google(sites: FourSites, sent: Fields) -> Response:
    if sites.results_of("google", sent["q"]):
        return 200, _HTML, PAGE
    none = "Your search did not match any image results."
    return 200, _HTML, f"<html><body><p>{none}</p></body></html>"


def _google_more(sites: FourSites, sent: Fields) -> Response:
    first = int(sent["n"]) * GOOGLE_CHUNK
    part = sites.results_of("google", sent["q"])[first : first + GOOGLE_CHUNK]
    results = [
        ImageResult(image.url, image.page, image.title or "", image.width, 72)
        for image in part
    ]
    return 200, "text/plain; charset=utf-8", script(results, first) if results else ""


def _flickr(sites: FourSites, sent: Fields) -> Response:
    if f'oauth_consumer_key="{KEYS["FLICKR_API_KEY"]}"' not in sent["authorization"]:
        result = {
            "stat": "fail",
            "code": 100,
            "message": "Invalid API Key (Key not found)",
        }
        return 200, _JSON, json.dumps(result)
    images = sites.results_of("flickr", sent["text"])
    size = int(sent["per_page"])
    page = int(sent["page"])
    pages = -(-len(images) // size)
    photos = [_photo(image) for image in images[size * (page - 1) :][:size]]
    listing = {"page": page, "pages": pages, "total": str(len(images)), "photo": photos}
    return 200, _JSON, json.dumps({"photos": listing, "stat": "ok"})


def _photo(image: SiteImage) -> dict[str, Any]:
    licence = next(number for number, name in LICENCES.items() if name == image.licence)
    return {
        "id": image.key,
        "owner": _owner(image),
        "secret": "s",
        "server": "1",
        "title": image.title,
        "license": licence,
        "ownername": image.author,
        "media": "photo",
        "tags": f"{image.keyword} bird",
        "dateupload": str(1_600_000_000 + 600 * image.number),
        "url_t": image.url.replace("/p/", "/small/"),
        "width_t": 10,
        "height_t": 8,
        "url_l": image.url,
        "width_l": image.width,
        "height_l": "72",
    }


def _photo_id(image: SiteImage) -> int:
    return 50_000_000_000 + image.seed


def _owner(image: SiteImage) -> str:
    return f"{1000 + image.number % 7}@N00"


# Pixiv: works have 1, 1 and 3 pages, repeatedly.

_PAGES_OF = (1, 1, 3)


def _work_of(number: int) -> int:
    round_, rest = divmod(number, sum(_PAGES_OF))
    return round_ * len(_PAGES_OF) + min(rest, len(_PAGES_OF) - 1)


def _page_of(number: int) -> int:
    return max(number % sum(_PAGES_OF) - (len(_PAGES_OF) - 1), 0)


def _work_id(word: str, work: int) -> int:
    return 100_000_000 + zlib.crc32(word.encode()) % 1000 * 10_000 + work


def _pixiv_login(_: FourSites, sent: Fields) -> Response:
    token = sent.get("refresh_token", "")
    is_valid = token == KEYS["PIXIV_REFRESH_TOKEN"]
    status, result = account(_ACCESS, token) if is_valid else BAD_TOKEN
    return status, _JSON, json.dumps(result)


def _pixiv(sites: FourSites, sent: Fields) -> Response:
    works: dict[int, list[SiteImage]] = {}
    for image in sites.results_of("pixiv", sent["word"]):
        works.setdefault(_work_of(image.number), []).append(image)
    offset = int(sent.get("offset", 0))
    following = offset + PIXIV_PAGE
    page_works = [_work(pages) for pages in list(works.values())[offset:following]]
    status, result = search_response(
        *page_works, next_offset=following if following < len(works) else None
    )
    if sent["authorization"] != f"Bearer {_ACCESS}":
        status, result = EXPIRED
    return status, _JSON, json.dumps(result)


def _work(pages: list[SiteImage]) -> dict[str, Any]:
    first, *others = pages
    sheets = [{"image_urls": {"original": page.url}} for page in pages]
    return work(
        int(first.post or 0),
        title=first.title,
        type="manga" if others else "illust",
        user={"id": 7, "name": first.author, "account": "a"},
        tags=[{"name": first.keyword, "translated_name": "word"}],
        page_count=len(pages),
        width=first.width,
        height=72,
        meta_single_page={} if others else {"original_image_url": first.url},
        meta_pages=sheets if others else [],
    )


_ENDPOINTS = {
    "/bing/images/async": _bing,
    "/google/search": _google,
    "/google/more": _google_more,
    "/flickr/services/rest/": _flickr,
    "/pixiv-auth/auth/token": _pixiv_login,
    "/pixiv/v1/search/illust": _pixiv,
}
