"""The guard of our downloads, for packages that bring a `requests` session of their own.

Their requests connect only where the client may, judged by the address really connected to;
behind a proxy, which resolves, by what the URL spells out. Redirects pass here as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any
from weakref import ref

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import ProxyManager

from gleanset.errors import Unreachable
from harvest.http import Client, Closed
from harvest.http.deadline import Deadline
from harvest.http.ssrf import GuardedPool, GuardedTLSPool, PrivateAddress, spelled_private
from harvest.http.urls import host_of

_CHUNK = 65_536
_POOLS = {"http": GuardedPool, "https": GuardedTLSPool}


class _Body(io.BytesIO):
    """A body that was read; `requests` looks for cookies where it came from."""

    def __init__(self, data: bytes, raw: Any) -> None:
        super().__init__(data)
        self._original_response = getattr(raw, "_original_response", None)


def read_body(response: requests.Response, call: Deadline, most: int) -> None:
    """Read the whole body here, within the call's time and `most` bytes.

    The package reads it from memory then. Raises `requests.ConnectionError`.
    """
    with response.raw as raw:
        body = _Body(_read(raw, call, most), raw)
    response.raw = body


def _read(raw: Any, call: Deadline, most: int) -> bytes:
    data = bytearray()
    try:
        # read1 returns what has come; read would wait for a whole chunk of a slow drip.
        while chunk := raw.read1(_CHUNK, decode_content=True):
            data += chunk
            if len(data) > most:
                raise requests.ConnectionError("the answer is too long")
        if call.over:
            # A socket that was shut down looks like an honest end.
            raise requests.ConnectionError("the answer is too slow")
    except (HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(f"the answer was cut off: {error}") from error
    return bytes(data)


class Guard:
    """What a client allows. It does not keep the client: sessions may outlive it."""

    def __init__(self, client: Client) -> None:
        self._client = ref(client)
        self._allow_private = client.allow_private
        self._seconds = client.limits.total
        self.max_bytes = client.limits.max_bytes

    def check(self) -> None:
        """Raises `Closed` when the client is closed, or gone."""
        client = self._client()
        if client is None or client.closed:
            raise Closed("The search was stopped.")

    @contextmanager
    def call(self, url: str) -> Iterator[Deadline]:
        """Around one request: its socket is cut after the client's total time.

        Raises `Unreachable` for a private address, `Closed` when the client is closed.
        """
        self.check()
        if not self._allow_private and spelled_private(host_of(url)):
            raise _private(url)
        call = Deadline(self._seconds, self._allow_private)
        timer = Timer(self._seconds, call.cut)
        timer.daemon = True
        timer.start()
        try:
            with call:
                yield call
        except PrivateAddress as error:
            raise _private(url) from error
        finally:
            timer.cancel()


def guarded_pools(manager: PoolManager) -> None:
    """Let this manager make guarded connections, but for a SOCKS proxy, which has its own."""
    if isinstance(manager, ProxyManager) or type(manager) is PoolManager:
        manager.pool_classes_by_scheme = _POOLS


def guard_session(session: requests.Session, client: Client) -> None:
    """Put the guard before whatever this session asks through, settings of theirs kept."""
    guard = Guard(client)
    for prefix, adapter in list(session.adapters.items()):
        if not isinstance(adapter, _Guarding):
            session.mount(prefix, _Guarding(adapter, guard))


class _Guarding(BaseAdapter):
    def __init__(self, inner: BaseAdapter, guard: Guard) -> None:
        super().__init__()
        self._inner = inner
        self._guard = guard
        if isinstance(inner, HTTPAdapter):
            guarded_pools(inner.poolmanager)

    def send(self, request: requests.PreparedRequest, *args: Any, **kw: Any) -> requests.Response:
        with self._guard.call(request.url or "") as call:
            response = self._inner.send(request, *args, **kw)
            if not kw.get("stream"):
                read_body(response, call, self._guard.max_bytes)
            return response

    def close(self) -> None:
        self._inner.close()


def _private(url: str) -> Unreachable:
    # What stands behind the question mark may be a key.
    return Unreachable(
        f"{url.partition('?')[0]} could not be asked: private address.",
        "Add --allow-private if this address is meant.",
    )
