"""One factory of `requests` sessions, for packages that ask the web through `requests`.

flickrapi and pixivpy3 are given a session by `open_session`, which also keeps the site's pace and
raises what its answers mean; yt-dlp makes its own, and `guard_session` puts the
same guard before it. Whichever way it came to be, a session connects only where the client may
(judged by the address really connected to; behind a proxy, which resolves, by what the URL spells
out), keeps the client's bounds of time and size, and ends with the client. Redirects pass the
guard as well.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import ProxyManager

from harvest.http import Client, Closed, Page, unreachable
from harvest.http.deadline import Deadline
from harvest.http.proxies import trusted_certificates
from harvest.http.ssrf import GuardedPool, GuardedTLSPool, PrivateAddress, spelled_private
from harvest.http.throttle import PassingTrouble
from harvest.http.urls import host_of
from harvest.sources.base import speakable

# What an answer means: the error to be raised, None for a good one.
Judge = Callable[[Page], Exception | None]

_CHUNK = 65_536
_POOLS = {"http": GuardedPool, "https": GuardedTLSPool}


def open_session(client: Client, pace: float, judge: Judge) -> requests.Session:
    """Return a session under the client's name, guarded; `pace` are the seconds between requests.

    Proxies are those of the environment, certificates those of our downloads; a request without
    a timeout gets the client's. Raises `UsageError` when a certificate file that the environment
    names is unusable. Its requests return good answers alone: they raise what `judge` returns for
    an answer, `PassingTrouble` where there was none, `Unreachable` for a private address or a
    certificate that is not trusted, `Closed` after the client was closed.
    """
    session = requests.Session()
    session.headers["User-Agent"] = client.user_agent
    adapter = _SiteAdapter(client, pace, judge)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


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
            raise unreachable(_bare(url), "private address")
        deadline = Deadline(self._total, self._allow_private)
        self._watch.add(deadline)
        try:
            with deadline:
                yield deadline
        except PrivateAddress as error:
            raise unreachable(_bare(url), "private address") from error
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


class _SiteAdapter(_GuardedAdapter):
    """The pace of one site, and what its answers mean."""

    def __init__(self, client: Client, pace: float, judge: Judge) -> None:
        super().__init__(_TrustingAdapter(), _Guard(client))
        self._pace = pace
        self._judge = judge

    def send(self, request: requests.PreparedRequest, *rest: Any, **options: Any) -> Any:
        url = request.url or ""
        self._guard.slots.slow_down(host_of(url), self._pace)
        try:
            with self._guard.slots.turn(host_of(url)):
                response = super().send(request, *rest, **options)
        except requests.RequestException as error:
            # The outermost text begins with the whole address and hides the reason behind it.
            inner = error.args[0] if error.args else error
            reason = speakable(str(getattr(inner, "reason", None) or inner))
            trouble = unreachable(_bare(url), reason)
            # A certificate or an address that is wrong will be wrong in two seconds as well.
            final = isinstance(error, requests.exceptions.SSLError | ValueError)
            raise (trouble if final else PassingTrouble(trouble)) from None
        text = response.content.decode("utf-8", "replace")
        page = Page(response.status_code, text, _bare(response.url), response.headers)
        if (refused := self._judge(page)) is not None:
            # Not chained: the package's own error may repeat a key.
            raise refused from None
        response.encoding = "utf-8"  # without a charset requests guesses
        return response


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


def _bare(url: str) -> str:
    # What stands behind the question mark may be a key.
    return url.partition("?")[0]
