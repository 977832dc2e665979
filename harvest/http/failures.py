"""Translate what urllib3 raises into the small vocabulary of reasons that a rejection has."""

from __future__ import annotations

import re
import socket
import ssl

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
from harvest.http.ssrf import PrivateAddress

# Too many requests, and the server's own passing troubles.
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
# The two answers with which a server speaks about the whole host.
HOST_WIDE = frozenset({429, 503})

_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")


class TransientFailure(Unreadable):
    """A request failed in a way that may go well the next time."""


_SHOWN = re.compile(r"^<?\w+\(host=[^)]*\)>?: ")


def classify(error: Exception, url: str, in_body: bool) -> Unreadable:
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


def unreachable(where: str, why: str) -> Unreachable:
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
