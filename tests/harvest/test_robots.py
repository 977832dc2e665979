"""robots.txt and X-Robots-Tag, in real answers of a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from faulty_server import (
    PICTURE,
    Behaviour,
    FaultyServer,
    Handler,
    at_a_pace,
    download,
    fetch,
    running,
)

from gleanset.errors import Unreadable
from harvest.http import Client, DownloadLimits
from harvest.http.opt_outs import find_directive
from harvest.opt_out_signals import ROBOTS_TAGS

QUICK = DownloadLimits(backoff=0.01, max_wait=0.1)
EVERYTHING = b"User-agent: *\nDisallow: /\n"
UNREAD = "robots.txt could not be read"


@pytest.fixture
def host(site: FaultyServer) -> FaultyServer:
    """Serve an image at every path that has no other behaviour."""
    site.otherwise = lambda h: h.answer(200, PICTURE, Content_Type="image/jpeg")
    return site


@pytest.fixture
def other(site: FaultyServer) -> Iterator[FaultyServer]:
    server = FaultyServer()
    server.otherwise = lambda h: h.answer(200, PICTURE, Content_Type="image/jpeg")
    with running(server):
        yield server


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK, allow_private=True) as client:
        yield client


def says(server: FaultyServer, rules: bytes, status: int = 200, **headers: str) -> None:
    server.behaviours["/robots.txt"] = lambda h: h.answer(status, rules, **headers)


def outcome(client: Client, url: str) -> str:
    """Return the rejection reason, or `ok` if the image arrived."""
    try:
        assert download(client, url) == PICTURE
    except Unreadable as error:
        return error.reason
    return "ok"


# Cases beyond protego, which parses the rules: our name, and what counts as a text.
RULES: dict[str, tuple[bytes, str, bool]] = {
    "nothing said": (b"", "/a.jpg", True),
    "all": (EVERYTHING, "/a.jpg", False),
    "a pattern": (b"User-agent: *\nDisallow: /*/big/*.jpg$\n", "/x/big/a.jpg", False),
    "not the pattern": (b"User-agent: *\nDisallow: /*/big/*.jpg$\n", "/x/big/a.jpg?w=2", True),
    "quoted": ("User-agent: *\nDisallow: /café\n".encode(), "/caf%C3%A9.jpg", False),
    "unquoted": (b"User-agent: *\nDisallow: /caf%C3%A9\n", "/café.jpg", False),
    "our group, not all's": (EVERYTHING + b"\nUser-agent: gleanset\nAllow: /\n", "/a.jpg", True),
    "our group forbids": (b"User-agent: GleanSet\nDisallow: /\n", "/a.jpg", False),
    "another's group": (b"User-agent: otherbot\nDisallow: /\n", "/a.jpg", True),
    "a longer name": (b"User-agent: gleanset-video\nDisallow: /\n", "/a.jpg", True),
    "byte order mark": (b"\xef\xbb\xbf" + EVERYTHING, "/a.jpg", False),
    "CR": (EVERYTHING.replace(b"\n", b"\r"), "/a.jpg", False),
    "a web page": (b"<!DOCTYPE html>\n<html><body>\n<p>Disallow: /</p>\n", "/a.jpg", True),
    "no text at all": (bytes(range(256)) * 4, "/a.jpg", True),
}


@pytest.mark.parametrize(("rules", "path", "allowed"), RULES.values(), ids=RULES)
def test_rules(client: Client, host: FaultyServer, rules: bytes, path: str, allowed: bool) -> None:
    says(host, rules)
    assert outcome(client, host.url + path) == ("ok" if allowed else "robots.txt disallows")
    assert len(host.asked) == allowed


FILLER = b"# nothing to see\n"
MOST = 500 * 1024


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (EVERYTHING + FILLER * 100_000, "robots.txt disallows"),
        (FILLER * 100_000 + EVERYTHING, "ok"),
        # The limit falls after the first slash of this line.
        (b"User-agent: *\n" + b"#" * (MOST - 26) + b"\nDisallow: /private\n", "ok"),
        (b"User-agent: *\r" + b"#" * (MOST - 26) + b"\rDisallow: /private\r", "ok"),
        (b"User-agent: *\n" + b"#" * (MOST - 34) + b"\nDisallow: /a.jpg\n", "robots.txt disallows"),
    ],
)
def test_500_kib_are_read(client: Client, host: FaultyServer, rules: bytes, expected: str) -> None:
    says(host, rules)
    assert outcome(client, f"{host.url}/a.jpg") == expected


def test_endless_rules_end(client: Client, host: FaultyServer) -> None:
    host.behaviours["/robots.txt"] = host.behaviours["/endless"]
    assert outcome(client, f"{host.url}/a.jpg") == "ok"


def test_fifty_downloads_read_it_once(host: FaultyServer) -> None:
    def slowly(h: Handler) -> None:
        time.sleep(0.2)
        h.answer(200, b"User-agent: *\nDisallow: /odd\n")

    host.behaviours["/robots.txt"] = slowly
    urls = [f"{host.url}/{'even' if i % 2 == 0 else 'odd'}/{i}.jpg" for i in range(50)]
    with Client(QUICK, allow_private=True) as client:
        reasons = [outcome.reason for outcome in fetch(client, *urls)]
    assert reasons == [None, "robots.txt disallows"] * 25
    assert host.hits["/robots.txt"] == 1
    assert host.most_running <= QUICK.per_host


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
def test_without_an_answer(
    client: Client, host: FaultyServer, status: int, expected: str, times: int
) -> None:
    says(host, b"" if status == 304 else EVERYTHING, status)
    assert outcome(client, f"{host.url}/a.jpg") == expected
    assert outcome(client, f"{host.url}/b.jpg") == expected
    assert host.hits["/robots.txt"] == times
    assert len(host.asked) == (2 if expected == "ok" else 0)


@pytest.mark.timed
@pytest.mark.parametrize("path", ["/silent", "/drip-body", "/drip-headers", "/reset", "/bad-gzip"])
def test_what_cannot_be_read_costs_little_and_only_this_host(
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
def test_it_is_asked_for_again_after_a_while(host: FaultyServer) -> None:
    limits = replace(QUICK, retries=0, robots_retry_delay=0.3)
    says(host, b"", status=500)
    with Client(limits, allow_private=True) as client:
        assert outcome(client, f"{host.url}/a.jpg") == UNREAD
        says(host, b"")
        assert outcome(client, f"{host.url}/a.jpg") == UNREAD
        time.sleep(0.35)
        assert outcome(client, f"{host.url}/a.jpg") == "ok"
    assert host.hits["/robots.txt"] == 2


def test_rules_are_not_looked_for_at_home(
    host: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server acts as a proxy, and so as a public host.
    monkeypatch.setenv("http_proxy", host.url)
    says(host, b"", status=302, Location="http://169.254.169.254/robots.txt")
    with Client(QUICK) as client:
        assert outcome(client, "http://pictures.example/a.jpg") == "private address"
    assert host.asked == []


def test_redirects_are_judged_hop_by_hop(
    client: Client, host: FaultyServer, other: FaultyServer
) -> None:
    says(host, b"User-agent: *\nDisallow: /closed\n")
    says(other, EVERYTHING)
    host.behaviours["/near"] = lambda h: h.answer(302, Location="/closed/a.jpg")
    host.behaviours["/far"] = lambda h: h.answer(302, Location=f"{other.url}/a.jpg")
    assert outcome(client, f"{host.url}/near") == "robots.txt disallows"
    assert outcome(client, f"{host.url}/far") == "robots.txt disallows"
    assert host.asked == ["/near", "/far"]
    assert other.asked == []


@pytest.mark.timed
def test_a_crawl_delay_is_kept(client: Client, host: FaultyServer) -> None:
    says(host, b"User-agent: *\nCrawl-delay: 0.2\n")
    began = time.monotonic()
    fetch(client, *(f"{host.url}/{number}.jpg" for number in range(4)))
    assert at_a_pace(host.times, began, 0.2)


LINES: dict[str, tuple[list[str], str | None]] = {
    "none": ([], None),
    "empty": ([""], None),
    "allowed": (["all, nofollow, noarchive"], None),
    **{tag: ([tag], tag) for tag in ROBOTS_TAGS},
    "cases": (["NoAI"], "noai"),
    "one of several": (["nofollow , noimageai"], "noimageai"),
    "several headers": (["nofollow", "noindex"], "noindex"),
    "none is noindex": (["none"], "noindex"),
    "another agent": (["otherbot: noindex"], None),
    "up to the next header": (["otherbot: noindex, noai", "noimageindex"], "noimageindex"),
    "we by name": (["gleanset: noai"], "noai"),
    "we by name and number": (["Gleanset/0.1: noai"], "noai"),
    "everyone by star": (["*: noai"], "noai"),
    "a longer name": (["gleanset-video: noai"], None),
    "another, then we": (["otherbot: noai, gleanset: noindex"], "noindex"),
    "we, then another": (["gleanset: all, otherbot: noindex, noai"], None),
    "everyone, then another": (["noai, otherbot: noindex"], "noai"),
    "a value is no agent": (["max-snippet: 20, noai"], "noai"),
    "a date is no agent": (["unavailable_after: Sat, 25 Jun 2050 15:00:00 GMT, noai"], "noai"),
    "a date of another": (["x: unavailable_after: Sat, 25 Jun 2050 15:00:00 GMT, noai"], None),
    "part of a word": (["noaiming, noindexed"], None),
    "noise": ([", ,: ,::noai,\x00"], None),
}


@pytest.mark.parametrize(("lines", "expected"), LINES.values(), ids=LINES)
def test_tags(lines: list[str], expected: str | None) -> None:
    assert find_directive(lines, frozenset(ROBOTS_TAGS), "gleanset") == expected


def tagged(*lines: str, status: int = 200) -> Behaviour:
    """Serve an image with robots tags; at `/late…` without its body."""

    def behave(h: Handler) -> None:
        h.send_response(status)
        h.send_header("Content-Length", str(len(PICTURE)))
        for line in lines:
            h.send_header("X-Robots-Tag", line)
        h.end_headers()
        if h.path.startswith("/late"):
            h.rfile.read(1)  # returns when the client hangs up
        h.wfile.write(PICTURE)

    return behave


def test_a_tag_is_heeded_before_the_body(client: Client, host: FaultyServer) -> None:
    host.behaviours["/late.jpg"] = tagged("otherbot: noindex", "noimageai")
    assert outcome(client, f"{host.url}/late.jpg") == "robots tag noimageai"
