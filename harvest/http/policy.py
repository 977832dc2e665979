"""Limits of downloads, what a fetch sends and accepts, and the meaning of its failures."""

import re
import socket
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from gleanset.errors import Unreachable, Unreadable
from harvest.http.connections import PrivateAddress


@dataclass(frozen=True)
class DownloadLimits:
    """Limits of the downloader. Timeouts and delays are in seconds, sizes in bytes.

    `total_timeout` is the network time of one download, with redirects and retries, without
    waiting for its turn. `max_bytes` also holds after content decoding. `per_host` is the number
    of simultaneous requests to a host, `delay` the time between two starts. `max_wait` caps
    `Retry-After`. A robots.txt has `robots_timeout`; one that could not be read is requested again
    after `robots_retry_delay`.
    """

    connect_timeout: float = 10.0
    read_timeout: float = 20.0
    total_timeout: float = 60.0
    max_bytes: int = 50_000_000
    max_redirects: int = 5
    per_host: int = 6
    delay: float = 0.0
    retries: int = 3
    backoff: float = 0.5
    max_wait: float = 60.0
    robots_timeout: float = 15.0
    robots_retry_delay: float = 60.0


class FetchPolicy(NamedTuple):
    """What to send, and how to handle the response.

    `retry_statuses` are retried as often as the limits allow. `error_bodies`: the body of an error
    is read as well. `may_clip`: of a body over `limits.max_bytes` the beginning suffices. `robots`:
    opt-out signals in headers are respected. Without `follow_redirects` a redirect is returned.
    """

    headers: Mapping[str, str]
    retry_statuses: frozenset[int]
    limits: DownloadLimits
    error_bodies: bool = False
    may_clip: bool = False
    robots: bool = False
    follow_redirects: bool = True
    body: bytes | str | None = None


# A slow request, too many requests, and temporary errors of the server or, from 520, of a proxy
# such as Cloudflare.
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 531)})
# The two statuses that concern the whole host.
HOST_WIDE_STATUSES = frozenset({429, 503})

_HTML_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<body")
# urllib3 begins messages with the repr of the connection.
_CONNECTION_REPR = re.compile(r"^<?\w+\(host=[^)]*\)>?: ")


class TransientFailure(Unreadable):
    """A request failed in a way that may succeed the next time."""


# Reason of a request to an address that only `--allow-private` allows.
PRIVATE_ADDRESS = "private address"


def classify_error(error: Exception, url: str, in_body: bool) -> Unreadable:
    """Return the meaning of an exception of urllib3; `TransientFailure` where a retry may help.

    `in_body`: it happened after the response had begun.
    """
    detail = f"{url}: {_CONNECTION_REPR.sub('', str(error))}"
    if isinstance(error, PrivateAddress):
        return Unreadable(PRIVATE_ADDRESS, detail)
    if isinstance(error, LocationParseError | UnicodeError):
        return Unreadable("bad url", detail)
    if isinstance(error, ReadTimeoutError):
        return Unreadable("timed out", detail)
    # A connection that was refused is a `ConnectTimeoutError` of urllib3 as well.
    if isinstance(error, ConnectTimeoutError) and not isinstance(
        error, NewConnectionError
    ):
        return TransientFailure("timed out", detail)
    if isinstance(error, zlib.error):
        return Unreadable("cut off", detail)
    if in_body:
        return TransientFailure("cut off", detail)
    if _is_permanent(error):
        return Unreadable("connection failed", detail)
    return TransientFailure("connection failed", detail)


def unreachable_error(address: str, reason: str, detail: str = "") -> Unreachable:
    """Return the error for a site that did not respond."""
    problem = f"{address} could not be reached: {reason}"
    if detail:
        problem += f" ({detail})"
    fix = "check the network and HTTP_PROXY/HTTPS_PROXY, or try again later"
    if reason == PRIVATE_ADDRESS:
        fix = "add --allow-private if this address is intended"
    return Unreachable(problem, fix)


def looks_like_html(data: bytes) -> bool:
    """Return whether a body begins like a web page; file names and headers are unreliable."""
    head = data[:2048].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for opening, closing in ((b"<?xml", b"?>"), (b"<!--", b"-->")):
        if head.startswith(opening):
            head = head.partition(closing)[2].lstrip()
    return head.startswith(_HTML_BEGINNINGS)


def _is_permanent(error: Exception) -> bool:
    """Return whether a connection that failed in this way would fail again."""
    if isinstance(error, ProxyError):
        return False
    if isinstance(error, NameResolutionError):
        # A name that does not exist will not exist in two seconds either.
        return getattr(error.__cause__, "errno", None) != socket.EAI_AGAIN
    if isinstance(error, SSLError):
        return any(
            isinstance(part, ssl.SSLCertVerificationError) for part in error.args
        )
    # Those of urllib3 are of the network. Others are of the address or this machine: a host name
    # that cannot be encoded, a file of certificates that cannot be read.
    return not isinstance(error, HTTPError)
