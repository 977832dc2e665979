"""Connections: through a proxy or not, to public addresses only, and within a deadline.

Whether an address is private (server-side request forgery) is decided on the numeric address
passed to `connect`, after the name was resolved: no name server can lead into the local network. A
proxy resolves names itself; then only an address in the URL can be checked (`is_private_literal`).

The environment is read once, when the client is created, as by curl and requests: `HTTP_PROXY`,
`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` (lower case wins), `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`,
`SSL_CERT_FILE`.
"""

import http.client
import ipaddress
import math
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util import make_headers
from urllib3.util.connection import create_connection

from gleanset.errors import UsageError

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1
# Hosts whose connections are kept alive. Image searches lead to many hosts, few images each.
_MAX_KEPT_HOSTS = 64
# Interval between checks of a `DeadlineWatcher`.
_CHECK_INTERVAL_SECONDS = 0.1
# The `deadline` of the current request of a thread: urllib3 opens connections deep inside a call
# and passes no argument to them.
_thread = threading.local()


class Deadline:
    """The network time of all requests of one fetch together, `total` seconds.

    Entered once per request, in the thread that makes it; waiting between requests does not count.
    `cancel`, which a `DeadlineWatcher` calls when the time is over, shuts down the socket in use:
    this also ends a server that sends single bytes. `allow_private`: whether its connections may
    lead to private addresses.
    """

    def __init__(self, seconds: float, allow_private: bool):
        self.total = seconds
        self.allow_private = allow_private
        self.is_over = False
        # When the time will be over, on the monotonic clock; infinite between requests.
        self.expires = math.inf
        self._remaining = seconds
        self._started_at = 0.0
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def remaining(self) -> float:
        """Remaining seconds of network time, at least a millisecond."""
        remaining = self._remaining
        if self.expires != math.inf:
            remaining = self.expires - time.monotonic()
        return max(remaining, 0.001)

    def __enter__(self) -> Self:
        self._started_at = time.monotonic()
        self.expires = self._started_at + self._remaining
        _thread.deadline = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.deadline = None
        self.expires = math.inf
        with self._lock:
            self._socket = None
        self._remaining -= time.monotonic() - self._started_at

    def register(self, sock: socket.socket) -> None:
        """Set the socket in use, to be shut down when the time is over."""
        with self._lock:
            self._socket = sock
        # The time was over while it was connecting.
        if self.is_over:
            self.cancel()

    def cancel(self) -> None:
        """End the current request, and every later one, at once."""
        with self._lock:
            self.is_over = True
            if self._socket:
                # Not SSLSocket.shutdown: it forgets its TLS state under the reading thread.
                with suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _current_deadline() -> Deadline | None:
    return getattr(_thread, "deadline", None)


class DeadlineWatcher:
    """Cancels fetches whose time is over, in one thread. Thread-safe."""

    def __init__(self) -> None:
        self._deadlines = set[Deadline]()
        self._lock = threading.Lock()
        self._has_ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        """Start watching a fetch."""
        with self._lock:
            self._deadlines.add(deadline)
            if not self._thread:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def remove(self, deadline: Deadline) -> None:
        """Stop watching a fetch."""
        with self._lock:
            self._deadlines.discard(deadline)

    def cancel_all(self) -> None:
        """Cancel every fetch, and stop watching."""
        self._has_ended.set()
        with self._lock:
            for deadline in self._deadlines:
                deadline.cancel()

    def _run(self) -> None:
        while not self._has_ended.wait(_CHECK_INTERVAL_SECONDS):
            now = time.monotonic()
            with self._lock:
                for deadline in self._deadlines:
                    if deadline.expires <= now:
                        deadline.cancel()


class PrivateAddress(HTTPError):
    """A name resolves to this machine or a private network."""


def is_private(address: str) -> bool:
    """Return whether a numeric address is not a public unicast one.

    IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) counts as that IPv4 address.
    Raises `ValueError` for what is not a numeric address.
    """
    ip = ipaddress.ip_address(address)
    inner = _extract_ipv4(ip) if isinstance(ip, IPv6Address) else None
    if inner:
        return is_private(str(inner))
    return not ip.is_global or ip.is_multicast


def is_private_literal(host: str) -> bool:
    """Return whether the host of a URL is a private address, without resolving names.

    Understands `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`, as `connect` would.
    """
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        if ":" not in bare:
            bare = socket.inet_ntoa(socket.inet_aton(bare))
        return is_private(bare)
    except (OSError, ValueError):  # a name
        return False


def _extract_ipv4(ip: IPv6Address) -> IPv4Address | None:
    if ip.teredo:
        _, client = ip.teredo
        return client
    if ip in _NAT64 or ip in _V4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class _FinalResponse(http.client.HTTPResponse):
    """A response after any number of interim ones (RFC 9110, 15.2).

    The standard library skips only 100; servers also send 102 and 103 (Early Hints).
    """

    def begin(self) -> None:
        super().begin()
        while 102 <= self.status < 200:
            # With headers, the method takes the response for read and does nothing.
            self.headers = None  # type: ignore[assignment]
            super().begin()


