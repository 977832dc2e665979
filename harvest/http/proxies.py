"""Connect straight or through a proxy, trusting which certificates: as curl and requests do.

The environment is read once, when the client is made: `HTTP_PROXY`, `HTTPS_PROXY`,
`ALL_PROXY`, `NO_PROXY` (lower case wins), `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`,
`SSL_CERT_FILE`.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import threading
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from urllib3 import PoolManager, ProxyManager
from urllib3.util import make_headers

from gleanset.errors import UsageError
from harvest.http.ssrf import GuardedPool, GuardedTLSPool

# HostSlots whose connections are kept alive. Image searches lead to many hosts, few pictures each.
_KEPT_HOSTS = 64


class ConnectionPools:
    """The pools to ask through: one manager for straight, one for each proxy in use.

    Raises `UsageError` when a proxy or a certificate file of the environment is unusable.
    """

    def __init__(self, per_host: int) -> None:
        self._proxies = getproxies_environment()
        self._managers: dict[str | None, PoolManager] = {}
        self._lock = threading.Lock()
        self._options: dict[str, Any] = {
            "num_pools": _KEPT_HOSTS,
            "maxsize": per_host,
            "ssl_context": trusted_certificates(),
        }
        for proxy in {self._proxy_of("http"), self._proxy_of("https")}:
            self._manager(proxy)

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy to ask for this address, None for straight."""
        parts = urlsplit(url)
        proxy = self._proxy_of(parts.scheme)
        if proxy is None or self._bypassed(parts.hostname or "", parts.port):
            return None
        return proxy

    def manager_for(self, url: str) -> PoolManager:
        """Return the pools to ask for this address."""
        return self._manager(self.proxy_for(url))

    def close(self) -> None:
        """Close every kept connection."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _proxy_of(self, scheme: str) -> str | None:
        address = self._proxies.get(scheme) or self._proxies.get("all")
        if not address:
            return None
        return address if "://" in address else f"http://{address}"

    def _bypassed(self, host: str, port: int | None) -> bool:
        named = f"{host}:{port}" if port and ":" not in host else host
        return bool(proxy_bypass_environment(named, self._proxies)) or self._in_network(host)

    def _in_network(self, host: str) -> bool:
        # NO_PROXY=10.0.0.0/8 is understood by curl and requests, not by urllib.
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(ip in network for network in _networks(self._proxies.get("no", "")))

    def _manager(self, proxy: str | None) -> PoolManager:
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._made(proxy)
            return self._managers[proxy]

    def _made(self, proxy: str | None) -> PoolManager:
        manager = PoolManager(**self._options) if proxy is None else self._through(proxy)
        manager.pool_classes_by_scheme = {"http": GuardedPool, "https": GuardedTLSPool}
        return manager

    def _through(self, proxy: str) -> ProxyManager:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"The proxy {parts.scheme}://{parts.hostname or ''} cannot be used: "
                "only http and https proxies are understood.",
                "Set HTTP_PROXY and HTTPS_PROXY to http://host:port, or unset them and ALL_PROXY.",
            )
        headers = _login(parts.username, parts.password)
        trusted = self._options["ssl_context"]
        return ProxyManager(
            proxy, proxy_headers=headers, proxy_ssl_context=trusted, **self._options
        )


def _login(user: str | None, password: str | None) -> dict[str, str] | None:
    if not user:
        return None
    return dict(make_headers(proxy_basic_auth=f"{unquote(user)}:{unquote(password or '')}"))


def trusted_certificates() -> ssl.SSLContext:
    """Return the certificates to trust. Raises `UsageError` when a named bundle is not there."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if bundle := os.environ.get(variable):
            return _trust_in(Path(bundle), variable)
    return _system_trust()


@cache
def _system_trust() -> ssl.SSLContext:
    # Reading the system's bundle takes a tenth of a second; a context may be shared.
    return ssl.create_default_context()


def _trust_in(bundle: Path, variable: str) -> ssl.SSLContext:
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{variable} names {bundle}, which cannot be read as certificates: {error}.",
            f"Point {variable} at a PEM file, or unset it to use the system's certificates.",
        ) from error


def _networks(no_proxy: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for entry in no_proxy.split(","):
        try:
            networks.append(ipaddress.ip_network(entry.strip().strip("[]"), strict=False))
        except ValueError:
            continue
    return networks
