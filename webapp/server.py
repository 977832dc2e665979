"""Running the server: one process that talks HTTP.

Connections end where a request line and its headers take too long or too much.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gleanset.errors import InputUnusable
from webapp.app import create_app
from webapp.computations import ServedFacts
from webapp.settings import ServeSettings


class ListenAddress(NamedTuple):
    """Where a server listens, with which certificate, and `proxies`: whose headers are believed.

    As uvicorn's `--forwarded-allow-ips`: addresses and networks, with commas between, or `*`.
    """

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None
    proxies: str = ""


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which would wait for the end of a request's headers for ever.

    They have `head_seconds` from when they may come, and at most `head_bytes`.
    """

    head_seconds = 15.0
    head_bytes = 32_768
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless those of a request's head are too many."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.head_bytes and not self.transport.is_closing():
            self.send_400_response("Request header is too large.")

    def on_message_begin(self) -> None:
        """Begin to wait for the headers."""
        super().on_message_begin()
        if not self._in_head:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """Wait no longer: the body has a limit of its own."""
        self._head_has_come()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_has_come(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def server_config(
    settings: ServeSettings, facts: ServedFacts, address: ListenAddress
) -> uvicorn.Config:
    """Return how uvicorn serves the page."""
    return uvicorn.Config(
        create_app(settings, facts),
        http=BoundedHttpProtocol,
        ws="none",
        ssl_certfile=address.cert,
        ssl_keyfile=address.key,
        # Else whoever is on this machine could say that others ask.
        proxy_headers=bool(address.proxies),
        forwarded_allow_ips=address.proxies,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


class AnnouncedServer(uvicorn.Server):
    """uvicorn's server, which calls `ready` when it can be opened."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def run_server(
    settings: ServeSettings,
    facts: ServedFacts,
    address: ListenAddress,
    ready: Callable[[int], None],
) -> None:
    """Serve until Ctrl-C or a signal to end; `ready` is called with the port when it can be opened.

    Port 0 is any that is free. Raises `InputUnusable` where it cannot begin.
    """
    config = server_config(settings, facts, address)
    taken = InputUnusable(f"cannot serve at {address.host}:{address.port}", "name another --port")
    listening = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        port = listening.getsockname()[1]
        AnnouncedServer(config, lambda: ready(port)).run([listening])
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise taken from error
    except SystemExit as error:
        if error.code:
            raise taken from error
    finally:
        listening.close()
