"""Connections that refuse private addresses and can be cut from outside.

The decision falls on the numeric address that is handed to `connect`, after the name
was resolved, so no name server can talk us into the local network. Behind a proxy the
proxy resolves; then only what the URL itself spells out can be judged (`spelled_private`).
"""

from __future__ import annotations

import ipaddress
import math
import socket
import threading
import time
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util.connection import create_connection

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1
_running = threading.local()


class PrivateAddress(HTTPError):
    """The name leads to this machine or a private network."""


class Call:
    """One download's time on the network, and its leave to visit private addresses.

    Entered once per request; `seconds` is what all of them may take together. On `cut`,
    which a `Watch` calls when they are used up, the socket in use is shut down, which ends
    even a server that sends one byte of a header now and then. The thread inside is the
    one it rules.
    """

    def __init__(self, seconds: float, allow_private: bool = False) -> None:
        self.allow_private = allow_private
        self.over = False
        self._left = seconds
        self._began = 0.0
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.deadline = math.inf

    @property
    def left(self) -> float:
        """Seconds of network time that remain, at least a moment."""
        return max(self._left - (time.monotonic() - self._began), 0.001)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self.deadline = self._began + self._left
        _running.call = self
        return self

    def __exit__(self, *_: object) -> None:
        _running.call = None
        self.deadline = math.inf
        with self._lock:
            self._socket = None
        self._left -= time.monotonic() - self._began

    def hold(self, sock: socket.socket) -> None:
        """Remember the socket in use, to be shut down when the time is up."""
        with self._lock:
            self._socket = sock
        if self.over:
            self.cut()

    def cut(self) -> None:
        """End the request under way, and every later one, at once."""
        with self._lock:
            self.over = True
            if self._socket is not None:
                _shut(self._socket)


def is_private(address: str) -> bool:
    """Whether a numeric address is anything but a public unicast one.

    IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is judged as that IPv4.
    Raises `ValueError` for what is not a numeric address.
    """
    ip = ipaddress.ip_address(address)
    inner = _inner(ip) if isinstance(ip, IPv6Address) else None
    if inner is not None:
        return is_private(str(inner))
    return not ip.is_global or ip.is_multicast


def spelled_private(host: str) -> bool:
    """Whether a URL's host names a private address without asking a name server.

    Understands `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`, as `connect` would.
    """
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    numeric = bare if ":" in bare else _dotted(bare)
    try:
        return numeric is not None and is_private(numeric)
    except ValueError:
        return False


def _inner(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or ip in _V4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def _dotted(host: str) -> str | None:
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _shut(sock: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown: it forgets its TLS state under the reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


def _current() -> Call | None:
    call: Call | None = getattr(_running, "call", None)
    return call


class _Guarded(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        try:
            sock = self._connected(self._addresses())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error
        if (call := _current()) is not None:
            call.hold(sock)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        call = _current()
        if call is not None and self.sock is not None:
            call.hold(self.sock)
        super().request(*args, **options)

    def _addresses(self) -> list[str]:
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise LocationParseError(host) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        call = _current()
        if self.proxy is not None or (call is not None and call.allow_private):
            return addresses
        public = [address for address in addresses if not is_private(address)]
        if not public:
            raise PrivateAddress(f"{self.host} is {', '.join(addresses)}")
        return public

    def _connected(self, addresses: list[str]) -> socket.socket:
        patience = self.timeout if isinstance(self.timeout, int | float) else None
        until = time.monotonic() + patience if patience is not None else None
        failure: OSError = OSError("no address")
        for address in addresses:
            left = None if until is None else max(until - time.monotonic(), 0.001)
            try:
                sock = create_connection((address, self.port), left, None, self.socket_options)
            except OSError as error:
                failure = error
            else:
                sock.settimeout(patience)
                return sock
        raise failure


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class GuardedPool(HTTPConnectionPool):
    """urllib3's pool, over guarded connections."""

    ConnectionCls = _Guarded


class GuardedTLSPool(HTTPSConnectionPool):
    """urllib3's TLS pool, over guarded connections."""

    ConnectionCls = _GuardedTLS
