"""One factory of `requests` sessions, for packages that ask the web through `requests`.

flickrapi and pixivpy3 are given a session by `open_session`; gallery-dl and yt-dlp make their
own, and `guard_session` puts the same guard before it. Whichever way it came to be, a session
connects only where the client may (judged by the address really connected to; behind a proxy,
which resolves, by what the URL spells out), keeps the client's bounds of time and size, and
ends with the client. Redirects pass the guard as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Timer
from typing import Any
from weakref import ref

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import ProxyManager

from gleanset.errors import Unreachable
from harvest.http import Client, Closed, Page
from harvest.http.deadline import Deadline
from harvest.http.proxies import trusted_certificates
from harvest.http.ssrf import GuardedPool, GuardedTLSPool, PrivateAddress, spelled_private
from harvest.http.urls import host_of
from harvest.sources.throttle import SiteThrottle

_CHUNK = 65_536
_POOLS = {"http": GuardedPool, "https": GuardedTLSPool}


def open_session(client: Client, throttle: SiteThrottle) -> requests.Session:
    """Return a session under the client's name, guarded, at the throttle's pace.

    Proxies are those of the environment, certificates those of our downloads; a request without
    a timeout gets the client's. Raises `UsageError` when a certificate file that the environment
    names is unusable; its requests raise `Unreachable` for a private address, `Closed` after
    the client was closed, and what `requests` raises.
    """
    session = requests.Session()
    session.headers["User-Agent"] = client.user_agent
    adapter = _GuardedAdapter(_TrustingAdapter(), _Guard(client), throttle)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def guard_session(session: requests.Session, client: Client) -> None:
    """Put the guard before the adapters of a session that a package made, which are kept."""
    guard = _Guard(client)
    for prefix, adapter in list(session.adapters.items()):
        if not isinstance(adapter, _GuardedAdapter):
            session.mount(prefix, _GuardedAdapter(adapter, guard))


def raise_unless_ok(response: requests.Response, *_: Any, **__: Any) -> None:
    """Raise `requests.HTTPError` for a status other than 200.

    A hook for `session.hooks["response"]`, where a package would throw the headers away.
    """
    if response.status_code != 200:
        raise requests.HTTPError(f"http {response.status_code}", response=response)


def page_of(answer: requests.Response | requests.HTTPError) -> Page:
    """Return an answer of such a session, or a refusal that was raised, as sources judge it."""
    response = answer.response if isinstance(answer, requests.HTTPError) else answer
    assert response is not None
    text = response.content.decode("utf-8", "replace")
    return Page(response.status_code, text, response.url, response.headers)


class _Guard:
    """What a client allows. It does not keep the client: sessions may outlive it."""

    def __init__(self, client: Client) -> None:
        self._client = ref(client)
        self._allow_private = client.allow_private
        self._limits = client.limits
        self.max_bytes = client.limits.max_bytes
        self.timeout = (client.limits.connect, client.limits.read)

    def check(self) -> None:
        """Raise `Closed` when the client is closed, or gone."""
        client = self._client()
        if client is None or client.closed:
            raise Closed("The search was stopped.")

    @contextmanager
    def call(self, url: str) -> Iterator[Deadline]:
        """Surround one request, whose socket is cut after the client's total time.

        Raises `Unreachable` for a private address, `Closed` when the client is closed.
        """
        self.check()
        if not self._allow_private and spelled_private(host_of(url)):
            raise _private(url)
        deadline = Deadline(self._limits.total, self._allow_private)
        timer = Timer(self._limits.total, deadline.cut)
        timer.daemon = True
        timer.start()
        try:
            with deadline:
                yield deadline
        except PrivateAddress as error:
            raise _private(url) from error
        finally:
            timer.cancel()


class _GuardedAdapter(BaseAdapter):
    """The guard, and the throttle if there is one, before another adapter."""

    def __init__(
        self, inner: BaseAdapter, guard: _Guard, throttle: SiteThrottle | None = None
    ) -> None:
        super().__init__()
        self._inner = inner
        self._guard = guard
        self._throttle = throttle
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
        url = request.url or ""
        timeout = timeout or self._guard.timeout
        with self._turn(url), self._guard.call(url) as deadline:
            response = self._inner.send(request, stream, timeout, *rest, **options)
            if not stream:
                _read_body(response, deadline, self._guard.max_bytes)
            return response

    def close(self) -> None:
        self._inner.close()

    def _turn(self, url: str) -> Any:
        if self._throttle is None:
            return nullcontext()
        return self._throttle.turn(host_of(url), self._guard.check)


class _TrustingAdapter(HTTPAdapter):
    """Trusts what our downloads trust.

    `requests` knows REQUESTS_CA_BUNDLE, but neither SSL_CERT_FILE nor the system's own.
    """

    def __init__(self) -> None:
        self._trusted = trusted_certificates()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._trusted)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        trusted = {"ssl_context": self._trusted, "proxy_ssl_context": self._trusted}
        manager = super().proxy_manager_for(proxy, **options, **trusted)
        _guard_pools(manager)
        return manager

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {"ssl_context": self._trusted}

    def cert_verify(self, *_: Any) -> None:
        """Do nothing: the connection trusts what our context trusts, not a package's bundle."""


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


def _private(url: str) -> Unreachable:
    # What stands behind the question mark may be a key.
    return Unreachable(
        f"{url.partition('?')[0]} could not be asked: private address.",
        "Add --allow-private if this address is meant.",
    )
