"""`requests` sessions that let packages (flickrapi, pixivpy3) send through our client.

Their requests follow the same rules as all others: private addresses, proxies, certificates,
limits of time and size, the pace of a host, and the closing of the client.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from gleanset.errors import Unreadable
from harvest.http import Client, Page, unreachable_error
from harvest.http.policy import FetchPolicy, TransientFailure
from harvest.http.throttle import RetryableError
from harvest.sources.base import redact_site_text

# Returns the error that a response means, None for a good one.
CheckResponse = Callable[[Page], Exception | None]

# Temporary failures that are not retried for a download.
_TEMPORARY_REASONS = ("timed out", "too slow", "too large", "cut off")


def open_session(client: Client, pace: float, check: CheckResponse) -> requests.Session:
    """Return a session with the user agent of the client; `pace`: seconds between requests.

    Its requests raise the error that `check` returns for a response, `RetryableError` without a
    response, `Unreachable` for a private address or an untrusted certificate, `Closed` after the
    client was closed.
    """
    session = requests.Session()
    # The client handles proxies and certificates; a .netrc is for other programs.
    session.trust_env = False
    session.headers["User-Agent"] = client.user_agent
    for prefix in ("https://", "http://"):
        session.mount(prefix, _ClientAdapter(client, pace, check))
    return session


class _ClientAdapter(BaseAdapter):
    def __init__(self, client: Client, pace: float, check: CheckResponse) -> None:
        super().__init__()
        self._client = client
        self._limits = replace(client.limits, retries=0)
        self._pace = pace
        self._check = check

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        policy = FetchPolicy(
            {
                name: value if isinstance(value, str) else value.decode("latin-1")
                for name, value in request.headers.items()
            },
            retry_statuses=frozenset(),
            limits=self._limits,
            error_bodies=True,
            follow_redirects=False,
            method=request.method or "GET",
            body=request.body if isinstance(request.body, bytes | str) else None,
        )
        try:
            fetched = self._client.fetch(request.url or "", policy, self._pace)
        except Unreadable as error:
            raise _network_error(request.url or "", error) from None
        text = fetched.data.decode("utf-8", "replace")
        page = Page(fetched.status, text, _without_query(fetched.url), fetched.headers)
        if (error_of_page := self._check(page)) is not None:
            # Not chained: the error of the package may contain a key.
            raise error_of_page from None
        response = requests.Response()
        response.status_code = fetched.status
        response.headers = CaseInsensitiveDict(fetched.headers)
        response.raw = io.BytesIO(fetched.data)
        response.encoding = "utf-8"
        response.url = fetched.url
        response.request = request
        return response

    def close(self) -> None:
        """Do nothing: the client owns the connections."""


def _network_error(url: str, error: Unreadable) -> Exception:
    address = _without_query(url)
    # The detail begins with the whole address, which may contain a key.
    detail = redact_site_text(error.detail.removeprefix(url).removeprefix(": "))
    failure = unreachable_error(address, f"{error.reason} ({detail})" if detail else error.reason)
    is_temporary = isinstance(error, TransientFailure) or error.reason in _TEMPORARY_REASONS
    return RetryableError(failure) if is_temporary else failure


def _without_query(url: str) -> str:
    return url.partition("?")[0]
