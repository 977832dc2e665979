"""Cookies within one fetch."""

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Any
from urllib.request import Request

from urllib3 import HTTPHeaderDict


class FetchCookies:
    """Cookies of one fetch: some hosts set one with a redirect and demand it at the target.

    Domain, path and `Secure` are respected (RFC 6265); nothing is kept after the fetch.
    """

    def __init__(self) -> None:
        # No cookie for all of .co.uk.
        self._jar = CookieJar(DefaultCookiePolicy(strict_domain=True))

    def add_to(self, headers: Mapping[str, str], url: str) -> Mapping[str, str]:
        """Return headers with the cookies for an address."""
        if not len(self._jar):
            return headers
        request = Request(url)  # noqa: S310 - an http(s) address that is not opened
        self._jar.add_cookie_header(request)
        cookies = request.get_header("Cookie")
        return {**headers, "Cookie": cookies} if cookies else headers

    def record(self, headers: HTTPHeaderDict, url: str) -> None:
        """Store the cookies that a response from `url` sets."""
        if "Set-Cookie" in headers:
            # All that the jar asks of a response.
            response: Any = SimpleNamespace(info=lambda: headers)
            self._jar.extract_cookies(response, Request(url))  # noqa: S310 - as above
