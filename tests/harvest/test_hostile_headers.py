"""Arbitrary response headers of a real server: they cost only the download they belong to."""

from __future__ import annotations

import random
from collections import Counter
from urllib.parse import urlsplit

import pytest
from faulty_server import JPEG, FaultyServer, Handler, fetch

from harvest.http import Client, DownloadLimits

QUICK = DownloadLimits(backoff=0.001, max_wait=0.01, retries=1, total_timeout=5, read_timeout=2)
FAR_AWAY = "Mon, 01 Jan 2024 00:00:00 +99999999999999"
HOSTS = 120
DIGITS = "9" * 5000

# Initial values of each header that is read, to be mutated.
HEADER_VALUES = {
    "Retry-After": ["3", FAR_AWAY, "Mon, 01 Jan 2024 00:00:00 GMT", DIGITS],
    "Location": ["/a.jpg", "http://h3.example/b.jpg", "http://[::1", "//x:99999/", "http://é/"],
    "Content-Length": ["5", "-1", DIGITS, "5, 6"],
    "Content-Encoding": ["gzip", "deflate, gzip", "identity"],
    "Content-Type": ["image/jpeg", "text/html; charset=idna", "x; charset=undefined"],
    "Transfer-Encoding": ["chunked", "gzip"],
    "X-Robots-Tag": ["noai", "gleanset: noindex, other: none", "unavailable_after: 1 Jan"],
    "Connection": ["close", "keep-alive"],
}
PARTS = [
    *" ,:;-+/\"'()[]<>@%=.\\\t\x0b\x85\xa0\xff²",
    DIGITS,
    "GMT",
    "+0000",
    "http://",
    "charset=",
]
STATUSES = [200, 200, 200, 301, 302, 404, 429, 500, 503]


def mutated(dice: random.Random, text: str) -> str:
    for _ in range(dice.randint(0, 3)):
        start = dice.randint(0, len(text))
        text = text[:start] + dice.choice(PARTS) + text[start + dice.randint(0, 3) :]
    return text


def hostile(seed: int) -> str:
    """Return a response, headers and body, made from the seed."""
    dice = random.Random(seed)
    lines = [f"HTTP/1.1 {dice.choice(STATUSES)} {mutated(dice, 'OK')}"]
    names = dice.sample(sorted(HEADER_VALUES), dice.randint(1, 4))
    lines += [f"{name}: {mutated(dice, dice.choice(HEADER_VALUES[name]))}" for name in names]
    return "\r\n".join(lines) + "\r\n\r\n"


def seeds_of(seed: int) -> dict[str, int]:
    return {"/robots.txt": 2 * seed, "/a.jpg": 2 * seed + 1}


def answer_by_host(h: Handler) -> None:
    """Answer hosts named by a number with their seed, others correctly."""
    parts = urlsplit(h.path)
    name = (parts.hostname or "").partition(".")[0].removeprefix("h")
    seed = seeds_of(int(name)).get(parts.path) if name.isdecimal() else None
    if seed is None:
        h.answer(200, JPEG if parts.path != "/robots.txt" else b"")
        return
    h.close_connection = True
    h.wfile.write(hostile(seed).encode("latin-1") + (JPEG if seed % 2 else b"User-agent: *\n"))


def download_reasons(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, hosts: list[str]
) -> Counter[str]:
    """Count the reasons of downloads of one image from each host."""
    # As a proxy this server plays every host.
    monkeypatch.setenv("http_proxy", site.url)
    urls = [f"http://{host}/a.jpg" for host in hosts]
    with Client(QUICK) as client:
        return Counter(outcome.reason or "ok" for outcome in fetch(client, *urls))


@pytest.mark.parametrize("path", ["/robots.txt", "/a.jpg"])
def test_excessive_retry_after_does_not_end_run(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def behave(h: Handler) -> None:
        if "bad.example" in h.path and h.path.endswith(path):
            h.answer(503, b"", Retry_After=FAR_AWAY)
        else:
            h.answer(200, JPEG if h.path.endswith(".jpg") else b"")

    site.behaviours.clear()
    site.otherwise = behave
    reasons = download_reasons(site, monkeypatch, ["bad.example", "good.example", "other.example"])
    refused = "robots.txt could not be read" if path == "/robots.txt" else "http 503"
    assert reasons == {refused: 1, "ok": 2}


# If urllib3 refuses the Content-Length of an answer, only garbage collection closes its socket.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_hostile_headers_affect_only_their_host(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.behaviours.clear()
    site.otherwise = answer_by_host
    good = [f"good{number}.example" for number in range(5)]
    hosts = [f"h{number}.example" for number in range(HOSTS)]
    reasons = download_reasons(site, monkeypatch, [*hosts, *good])
    assert reasons.total() == HOSTS + len(good)
    assert reasons["ok"] >= len(good) + HOSTS // 10
    assert len(reasons) > 4, reasons
    assert "internal error" not in reasons
