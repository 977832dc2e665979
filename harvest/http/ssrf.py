"""Connections that refuse private addresses (server-side request forgery) and obey a deadline.

The decision falls on the numeric address that is handed to `connect`, after the name
was resolved, so no name server can talk us into the local network. Behind a proxy the
proxy resolves; then only what the URL itself spells out can be judged (`spelled_private`).
"""

from __future__ import annotations

import ipaddress
import socket
import time
from ipaddress import IPv4Address, IPv6Address
from typing import Any

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

from harvest.http.deadline import current_deadline

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1


class PrivateAddress(HTTPError):
    """The name leads to this machine or a private network."""


def is_private(address: str) -> bool:
    """Return whether a numeric address is anything but a public unicast one.

    IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4, Teredo) is judged as that IPv4.
    Raises `ValueError` for what is not a numeric address.
    """
    ip = ipaddress.ip_address(address)
    inner = _inner(ip) if isinstance(ip, IPv6Address) else None
    if inner is not None:
        return is_private(str(inner))
    return not ip.is_global or ip.is_multicast


def spelled_private(host: str) -> bool:
    """Return whether a URL's host names a private address without asking a name server.

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


def resolves_private(host: str) -> bool:
    """Return whether a host is spelled as, or its name leads to, a private address."""
    if spelled_private(host):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # nowhere, or a proxy knows
        return False
    return any(is_private(str(entry[4][0])) for entry in found)


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
        if (deadline := current_deadline()) is not None:
            deadline.register(sock)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        deadline = current_deadline()
        if deadline is not None and self.sock is not None:
            deadline.register(self.sock)
        super().request(*args, **options)

    def _addresses(self) -> list[str]:
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise LocationParseError(host) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        deadline = current_deadline()
        if self.proxy is not None or (deadline is not None and deadline.allow_private):
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
