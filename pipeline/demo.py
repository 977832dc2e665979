"""`gleanset demo`: the bundled sample, from a search to an evaluated model, offline.

Its site has an image search, two image hosts, and typical faults:

    with SampleSite(Path("datasets/sample")) as site:
        harvest.run("bing", endpoint=site.address)

It listens on loopback, on port 8427 if that is free. Responses have the structure of Bing's
`/images/async`, on which three independent parsers agree: `ul.dgControl_list > li > div.iuscp >
div.imgpt > a.iusc[m]`, next to an `infopt` block. `site.json` has the results by keyword:

{"results": {"hana": [{"picture": "0a….jpg", "path": "/host-a/…", "title": …, "page": …,
                       "variant": "plain", "fault": "none"}, …], …}}
"""

import json
import shlex
import shutil
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit
from zlib import crc32

import msgspec
from PIL import Image

from gleanset.installation import bundled_data
from gleanset.work.progress import Progress
from pipeline.recipe import read_recipe
from pipeline.stages import RecipeResult, Stages, run_recipe


def run_demo(
    root: Path, progress: Progress, say: Callable[[str], None]
) -> RecipeResult:
    """Serve the sample site on loopback, and run its recipe."""
    progress.say("the demo takes 2 to 5 minutes")
    data = bundled_data()
    recipes = data / "recipes"
    recipe = read_recipe(recipes / "sample.toml")

    with SampleSite(data / "sample") as site:
        stages = Stages(
            recipe,
            recipes,
            progress,
            allow_private=True,
            options={"bing.endpoint": site.address},
            say=say,
        )
        result = run_recipe(stages, root)

    if result.serve and shutil.which("webapp") is None:
        # The environment is not active.
        scripts = shlex.quote(sysconfig.get_path("scripts"))
        result.serve = f"{scripts}/{result.serve}"
    return result


FILE = "site.json"


@dataclass(frozen=True)
class SearchResult:
    """A search result; `path` may have a query, `page` is the URL of the post.

    `variant`: plain, resized (half the width), reencoded (a JPEG of lower quality). `fault`: none,
    missing (404), forbidden (403), page (a web page named .jpg), empty, cut (a truncated file with
    its true length) or dropped (with the full length).
    """

    picture: str
    path: str
    title: str
    page: str
    variant: str = "plain"
    fault: str = "none"


SiteListing = dict[str, list[SearchResult]]


def to_json(listing: SiteListing) -> str:
    """Return the text of `site.json`."""
    return json.dumps({"results": msgspec.to_builtins(listing)}, indent=1) + "\n"


def read_listing(folder: Path) -> SiteListing:
    """Return the listing of a sample folder."""
    return msgspec.json.decode(
        (folder / FILE).read_bytes(), type=dict[str, SiteListing]
    )["results"]


PAGE_SIZE = 35

_ROW = """<li data-idx="{index}"><div class="iuscp isv"><div class="imgpt">\
<a class="iusc" style="height:180px" m="{m}" href="{href}"></a>\
<div class="img_info hon"><span class="nowrap">{width} × {height} · jpeg</span></div></div>\
<div class="infopt"><div class="infnmpt"><div><ul class="b_dataList">\
<li><a class="inflnk" title="{title}" href="{page}">{title}</a></li>\
<li><div class="lnkw"><a title="{host}" href="{page}">{host}</a></div></li>\
</ul></div></div></div></div></li>"""


def render_search_page(
    query: str, results: list[SearchResult], first: int, count: int, base: str
) -> str:
    """Return the HTML fragment of a page; all URLs start with `base`.

    Past the end it is the last page, as Bing does.
    """
    if not results:
        return f'<div class="no_results">There are no results for <b>{escape(query)}</b></div>'
    size = max(1, min(count, PAGE_SIZE))
    # `first` counts from 1.
    start = max(0, first - 1)
    if start >= len(results):
        # The last page begins at a multiple of its size.
        start = (len(results) - 1) // size * size

    page = results[start : start + size]
    rows = [
        _render_row(result, index, base)
        for index, result in enumerate(page, start=start)
    ]
    return (
        f'<div class="dgControl hover" data-nextpage="{start + len(page) + 1}">'
        f'<ul class="dgControl_list" data-row="0">{"".join(rows)}</ul></div>'
    )


def _render_row(result: SearchResult, index: int, base: str) -> str:
    # All images of the sample are 640 x 360.
    width, height = (320, 180) if result.variant == "resized" else (640, 360)
    metadata = _build_metadata(result, base)
    # The path begins with the name of the host, such as /host-a/.
    host = urlsplit(result.path).path.split("/")[1]
    link = {
        "view": "detailV2",
        "mediaurl": metadata["murl"],
        "expw": width,
        "exph": height,
    }
    return _ROW.format(
        index=index + 1,
        m=escape(json.dumps(metadata)),
        href=escape(f"/images/search?{urlencode(link)}"),
        title=escape(result.title),
        page=escape(metadata["purl"]),
        host=escape(f"{host}.example"),
        width=width,
        height=height,
    )


