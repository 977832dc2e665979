"""Manners for packages that bring their own `requests` session: pace, bounds, certificates.

A source never sleeps: the session waits for its turn before each call. An answer other than
200 leaves it as `Refused`, with the headers that such packages throw away.
"""

from __future__ import annotations

import io
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from harvest.http import Client, Limits, Page
from harvest.http.polite import Hosts, backoff
from harvest.http.routes import trust
from harvest.http.urls import host_of

_CHUNK = 65_536


class Refused(Exception):
    """A site answered with a status other than 200: `page` is that answer."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"http {page.status}")
        self.page = page


class Pace:
    """One call at a time on a host, `seconds` apart, however many queries there are."""

    def __init__(self, seconds: float) -> None:
        self._hosts = Hosts(per_host=1, delay=seconds)

    def session(self, client: Client) -> requests.Session:
        """A session that keeps this pace and the client's limits, under the client's name.

        Raises `UsageError` when a certificate file that the environment names is unusable.
        """
        session = requests.Session()
        session.headers["User-Agent"] = client.user_agent
        adapter = _PacedAdapter(self._hosts, client.limits)
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
    def __init__(self, hosts: Hosts, limits: Limits) -> None:
        self._hosts = hosts
        self._limits = limits
        # `requests` knows REQUESTS_CA_BUNDLE, but neither SSL_CERT_FILE nor the system's own.
        self._trusted = trust()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._trusted)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        trusted = {"ssl_context": self._trusted, "proxy_ssl_context": self._trusted}
        return super().proxy_manager_for(proxy, **options, **trusted)

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        return host, {"ssl_context": self._trusted}

    def cert_verify(self, *_: Any) -> None:
        """Nothing: the connection trusts what our context trusts, not the package's bundle."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kw: Any) -> requests.Response:
        url = request.url or ""
        with self._hosts.turn(host_of(url)):
            response = super().send(request, *args, **kw)
            with response.raw:
                data = self._body(response)
        if response.status_code != 200:
            text = data.decode("utf-8", "replace")
            raise Refused(Page(response.status_code, text, url, response.headers))
        # Read here, so that its time and size have bounds; the package reads it from memory.
        response.raw = io.BytesIO(data)
        return response

    def _body(self, response: requests.Response) -> bytes:
        over = time.monotonic() + self._limits.total
        data = bytearray()
        try:
            # read1 returns what has come; read would wait for a whole chunk of a slow drip.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                data += chunk
                if len(data) > self._limits.max_bytes or time.monotonic() > over:
                    raise requests.ConnectionError("the answer is too long or too slow")
        except (HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(f"the answer was cut off: {error}") from error
        return bytes(data)
