"""A local site with an image search, two picture hosts, and the usual misbehaviour.

    with SampleSite(Path("datasets/sample")) as site:
        harvest.run("bing", endpoint=site.address)

It listens on loopback only, on port 8427 or, when that is taken, one the system picks.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from pipeline.sample.listing import Result, read_listing
from pipeline.sample.search_page import PAGE_SIZE, picture_id, search_page

PORT = 8427
"""Taken when it is free: the same addresses at every run, so that what was fetched is known."""

_HTML = "text/html; charset=utf-8"
_JPEG = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `announced` is its Content-Length where that is a lie."""

    status: int
    kind: str
    body: bytes
    announced: int | None = None


class SampleSite:
    """Serves a sample folder; a context manager. `hits` counts requests by path."""

    def __init__(self, folder: Path) -> None:
        self._pictures = folder / "pictures"
        self._listing = read_listing(folder)
        found = [result for results in self._listing.values() for result in results]
        self._by_path = {urlsplit(result.path).path: result for result in found}
        self._by_page = {result.page: result for result in found}
        self._by_id = {picture_id(result): result for result in found}
        self.hits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._open = True
        self._thread.start()

    @property
    def address(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> SampleSite:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening. Closing twice does no harm."""
        if self._open:
            self._open = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def answer(self, target: str, base: str) -> Answer:
        """The response to a request's path and query; `base` is how the client calls us."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        with self._lock:
            self.hits[path] += 1
        if path in ("/images/async", "/images/search"):
            return self._search(query, base)
        if path == "/th":
            return self._thumbnail(query.get("id", [""])[0].removeprefix("OIP."))
        if path in self._by_page:
            return _page(self._by_page[path])
        if path in self._by_path:
            return self._picture(self._by_path[path])
        return _not_found()

    def _search(self, query: dict[str, list[str]], base: str) -> Answer:
        """A keyword answers wherever it is one of the words asked for."""
        asked = query.get("q", [""])[0]
        words = asked.lower().split()
        results = next((self._listing[word] for word in words if word in self._listing), [])
        first, count = _number(query, "first", 1), _number(query, "count", PAGE_SIZE)
        return Answer(200, _HTML, search_page(asked, results, first, count, base).encode())

    def _picture(self, result: Result) -> Answer:
        body = _varied(self._pictures / result.picture, result.variant)
        half = body[: len(body) // 2]
        match result.fault:
            case "missing":
                return _not_found()
            case "forbidden":
                return Answer(403, _HTML, b"<html><body><h1>403 Forbidden</h1></body></html>")
            case "page":
                return Answer(200, _HTML, b"<!DOCTYPE html><html><body>Moved.</body></html>")
            case "empty":
                return Answer(200, _JPEG, b"")
            case "cut":
                return Answer(200, _JPEG, half)
            case "dropped":
                return Answer(200, _JPEG, half, announced=len(body))
        return Answer(200, _JPEG, body)

    def _thumbnail(self, key: str) -> Answer:
        if key not in self._by_id:
            return _not_found()
        return Answer(200, _JPEG, _varied(self._pictures / self._by_id[key].picture, "resized"))


class _Server(ThreadingHTTPServer):
    """The listening socket; errors of clients that went away are nobody's business."""

    def __init__(self, site: SampleSite) -> None:
        self.site = site
        try:
            super().__init__(("127.0.0.1", PORT), _Handler)
        except OSError:
            super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class _Handler(BaseHTTPRequestHandler):
    """Sends what the site answers; HTTP/1.0, one request a connection."""

    server: _Server

    def do_GET(self) -> None:
        """Answer one request."""
        own = self.server.site.address.removeprefix("http://")
        answer = self.server.site.answer(self.path, f"http://{self.headers.get('Host', own)}")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        length = len(answer.body) if answer.announced is None else answer.announced
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Say nothing."""


def _varied(path: Path, variant: str) -> bytes:
    """The file's bytes, or a smaller or coarser JPEG of the same picture."""
    if variant == "plain":
        return path.read_bytes()
    with Image.open(path) as opened:
        smaller = variant == "resized"
        picture = opened.resize((320, 180), Image.Resampling.LANCZOS) if smaller else opened
        target = BytesIO()
        picture.save(target, "JPEG", quality=85 if smaller else 60)
    return target.getvalue()


def _page(result: Result) -> Answer:
    text = (
        f"<!DOCTYPE html><html><head><title>{escape(result.title)}</title></head>"
        f'<body><p>by {escape(result.author)}</p><img src="{escape(result.path)}"/></body></html>'
    )
    return Answer(200, _HTML, text.encode())


def _not_found() -> Answer:
    return Answer(404, _HTML, b"<html><body><h1>404 Not Found</h1></body></html>")


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    value = query.get(name, [""])[0]
    return int(value) if value.isdecimal() else default
