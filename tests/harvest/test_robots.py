"""robots.txt and X-Robots-Tag, in real answers of a real server."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from faulty_server import (
    JPEG,
    Behaviour,
    FaultyServer,
    Handler,
    download,
    fetch,
    is_paced,
)
from tools_for_tests import running

from gleanset.errors import Unreadable
from harvest.http import Client, DownloadLimits
from harvest.http.robots import find_directive
from harvest.opt_out_signals import ROBOTS_TAGS

QUICK = DownloadLimits(backoff=0.01, max_wait=0.1)
EVERYTHING = b"User-agent: *\nDisallow: /\n"
UNREAD = "robots.txt could not be read"


@pytest.fixture
def host(site: FaultyServer) -> FaultyServer:
    """Serve an image at every path that has no other behaviour."""
    site.otherwise = lambda h: h.answer(200, JPEG, Content_Type="image/jpeg")
    return site


@pytest.fixture
def other(site: FaultyServer) -> Iterator[FaultyServer]:
    server = FaultyServer()
    server.otherwise = lambda h: h.answer(200, JPEG, Content_Type="image/jpeg")
    with running(server):
        yield server


def serve_rules(
    server: FaultyServer, rules: bytes, status: int = 200, **headers: str
) -> None:
    server.behaviours["/robots.txt"] = lambda h: h.answer(status, rules, **headers)


def outcome(client: Client, url: str) -> str:
    """Return the rejection reason, or `ok` if the image arrived."""
    try:
        assert download(client, url) == JPEG
    except Unreadable as error:
        return error.reason
    return "ok"


# Cases beyond protego, which parses the rules: our name, and what counts as a text.
RULES: dict[str, tuple[bytes, str, bool]] = {
    "empty file": (b"", "/a.jpg", True),
    "all": (EVERYTHING, "/a.jpg", False),
    "pattern": (b"User-agent: *\nDisallow: /*/big/*.jpg$\n", "/x/big/a.jpg", False),
    "pattern does not match": (
        b"User-agent: *\nDisallow: /*/big/*.jpg$\n",
        "/x/big/a.jpg?w=2",
        True,
    ),
    "unquoted rule": (
        "User-agent: *\nDisallow: /café\n".encode(),
        "/caf%C3%A9.jpg",
        False,
    ),
    "quoted rule": (b"User-agent: *\nDisallow: /caf%C3%A9\n", "/café.jpg", False),
    "own group wins over star": (
        EVERYTHING + b"\nUser-agent: gleanset\nAllow: /\n",
        "/a.jpg",
        True,
    ),
    "own group disallows": (b"User-agent: GleanSet\nDisallow: /\n", "/a.jpg", False),
    "group of another agent": (b"User-agent: otherbot\nDisallow: /\n", "/a.jpg", True),
    "longer agent name": (b"User-agent: gleanset-video\nDisallow: /\n", "/a.jpg", True),
    "byte order mark": (b"\xef\xbb\xbf" + EVERYTHING, "/a.jpg", False),
    "CR": (EVERYTHING.replace(b"\n", b"\r"), "/a.jpg", False),
    "HTML page": (
        b"<!DOCTYPE html>\n<html><body>\n<p>Disallow: /</p>\n",
        "/a.jpg",
        True,
    ),
    "binary file": (bytes(range(256)) * 4, "/a.jpg", True),
}


@pytest.mark.parametrize(("rules", "path", "allowed"), RULES.values(), ids=RULES)
def test_rules(
    client: Client, host: FaultyServer, rules: bytes, path: str, allowed: bool
) -> None:
    serve_rules(host, rules)
    assert outcome(client, host.url + path) == (
        "ok" if allowed else "robots.txt disallows"
    )
    assert len(host.requests) == allowed


FILLER = b"# nothing to see\n"
MAX_BYTES = 500 * 1024


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (EVERYTHING + FILLER * 100_000, "robots.txt disallows"),
        (FILLER * 100_000 + EVERYTHING, "ok"),
        # The limit falls after the first slash of this line.
        (
            b"User-agent: *\n" + b"#" * (MAX_BYTES - 26) + b"\nDisallow: /private\n",
            "ok",
        ),
        (
            b"User-agent: *\r" + b"#" * (MAX_BYTES - 26) + b"\rDisallow: /private\r",
            "ok",
        ),
        (
            b"User-agent: *\n" + b"#" * (MAX_BYTES - 34) + b"\nDisallow: /a.jpg\n",
            "robots.txt disallows",
        ),
    ],
)
def test_only_500_kib_are_read(
    client: Client, host: FaultyServer, rules: bytes, expected: str
) -> None:
    serve_rules(host, rules)
    assert outcome(client, f"{host.url}/a.jpg") == expected


def test_endless_file_is_truncated(client: Client, host: FaultyServer) -> None:
    host.behaviours["/robots.txt"] = host.behaviours["/endless"]
    assert outcome(client, f"{host.url}/a.jpg") == "ok"


def test_file_is_requested_once_per_host(host: FaultyServer) -> None:
    def slowly(h: Handler) -> None:
        time.sleep(0.2)
        h.answer(200, b"User-agent: *\nDisallow: /odd\n")

    host.behaviours["/robots.txt"] = slowly
    urls = [f"{host.url}/{'even' if i % 2 == 0 else 'odd'}/{i}.jpg" for i in range(50)]
    with Client(QUICK, allow_private=True) as client:
        reasons = [outcome.reason for outcome in fetch(client, *urls)]
    assert (reasons, host.hits["/robots.txt"]) == (
        [None, "robots.txt disallows"] * 25,
        1,
    )
    assert host.max_running <= QUICK.per_host


@pytest.mark.parametrize(
    ("status", "expected", "times"),
    [
        (401, "ok", 1),
        (403, "ok", 1),
        (404, "ok", 1),
        (410, "ok", 1),
        (304, "ok", 1),
        (429, UNREAD, 2),
        (500, UNREAD, 2),
        (503, UNREAD, 2),
        (501, UNREAD, 1),
    ],
)
def test_http_error_status(
    client: Client, host: FaultyServer, status: int, expected: str, times: int
) -> None:
    serve_rules(host, b"" if status == 304 else EVERYTHING, status)
    assert outcome(client, f"{host.url}/a.jpg") == expected
    assert outcome(client, f"{host.url}/b.jpg") == expected
    assert host.hits["/robots.txt"] == times
    assert len(host.requests) == (2 if expected == "ok" else 0)


@pytest.mark.timed
@pytest.mark.parametrize(
    "path", ["/silent", "/drip-body", "/drip-headers", "/reset", "/bad-gzip"]
)
def test_unreadable_file_blocks_only_its_host(
    host: FaultyServer, other: FaultyServer, path: str
) -> None:
    host.behaviours["/robots.txt"] = host.behaviours[path]
    began = time.monotonic()
    urls = [f"{server.url}/{i}.jpg" for i in range(10) for server in (host, other)]
    with Client(replace(QUICK, robots_timeout=1), allow_private=True) as client:
        reasons = [outcome.reason for outcome in fetch(client, *urls)]
    assert reasons == [UNREAD, None] * 10
    assert time.monotonic() - began < 8
    assert host.hits["/robots.txt"] <= 2


@pytest.mark.timed
def test_unreadable_file_is_requested_again(host: FaultyServer) -> None:
    limits = replace(QUICK, retries=0, robots_retry_delay=0.3)
    serve_rules(host, b"", status=500)
    with Client(limits, allow_private=True) as client:
        assert outcome(client, f"{host.url}/a.jpg") == UNREAD
        serve_rules(host, b"")
        assert outcome(client, f"{host.url}/a.jpg") == UNREAD
        time.sleep(0.35)
        assert outcome(client, f"{host.url}/a.jpg") == "ok"
    assert host.hits["/robots.txt"] == 2


def test_redirect_to_private_address_is_rejected(
    host: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server acts as a proxy, and so as a public host.
    monkeypatch.setenv("http_proxy", host.url)
    serve_rules(host, b"", status=302, Location="http://169.254.169.254/robots.txt")
    with Client(QUICK) as client:
        assert outcome(client, "http://pictures.example/a.jpg") == "private address"
    assert host.requests == []


def test_every_redirect_hop_is_checked(
    client: Client, host: FaultyServer, other: FaultyServer
) -> None:
    serve_rules(host, b"User-agent: *\nDisallow: /closed\n")
    serve_rules(other, EVERYTHING)
    host.behaviours["/near"] = lambda h: h.answer(302, Location="/closed/a.jpg")
    host.behaviours["/far"] = lambda h: h.answer(302, Location=f"{other.url}/a.jpg")
    assert outcome(client, f"{host.url}/near") == "robots.txt disallows"
    assert outcome(client, f"{host.url}/far") == "robots.txt disallows"
    assert (host.requests, other.requests) == (["/near", "/far"], [])


@pytest.mark.timed
def test_crawl_delay_is_respected(client: Client, host: FaultyServer) -> None:
    serve_rules(host, b"User-agent: *\nCrawl-delay: 0.2\n")
    began = time.monotonic()
    fetch(client, *(f"{host.url}/{number}.jpg" for number in range(4)))
    assert is_paced(host.times, began, 0.2)


LINES: dict[str, tuple[list[str], str | None]] = {
    "empty header": ([""], None),
    "allowed": (["all, nofollow, noarchive"], None),
    **{tag: ([tag], tag) for tag in ROBOTS_TAGS},
    "none is noindex": (["none"], "noindex"),
    "another agent": (["otherbot: noindex"], None),
    "agent applies to its header only": (
        ["otherbot: noindex, noai", "noimageindex"],
        "noimageindex",
    ),
    "own name with version": (["Gleanset/0.1: noai"], "noai"),
    "star": (["*: noai"], "noai"),
    "longer agent name": (["gleanset-video: noai"], None),
    "another agent, then own name": (["otherbot: noai, gleanset: noindex"], "noindex"),
    "own name, then another agent": (["gleanset: all, otherbot: noindex, noai"], None),
    "all agents, then another agent": (["noai, otherbot: noindex"], "noai"),
    "number after colon is a value": (["max-snippet: 20, noai"], "noai"),
    "date after colon is a value": (
        ["unavailable_after: Sat, 25 Jun 2050 15:00:00 GMT, noai"],
        "noai",
    ),
    "date of another agent": (
        ["x: unavailable_after: Sat, 25 Jun 2050 15:00:00 GMT, noai"],
        None,
    ),
    "noise": ([", ,: ,::noai,\x00"], None),
}


@pytest.mark.parametrize(("lines", "expected"), LINES.values(), ids=LINES)
def test_robots_tags(lines: list[str], expected: str | None) -> None:
    assert find_directive(lines, frozenset(ROBOTS_TAGS)) == expected


def serve_tagged(*lines: str) -> Behaviour:
    """Serve an image with robots tags; at `/late…` without its body."""

    def behave(h: Handler) -> None:
        tags = [("X-Robots-Tag", line) for line in lines]
        h.begin_answer(200, ("Content-Length", len(JPEG)), *tags)
        if h.path.startswith("/late"):
            h.rfile.read(1)  # returns when the client hangs up
        h.wfile.write(JPEG)

    return behave


def test_tag_is_checked_before_body(client: Client, host: FaultyServer) -> None:
    host.behaviours["/late.jpg"] = serve_tagged("otherbot: noindex", "noimageai")
    assert outcome(client, f"{host.url}/late.jpg") == "robots tag noimageai"