def _build_metadata(result: SearchResult, base: str) -> dict[str, str]:
    """Return the `m` attribute; Bing marks words of the query with U+E000 and U+E001."""
    title = result.title
    # Mark a third of the titles, chosen by the hash of the path so that they are always the same.
    if crc32(result.path.encode()) % 3 == 0:
        first, rest = title.split(" ", 1)
        title = f"\ue000{first}\ue001 {rest}"
    return {
        "purl": base + result.page,
        "murl": base + result.path,
        "t": title,
    }


PORT = 8427
"""A fixed port, so that another run knows the URLs that it downloaded before."""

_HTML = "text/html; charset=utf-8"
_JPEG = "image/jpeg"


class SiteResponse(NamedTuple):
    """A response; `length` is its Content-Length if that differs from the body."""

    status: int
    kind: str
    body: bytes
    length: int | None = None


_NOT_FOUND = SiteResponse(404, _HTML, b"<html><h1>404 Not Found</h1></html>")


class SampleSite(ThreadingHTTPServer):
    """Serves a sample folder; a context manager."""

    def __init__(self, folder: Path):
        self._pictures = folder / "pictures"
        self._listing = read_listing(folder)
        results = list(chain.from_iterable(self._listing.values()))
        self._by_path = {urlsplit(result.path).path: result for result in results}

        try:
            super().__init__(("127.0.0.1", PORT), _Handler)
        except OSError:  # in use
            super().__init__(("127.0.0.1", 0), _Handler)
        # 0.05: the server checks every 50 ms whether it is to stop.
        self._thread = threading.Thread(
            target=self.serve_forever,
            args=(0.05,),
            daemon=True,
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Base URL without a trailing slash."""
        return f"http://127.0.0.1:{self.server_port}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """Do not log."""

    def answer(self, target: str, base: str) -> SiteResponse:
        """Return the response to a path with query; `base` is the client's base URL."""
        parts = urlsplit(target)
        if parts.path == "/images/async":
            return self._search(parse_qs(parts.query), base)
        result = self._by_path.get(parts.path)
        return self._send_image(result) if result else _NOT_FOUND

    def _find_results(self, keyword: str) -> list[SearchResult]:
        # A search may have more words than a keyword of the listing, such as "hana anime".
        for word in keyword.lower().split():
            if word in self._listing:
                return self._listing[word]
        return []

    def _search(self, query: dict[str, list[str]], base: str) -> SiteResponse:
        keyword = query.get("q", [""])[0]
        page = render_search_page(
            keyword,
            self._find_results(keyword),
            first=_parse_number(query, "first", 1),
            count=_parse_number(query, "count", PAGE_SIZE),
            base=base,
        )
        return SiteResponse(200, _HTML, page.encode())

    def _send_image(self, result: SearchResult) -> SiteResponse:
        body = _render_variant(
            self._pictures / result.picture,
            result.variant,
        )
        half = body[: len(body) // 2]
        responses = {
            "none": SiteResponse(200, _JPEG, body),
            "missing": _NOT_FOUND,
            "forbidden": SiteResponse(
                403, _HTML, b"<html><h1>403 Forbidden</h1></html>"
            ),
            "page": SiteResponse(
                200, _HTML, b"<!DOCTYPE html><html><body>Moved.</body></html>"
            ),
            "empty": SiteResponse(200, _JPEG, b""),
            "cut": SiteResponse(200, _JPEG, half),
            "dropped": SiteResponse(200, _JPEG, half, length=len(body)),
        }
        return responses[result.fault]


class _Handler(BaseHTTPRequestHandler):
    server: SampleSite

    def do_GET(self) -> None:
        """Answer one request."""
        host = self.headers.get(
            "Host",
            self.server.address.removeprefix("http://"),
        )
        response = self.server.answer(self.path, f"http://{host}")
        self.send_response(response.status)
        self.send_header("Content-Type", response.kind)
        length = len(response.body) if response.length is None else response.length
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Do not log."""


def _render_variant(path: Path, variant: str) -> bytes:
    """Return the file's bytes, or a smaller or lower-quality JPEG."""
    if variant == "plain":
        return path.read_bytes()

    buffer = BytesIO()
    with Image.open(path) as image:
        if variant == "resized":
            image.resize((320, 180), Image.Resampling.LANCZOS).save(
                buffer, "JPEG", quality=85
            )
        else:
            image.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def _parse_number(query: dict[str, list[str]], name: str, default: int) -> int:
    value = query.get(name, [""])[0]
    return int(value) if value.isdecimal() else default
