"""A real HTTP server on loopback that misbehaves on purpose, and a small proxy."""

import gzip
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http.client import HTTPConnection
from select import select
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image
from tools_for_tests import LoopbackServer, QuietHandler, encode

from gleanset.records import Candidate, Origin
from gleanset.work.pool import Outcome
from harvest.http import Client
from harvest.http.scheduler import JobQueue, Scheduler

JPEG = encode(Image.new("RGB", (64, 48), "teal"))
NO_COUNTS = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0}
"""Counts of a harvest with nothing to do."""
SVG = b'<?xml version="1.0"?><svg xmlns="x"/>'

Behaviour = Callable[["Handler"], None]


class FaultyServer(LoopbackServer):
    """A server that records its requests; `behaviours` maps paths to handlers.

    Requests made once per host, for robots.txt and tdmrep.json, are counted in `hits` only.
    """

    def __init__(self) -> None:
        super().__init__(Handler)
        self.behaviours: dict[str, Behaviour] = dict(BEHAVIOURS)
        self.otherwise: Behaviour = _missing
        self.requests: list[str] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.hits: Counter[str] = Counter()
        self.connections = 0
        self.running = 0
        self.max_running = 0
        self.lock = threading.Lock()

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()


class Handler(QuietHandler):
    """A request; `fields` has the fields of its query and form."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyServer
    fields: dict[str, str]

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        site = self.server
        path = urlsplit(self.path).path
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = urlsplit(self.path).query
        self.fields = dict(parse_qsl(f"{query}&{form}", keep_blank_values=True))
        with site.lock:
            if path not in ("/robots.txt", "/.well-known/tdmrep.json"):
                site.requests.append(self.path)
                site.times.append(time.monotonic())
                site.headers.append(
                    {name.lower(): value for name, value in self.headers.items()}
                )
            site.hits[path] += 1
            site.running += 1
            site.max_running = max(site.max_running, site.running)
        try:
            site.behaviours.get(path, site.otherwise)(self)
        finally:
            with site.lock:
                site.running -= 1

    def count(self) -> int:
        return self.server.hits[urlsplit(self.path).path]

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.begin_answer(status, *{"Content-Length": len(body), **named}.items())
        self.wfile.write(body)

    def reset(self) -> None:
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True


def _missing(h: Handler) -> None:
    h.answer(404, b"<html>not here</html>", Content_Type="text/html")


def _picture(h: Handler) -> None:
    h.answer(200, JPEG, Content_Type="image/jpeg")


def _slow_image(h: Handler) -> None:
    time.sleep(0.03)
    _picture(h)


def is_paced(times: Sequence[float], began: float, seconds: float) -> bool:
    """Return whether arrival n came n * `seconds` after `began`, or later.

    Intervals between arrivals prove less: under load a server may note the first one late.
    """
    return all(at >= began + seconds * n for n, at in enumerate(sorted(times)))


def _fine_after(status: int, times: int, **headers: str) -> Behaviour:
    def behave(h: Handler) -> None:
        if h.count() <= times:
            h.answer(status, b"no", **headers)
        else:
            _picture(h)

    return behave


def _date_then_fine(h: Handler) -> None:
    # HTTP dates have whole seconds: the delay is between one and two seconds.
    if h.count() == 1:
        h.answer(503, b"", Retry_After=formatdate(time.time() + 2, usegmt=True))
    else:
        _picture(h)


def _reset_mid_body(h: Handler) -> None:
    h.begin_answer(200, ("Content-Length", len(JPEG)))
    h.wfile.write(JPEG[:100])
    h.reset()


def _wrong_length(h: Handler) -> None:
    h.close_connection = True
    h.begin_answer(200, ("Content-Length", len(JPEG) + 1000), ("Connection", "close"))
    h.wfile.write(JPEG)


def _endless(start: bytes, part: bytes, pause: float = 0.05) -> Behaviour:
    def behave(h: Handler) -> None:
        h.close_connection = True
        h.wfile.write(b"HTTP/1.1 200 OK\r\n" + start)
        while True:
            h.wfile.write(part)
            time.sleep(pause)

    return behave


def _announced(h: Handler) -> None:
    h.close_connection = True
    h.begin_answer(200, ("Content-Length", 2_000_000))
    time.sleep(1.0)


def _silent(h: Handler) -> None:
    h.close_connection = True
    h.rfile.read(1)  # returns when the client hangs up


def _chunked(h: Handler) -> None:
    h.begin_answer(200, ("Transfer-Encoding", "chunked"))
    for part in (JPEG[:200], JPEG[200:]):
        h.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    h.wfile.write(b"0\r\n\r\n")


def _html_as_jpeg(h: Handler) -> None:
    body = b"\xef\xbb\xbf\n <!DOCTYPE html><html><body>Sorry</body></html>"
    h.answer(200, body, Content_Type="image/jpeg")


def _redirect(location: str, status: int = 302) -> Behaviour:
    return lambda h: h.answer(status, Location=location)


BEHAVIOURS: dict[str, Behaviour] = {
    "/picture.jpg": _picture,
    "/with%20space/caf%C3%A9.jpg": _picture,
    "/slow-picture": _slow_image,
    "/forbidden": lambda h: h.answer(403, b"go away"),
    "/429-then-fine": _fine_after(429, 1, Retry_After="1"),
    "/503-date": _date_then_fine,
    "/always-429": lambda h: h.answer(429, b"", Retry_After="3600"),
    "/always-500": lambda h: h.answer(500, b"broken"),
    "/reset": _reset_mid_body,
    "/reset-at-once": lambda h: h.reset(),
    "/wrong-length": _wrong_length,
    "/endless": _endless(b"\r\n", b"\xff" * 65_536, 0),
    "/announced": _announced,
    "/drip-body": _endless(b"\r\n", b"\xff"),
    "/drip-headers": _endless(b"X-Slow: ", b"a"),
    "/silent": _silent,
    "/chunked": _chunked,
    "/gzip-bomb": lambda h: h.answer(
        200, gzip.compress(bytes(20_000_000)), Content_Encoding="gzip"
    ),
    "/gzip-picture": lambda h: h.answer(
        200, gzip.compress(JPEG), Content_Encoding="gzip"
    ),
    "/deflated-picture": lambda h: h.answer(
        200, zlib.compress(JPEG), Content_Encoding="deflate"
    ),
    "/announced-deflate": lambda h: h.answer(200, JPEG, Content_Encoding="deflate"),
    "/bad-gzip": lambda h: h.answer(
        200, b"\x1f\x8b\x08damaged", Content_Encoding="gzip"
    ),
    "/announced-gzip": lambda h: h.answer(200, JPEG, Content_Encoding="gzip"),
    "/html.jpg": _html_as_jpeg,
    "/drawing.svg": lambda h: h.answer(200, SVG, Content_Type="text/html"),
    "/empty": lambda h: h.answer(200, b"", Content_Type="image/jpeg"),
    "/moved": _redirect("/picture.jpg", 301),
    "/moved-utf8": _redirect("/with space/café.jpg".encode().decode("latin-1")),
    "/loop": _redirect("/loop"),
    "/to-file": _redirect("file:///etc/passwd"),
    "/to-metadata": _redirect("http://169.254.169.254/latest/meta-data/"),
    "/to-loopback": _redirect("http://127.0.0.1:9/secret.jpg"),
    "/nowhere": lambda h: h.answer(302),
}


class Proxy(QuietHandler):
    """A proxy that records requests: forwards GET, tunnels CONNECT."""

    disable_nagle_algorithm = True
    lines: ClassVar[list[str]] = []
    logins: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self._record()
        parts = urlsplit(self.path)
        # Every name leads to this machine: the proxy resolves names, not the client.
        onward = HTTPConnection("127.0.0.1", parts.port or 80, timeout=60)
        path = parts._replace(scheme="", netloc="").geturl()
        onward.request("GET", path, headers={"Host": parts.netloc})
        answer = onward.getresponse()
        body = answer.read()
        onward.close()
        kind = answer.headers.get("Content-Type", "image/jpeg")
        self.begin_answer(
            answer.status, ("Content-Type", kind), ("Content-Length", len(body))
        )
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self._record()
        port = int(self.path.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 60) as onward:
            self.begin_answer(200)
            self._relay(onward)
        self.close_connection = True

    def _relay(self, onward: socket.socket) -> None:
        pairs = {self.connection: onward, onward: self.connection}
        while True:
            for ready in select(list(pairs), [], [], 60)[0]:
                if not (data := ready.recv(65_536)):
                    return
                pairs[ready].sendall(data)

    def _record(self) -> None:
        self.lines.append(f"{self.command} {self.path}")
        self.logins.append(self.headers["Proxy-Authorization"])


def fetch(
    client: Client, *urls: str, requests: int = 12
) -> list[Outcome[Candidate, bytes]]:
    """Download URLs as a harvest does; return outcomes in their order."""
    candidates = [Candidate(url, Origin("test", url)) for url in urls]
    batches = Scheduler(client, bytes, requests).run(JobQueue(candidates))
    outcomes = {outcome.item.url: outcome for batch in batches for outcome in batch}
    return [outcomes[url] for url in urls]


def download(client: Client, url: str) -> bytes:
    """Return the file at a URL. Raises `Unreadable`."""
    [outcome] = fetch(client, url, requests=1)
    return outcome.unwrap()


def lying_name_server(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Resolve `pictures.example` to these addresses."""
    real = socket.getaddrinfo

    def lie(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        names = addresses if host == "pictures.example" else (host,)
        return [entry for name in names for entry in real(name, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", lie)
