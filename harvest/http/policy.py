"""The bounds of downloading, what a fetch sends and accepts, and what its failures mean."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from gleanset.errors import Unreachable, Unreadable
from gleanset.settings import NetSettings
from harvest.http.connections import PrivateAddress


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds of the downloader. Times are seconds, sizes are bytes.

    `total` is the time one download may spend on the network, redirects and retries
    included, waiting for its turn not. `max_bytes` holds after content decoding as well.
    `per_host` is the number of requests under way on one host at a time, `delay` the time
    between two starts on it. `max_wait` caps what a host may ask for in `Retry-After`.
    `robots` is the time that reading a robots.txt may spend on the network; one that could
    not be read is asked for again `robots_again` seconds later.
    """

    connect: float = 10.0
    read: float = 20.0
    total: float = 60.0
    max_bytes: int = 50_000_000
    max_redirects: int = 5
    per_host: int = 6
    delay: float = 0.0
    retries: int = 3
    backoff: float = 0.5
    max_wait: float = 60.0
    robots: float = 15.0
    robots_again: float = 60.0

    @classmethod
    def of(cls, net: NetSettings) -> Self:
        """Return the limits that a dataset's `[net]` settings ask for."""
        return cls(total=net.seconds, per_host=net.per_host, delay=net.delay)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What to send, and how to treat what comes back.

    `retry_statuses` are tried again, as often as the limits allow. With `error_bodies` the body
    of an error is read as well. `clipped`: of a body over `limits.max_bytes` the beginning
    (and a little more) will do. `robots`: what hosts say to robots is obeyed. Without
    `follow_redirects` a redirect is an answer like any other.
    """

    headers: Mapping[str, str]
    retry_statuses: frozenset[int]
    limits: DownloadLimits
    error_bodies: bool = False
    clipped: bool = False
    robots: bool = False
    follow_redirects: bool = True
    method: str = "GET"
    body: bytes | str | None = None


# Too many requests, and the server's own passing troubles.
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
# The two answers with which a server speaks about the whole host.
HOST_WIDE_STATUSES = frozenset({429, 503})

_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")


class TransientFailure(Unreadable):
    """A request failed in a way that may go well the next time."""


_SHOWN = re.compile(r"^<?\w+\(host=[^)]*\)>?: ")


def classify_error(error: Exception, url: str, in_body: bool) -> Unreadable:
    """Return what an exception of urllib3 means; `TransientFailure` where a retry may help.

    `in_body`: the answer had begun when it happened.
    """
    # urllib3 begins with the connection as Python shows it, which tells a person nothing.
    detail = f"{url}: {_SHOWN.sub('', str(error))}"
    if isinstance(error, PrivateAddress):
        return Unreadable("private address", detail)
    if isinstance(error, LocationParseError | UnicodeError):
        return Unreadable("bad url", detail)
    if isinstance(error, ReadTimeoutError):
        return Unreadable("timed out", detail)
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return TransientFailure("timed out", detail)
    if isinstance(error, DecodeError):
        return Unreadable("cut off", detail)
    if in_body:
        return TransientFailure("cut off", detail)
    if _final(error):
        return Unreadable("connection failed", detail)
    return TransientFailure("connection failed", detail)


def unreachable_error(where: str, why: str) -> Unreachable:
    """Return the error for a site that gave no answer; `why` in words."""
    what = f"{where} could not be asked: {why}."
    if "private address" in why:
        return Unreachable(what, "Add --allow-private if this address is meant.")
    return Unreachable(what, "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.")


def looks_like_html(data: bytes) -> bool:
    """Return whether a body is a web page, by its first bytes; names and headers lie."""
    head = data[:2048].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for opening, closing in ((b"<?xml", b"?>"), (b"<!--", b"-->")):
        if head.startswith(opening):
            head = head.partition(closing)[2].lstrip()
    return head.startswith(_HTML)


def _final(error: Exception) -> bool:
    if isinstance(error, ProxyError):
        return False
    if isinstance(error, NameResolutionError):
        # A name that does not exist will not exist in two seconds either.
        return getattr(error.__cause__, "errno", None) != socket.EAI_AGAIN
    if isinstance(error, SSLError):
        return any(isinstance(part, ssl.SSLCertVerificationError) for part in error.args)
    return not isinstance(error, HTTPError)
