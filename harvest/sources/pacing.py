"""Manners for packages that bring their own `requests` session: pace, bounds, certificates,
and the guard against private addresses.

A source never sleeps: the session waits for its turn before each call. An answer other than
200 leaves it as `Refused`, with the headers that such packages throw away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from harvest.http import Client, Limits, Page
from harvest.http.proxies import trusted_certificates
from harvest.http.throttle import HostSlots, backoff
from harvest.http.urls import host_of
from harvest.sources.guarded import Guard, guarded_pools, read_body

_STEP = 0.2


class Refused(Exception):
    """A site answered with a status other than 200: `page` is that answer."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"http {page.status}")
        self.page = page


class Pace:
    """One call at a time on a host, `seconds` apart, however many queries there are."""

    def __init__(self, seconds: float) -> None:
        self._hosts = HostSlots(per_host=1, delay=seconds)

    def session(self, client: Client) -> requests.Session:
        """A session that keeps this pace and the client's limits, under the client's name.

        It refuses private addresses as the client does (`Unreachable`).
        Raises `UsageError` when a certificate file that the environment names is unusable.
        """
        session = requests.Session()
        session.headers["User-Agent"] = client.user_agent
        adapter = _PacedAdapter(self._hosts, client)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def back_off(self, url: str, attempt: int, asked: float | None, limits: Limits) -> bool:
        """Let nobody call this host for a while; whether another attempt may be made at all.

        `asked`: the seconds that the site asked for. More than the limits allow ends it,
        because to come back earlier would be rude.
        """
        wait = backoff(attempt, limits.backoff) if asked is None else asked
        if attempt >= limits.retries or wait > limits.max_wait:
            return False
        self._hosts.hold(host_of(url), wait)
        return True


class _PacedAdapter(HTTPAdapter):
    def __init__(self, hosts: HostSlots, client: Client) -> None:
        self._hosts = hosts
        self._guard = Guard(client)
        # `requests` knows REQUESTS_CA_BUNDLE, but neither SSL_CERT_FILE nor the system's own.
        self._trusted = trusted_certificates()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._trusted)
        guarded_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        trusted = {"ssl_context": self._trusted, "proxy_ssl_context": self._trusted}
        manager = super().proxy_manager_for(proxy, **options, **trusted)
        guarded_pools(manager)
        return manager

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {"ssl_context": self._trusted}

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the connection trusts what our context trusts, not the package's bundle."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kw: Any) -> requests.Response:
        url = request.url or ""
        with self._turn(host_of(url)), self._guard.call(url) as call:
            response = super().send(request, *args, **kw)
            read_body(response, call, self._guard.max_bytes)
        if response.status_code != 200:
            text = response.raw.read().decode("utf-8", "replace")
            raise Refused(Page(response.status_code, text, url, response.headers))
        return response

    @contextmanager
    def _turn(self, host: str) -> Iterator[None]:
        # In small steps, because nobody wakes us when the client is closed.
        while (pause := self._hosts.pause(host)) > 0:
            self._guard.check()
            time.sleep(min(pause, _STEP))
        with self._hosts.turn(host):
            yield
