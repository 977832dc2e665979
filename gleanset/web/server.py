"""The HTTP server: uvicorn with limits on the time and size of request headers."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gleanset.errors import InputUnusable
from gleanset.web.listening import ListenRequest


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on request headers, against slow clients."""

    head_seconds = 15.0
    head_bytes = 32_768
    _timer: asyncio.TimerHandle | None = None
    """Runs while headers are received; then None."""
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes; refuse headers that are too large."""
        # The timer runs while the header of a request is read.
        if self._timer:
            self._head_bytes += len(data)
        super().data_received(data)
        is_too_large = self._timer and self._head_bytes > self.head_bytes
        if is_too_large and not self.transport.is_closing():
            self.send_400_response("Request header is too large.")

    def on_message_begin(self) -> None:
        """Start the timer for the headers."""
        super().on_message_begin()
        if not self._timer:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """Stop the timer: the guard limits the body."""
        self._end_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _end_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def make_server_config(app: ASGIApp, request: ListenRequest) -> uvicorn.Config:
    """Return the configuration of uvicorn."""
    return uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        ssl_certfile=request.tls_cert,
        ssl_keyfile=request.tls_key,
        # By default uvicorn trusts such headers from this machine.
        proxy_headers=bool(request.forwarded_allow_ips),
        forwarded_allow_ips=request.forwarded_allow_ips,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )


class _Server(uvicorn.Server):
    """Server that calls `ready` once it accepts connections and handles signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `ready`.

        Not earlier: without uvicorn's handlers a signal raises `KeyboardInterrupt`, which is lost
        where Python ignores exceptions, and the server would not stop.
        """
        await super().startup(sockets)
        if self.started:
            self._ready()


def run_server(
    app: ASGIApp, request: ListenRequest, ready: Callable[[int], None]
) -> None:
    """Serve until Ctrl-C or a signal; call `ready` with the port (port 0: any free one).

    Raises `InputUnusable` if the server cannot start.
    """
    config = make_server_config(app, request)
    port = request.find_port()
    cannot_start = InputUnusable(
        f"cannot listen on {request.host}:{port}",
        "choose another port: --port PORT",
    )
    family = socket.AF_INET6 if ":" in request.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        # A server that is started again gets its address at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((request.host, port))
        listening.listen()
        port = listening.getsockname()[1]
        _Server(config, lambda: ready(port)).run([listening])
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise cannot_start from error
    # uvicorn exits where its startup fails.
    except SystemExit as error:
        if error.code:
            raise cannot_start from error
    finally:
        listening.close()