class _GuardedConnection(HTTPConnection):
    """Connection to public addresses only, within the deadline of its thread."""

    response_class = _FinalResponse

    # Private to urllib3, which has no public way to choose the address of a connection after the
    # name was resolved. Under another name urllib3 would connect by itself, to private addresses
    # too: pyproject.toml allows the versions that were tested.
    def _new_conn(self) -> socket.socket:
        try:
            sock = self._connect(self._resolve())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(
                self, f"no connection to {self.host} in time"
            ) from error
        except OSError as error:
            raise NewConnectionError(
                self, f"no connection to {self.host}: {error}"
            ) from error

        if deadline := _current_deadline():
            deadline.register(sock)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        deadline = _current_deadline()
        if deadline and self.sock:
            deadline.register(self.sock)
        super().request(*args, **options)

    def _resolve(self) -> list[str]:
        host = self.host.strip("[]")
        try:
            entries = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise LocationParseError(host) from error

        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        deadline = _current_deadline()
        # Behind a proxy, these are the addresses of the proxy, which may be private.
        if self.proxy or (deadline and deadline.allow_private):
            return addresses

        public = [address for address in addresses if not is_private(address)]
        if not public:
            raise PrivateAddress(f"{self.host} is {', '.join(addresses)}")
        return public

    def _connect(self, addresses: list[str]) -> socket.socket:
        """Connect to the first address that accepts; the timeout is for all of them together."""
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        started_at = time.monotonic()
        failure = OSError("no address")
        for address in addresses:
            remaining = timeout
            if timeout is not None:
                remaining = max(started_at + timeout - time.monotonic(), 0.001)
            try:
                sock = create_connection(
                    (address, self.port), remaining, None, self.socket_options
                )
            except OSError as error:
                failure = error
            else:
                sock.settimeout(timeout)
                return sock
        raise failure


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    pass


class GuardedPool(HTTPConnectionPool):
    """urllib3's pool with guarded connections."""

    ConnectionCls = _GuardedConnection


class GuardedTLSPool(HTTPSConnectionPool):
    """urllib3's TLS pool with guarded connections."""

    ConnectionCls = _GuardedTLSConnection


class ConnectionPools:
    """Connection pools: one manager for direct connections, one for each proxy in use.

    Raises `UsageError` when a proxy or a certificate file of the environment is unusable.
    """

    def __init__(self, per_host: int):
        self._proxies = getproxies_environment()
        self._managers: dict[str | None, PoolManager] = {}
        self._lock = threading.Lock()
        self._options: dict[str, Any] = {
            "num_pools": _MAX_KEPT_HOSTS,
            "maxsize": per_host,
            "ssl_context": load_ca_certificates(),
        }
        # Create the managers now: an unusable proxy is then reported before the first request.
        for scheme in ("http", "https"):
            self._get_manager(self._find_proxy(scheme))

    def manager_for(self, url: str) -> PoolManager:
        """Return the pools for this address."""
        parts = urlsplit(url)
        proxy = self._find_proxy(parts.scheme)
        if self._is_bypassed(parts.hostname or "", parts.port):
            proxy = None
        return self._get_manager(proxy)

    def close(self) -> None:
        """Close every kept connection."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _find_proxy(self, scheme: str) -> str | None:
        address = self._proxies.get(scheme) or self._proxies.get("all")
        if address and "://" not in address:
            return f"http://{address}"
        return address or None

    def _is_bypassed(self, host: str, port: int | None) -> bool:
        address = f"{host}:{port}" if port and ":" not in host else host
        if proxy_bypass_environment(address, self._proxies):
            return True

        # curl and requests understand NO_PROXY=10.0.0.0/8, urllib does not.
        for entry in self._proxies.get("no", "").split(","):
            with suppress(ValueError):
                network = ipaddress.ip_network(
                    entry.strip().strip("[]"),
                    strict=False,
                )
                if ipaddress.ip_address(host) in network:
                    return True
        return False

    def _get_manager(self, proxy: str | None) -> PoolManager:
        with self._lock:
            if proxy not in self._managers:
                manager = (
                    PoolManager(**self._options)
                    if proxy is None
                    else self._make_proxy_manager(proxy)
                )
                manager.pool_classes_by_scheme = {
                    "http": GuardedPool,
                    "https": GuardedTLSPool,
                }
                self._managers[proxy] = manager
            return self._managers[proxy]

    def _make_proxy_manager(self, proxy: str) -> ProxyManager:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"the proxy {parts.scheme}://{parts.hostname or ''} is not an http or https proxy",
                "set HTTP_PROXY and HTTPS_PROXY to http://host:port, or unset them and ALL_PROXY",
            )

        headers = None
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = dict(make_headers(proxy_basic_auth=login))

        return ProxyManager(
            proxy,
            proxy_headers=headers,
            proxy_ssl_context=self._options["ssl_context"],
            **self._options,
        )


def load_ca_certificates() -> ssl.SSLContext:
    """Return an SSL context with the certificates to trust. Raises `UsageError`."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        bundle = os.environ.get(variable)
        if not bundle:
            continue
        try:
            if Path(bundle).is_dir():
                return ssl.create_default_context(capath=bundle)
            return ssl.create_default_context(cafile=bundle)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"{variable} names {bundle}, which has no readable certificates: {error}",
                f"set {variable} to a PEM file, or unset it to use the system's certificates",
            ) from error
    return _system_ssl_context()


# Reading the system's bundle takes 0.1 s; a context may be shared.
_system_ssl_context = cache(ssl.create_default_context)
