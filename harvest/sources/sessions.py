"""`requests` sessions for packages (flickrapi, pixivpy3) that send through our own downloader.

So a package's requests obey what all requests obey: private addresses, proxies, certificates,
bounds of time and size, the pace of the host, and the end of the client.
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

# What an answer means: the error to be raised, None for a good one.
Judge = Callable[[Page], Exception | None]

# Failures that may pass, and that a download is not tried again for.
_PASSING = ("timed out", "too slow", "too large", "cut off")


def open_session(client: Client, pace: float, judge: Judge) -> requests.Session:
    """Return a session under the client's name; `pace` are the seconds between requests.

    Its requests return good answers only: they raise what `judge` returns for an answer,
    `RetryableError` where there was none, `Unreachable` for a private address or a certificate
    that is not trusted, `Closed` after the client was closed.
    """
    session = requests.Session()
    # Proxies and certificates are the client's; a .netrc is for other programs.
    session.trust_env = False
    session.headers["User-Agent"] = client.user_agent
    for prefix in ("https://", "http://"):
        session.mount(prefix, _ClientAdapter(client, pace, judge))
    return session


class _ClientAdapter(BaseAdapter):
    def __init__(self, client: Client, pace: float, judge: Judge) -> None:
        super().__init__()
        self._client = client
        self._limits = replace(client.limits, retries=0)
        self._pace = pace
        self._judge = judge

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        policy = FetchPolicy(
            {name: _as_text(value) for name, value in request.headers.items()},
            retry_statuses=frozenset(),
            limits=self._limits,
            error_bodies=True,
            follow_redirects=False,
            method=request.method or "GET",
            body=request.body if isinstance(request.body, bytes | str) else None,
        )
        try:
            answer = self._client.fetch(request.url or "", policy, self._pace)
        except Unreadable as error:
            raise _trouble(request.url or "", error) from None
        text = answer.data.decode("utf-8", "replace")
        page = Page(answer.status, text, _without_query(answer.url), answer.headers)
        if (refused := self._judge(page)) is not None:
            # Not chained: the package's own error may repeat a key.
            raise refused from None
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(answer.data)
        response.encoding = "utf-8"
        response.url = answer.url
        response.request = request
        return response

    def close(self) -> None:
        """Do nothing: connections are the client's."""


def _trouble(url: str, error: Unreadable) -> Exception:
    where = _without_query(url)
    # A detail begins with the whole address, in which there may be a key.
    detail = redact_site_text(error.detail.removeprefix(url).removeprefix(": "))
    trouble = unreachable_error(where, f"{error.reason} ({detail})" if detail else error.reason)
    passing = isinstance(error, TransientFailure) or error.reason in _PASSING
    return RetryableError(trouble) if passing else trouble


def _as_text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode("latin-1")


def _without_query(url: str) -> str:
    return url.partition("?")[0]
