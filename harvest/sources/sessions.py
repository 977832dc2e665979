"""`requests` sessions for packages (flickrapi, pixivpy3) that send through our own downloader.

So a package's requests obey what all requests obey: private addresses, proxies, certificates,
bounds of time and size, the pace of the host, and the end of the client.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import ProxyManager

from gleanset.errors import Unreadable
from harvest.http import Client, Closed, Page, unreachable
from harvest.http.deadline import Deadline
from harvest.http.failures import TransientFailure
from harvest.http.policy import FetchPolicy
from harvest.http.ssrf import GuardedPool, GuardedTLSPool, PrivateAddress, spelled_private
from harvest.http.throttle import PassingTrouble
from harvest.http.urls import host_of
from harvest.sources.base import speakable

# What an answer means: the error to be raised, None for a good one.
Judge = Callable[[Page], Exception | None]

# Failures that may pass, and that a download is not tried again for.
_CHUNK = 65_536
_POOLS = {"http": GuardedPool, "https": GuardedTLSPool}
_PASSING = ("timed out", "too slow", "too large", "cut off")


def open_session(client: Client, pace: float, judge: Judge) -> requests.Session:
    """Return a session under the client's name; `pace` are the seconds between requests.

    Its requests return good answers only: they raise what `judge` returns for an answer,
    `PassingTrouble` where there was none, `Unreachable` for a private address or a certificate
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
    """Sends each request once, and judges its answer."""

    def __init__(self, client: Client, pace: float, judge: Judge) -> None:
        super().__init__()
        # Not the client: sessions may outlive it.
        self._fetcher = client.fetcher
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
            answer = self._fetcher.fetch(request.url or "", policy, self._pace)
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
    detail = speakable(error.detail.removeprefix(url).removeprefix(": "))
    trouble = unreachable(where, f"{error.reason} ({detail})" if detail else error.reason)
    passing = isinstance(error, TransientFailure) or error.reason in _PASSING
    return PassingTrouble(trouble) if passing else trouble


def _as_text(header: str | bytes) -> str:
    return header if isinstance(header, str) else header.decode("latin-1")


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def guard_session(session: requests.Session, client: Client) -> None:
    """Put the guard before the adapters of a session that a package made, which are kept."""
    guard = _Guard(client)
    for prefix, adapter in list(session.adapters.items()):
        if not isinstance(adapter, _GuardedAdapter):
            session.mount(prefix, _GuardedAdapter(adapter, guard))


class _Guard:
    """What a client allows. It does not keep the client: sessions may outlive it."""

    def __init__(self, client: Client) -> None:
        self.slots = client.fetcher.slots
        self.robots = client.fetcher.robots
        self._allow_private = client.allow_private
        self._watch = client.fetcher.watch
        self._total = client.limits.total
        self.max_bytes = client.limits.max_bytes
        self.timeout = (client.limits.connect, client.limits.read)

    @contextmanager
    def call(self, url: str) -> Iterator[Deadline]:
        """Surround one request, whose socket is cut after the client's total time.

        Raises `Unreachable` for a private address, `Closed` when the client is closed.
        """
        if self.slots.closed:
            raise Closed("The search was stopped.")
        if not self._allow_private and spelled_private(host_of(url)):
            raise unreachable(_without_query(url), "private address")
        deadline = Deadline(self._total, self._allow_private)
        self._watch.add(deadline)
        try:
            with deadline:
                yield deadline
        except PrivateAddress as error:
            raise unreachable(_without_query(url), "private address") from error
        finally:
            self._watch.remove(deadline)


class _GuardedAdapter(BaseAdapter):
    """The guard before another adapter."""

    def __init__(self, inner: BaseAdapter, guard: _Guard) -> None:
        super().__init__()
        self._inner = inner
        self._guard = guard
        if isinstance(inner, HTTPAdapter):
            _guard_pools(inner.poolmanager)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        *rest: Any,
        **options: Any,
    ) -> requests.Response:
        timeout = timeout or self._guard.timeout
        with self._guard.call(request.url or "") as deadline:
            response = self._inner.send(request, stream, timeout, *rest, **options)
            if not stream:
                _read_body(response, deadline, self._guard.max_bytes)
                if "html" in response.headers.get("Content-Type", ""):
                    text = response.content.decode("utf-8", "replace")
                    self._guard.robots.note_page(response.url, text)
            return response

    def close(self) -> None:
        self._inner.close()


class _Body(io.BytesIO):
    """A body that was read; `requests` looks for cookies where it came from."""

    def __init__(self, data: bytes, raw: Any) -> None:
        super().__init__(data)
        self._original_response = getattr(raw, "_original_response", None)


def _guard_pools(manager: PoolManager) -> None:
    """Let a manager make guarded connections, but for a SOCKS proxy, which has its own."""
    if isinstance(manager, ProxyManager) or type(manager) is PoolManager:
        manager.pool_classes_by_scheme = _POOLS


def _read_body(response: requests.Response, deadline: Deadline, most: int) -> None:
    """Read the whole body here, within the deadline and `most` bytes.

    The package reads it from memory then. Raises `requests.ConnectionError`.
    """
    with response.raw as raw:
        body = _Body(_read(raw, deadline, most), raw)
    response.raw = body


def _read(raw: Any, deadline: Deadline, most: int) -> bytes:
    data = bytearray()
    try:
        # read1 returns what has come; read would wait for a whole chunk of a slow drip.
        while chunk := raw.read1(_CHUNK, decode_content=True):
            data += chunk
            if len(data) > most:
                raise requests.ConnectionError("the answer is too long")
        if deadline.over:
            # A socket that was shut down looks like an honest end.
            raise requests.ConnectionError("the answer is too slow")
    except (HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(f"the answer was cut off: {error}") from error
    return bytes(data)
