"""Running the server: as many workers as cores behind one address.

Connections end where a request line and its headers take too long or too much.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from gleanset.errors import InputUnusable
from gleanset.platform import interrupts_blocked
from webapp.app import SETTINGS
from webapp.settings import ServeSettings

WORKER_SILENCE = 30
"""After so many seconds a worker that does not answer is begun anew. On a machine with much else
to do it takes more than uvicorn's five until one has begun: none would ever serve."""
_LOOK_SECONDS = 0.05
# Where this machine reaches itself, if it listens everywhere.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class ListenAddress(NamedTuple):
    """Where a server listens, and with which certificate."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None


class WorkersOwnSocket(socket.socket):
    """A socket that each worker process binds for itself, so that the kernel deals connections out.

    Of a socket that all of them share, one worker takes whatever waits: with 16 clients that come
    at once, often all of them, while the other cores are idle.
    """

    def __init__(self, family: int, address: tuple[str | int, ...]) -> None:
        super().__init__(family)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind(address)

    def __reduce__(self) -> tuple[type[WorkersOwnSocket], tuple[int, tuple[str | int, ...]]]:
        """Send a process the address alone, to bind it anew."""
        return WorkersOwnSocket, (self.family, self.getsockname())


class DeafWorkers(Multiprocess):
    """Workers that do not hear Ctrl-C, also while they begin: the parent does, and ends them."""

    def init_processes(self) -> None:
        """Begin them all."""
        with interrupts_blocked():
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        """Begin those anew that died."""
        with interrupts_blocked():
            super().keep_subprocess_alive()


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


def run_server(
    settings: ServeSettings, address: ListenAddress, workers: int, ready: Callable[[int], None]
) -> None:
    """Serve until Ctrl-C or a signal to end; `ready` is called with the port when it can be opened.

    Port 0 is any that is free. Raises `InputUnusable` where it cannot begin.
    """
    os.environ[SETTINGS] = settings.to_text()
    config = uvicorn.Config(
        "webapp.app:from_environment",
        factory=True,
        host=address.host,
        port=address.port,
        workers=workers,
        http=BoundedHttpProtocol,
        ws="none",
        ssl_certfile=address.cert,
        ssl_keyfile=address.key,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=WORKER_SILENCE,
    )
    taken = InputUnusable(f"cannot serve at {address.host}:{address.port}", "name another --port")
    ended = threading.Event()
    try:
        sockets = [_listening_socket(address)]
        address = address._replace(port=sockets[0].getsockname()[1])
        threading.Thread(target=_call_when_open, args=(address, ready, ended), daemon=True).start()
        if workers == 1:
            uvicorn.Server(config).run(sockets)
        else:
            DeafWorkers(config, sockets).run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise taken from error
    except SystemExit as error:
        if error.code:
            raise taken from error
    finally:
        ended.set()


def _call_when_open(
    address: ListenAddress, ready: Callable[[int], None], ended: threading.Event
) -> None:
    """Call `ready` as soon as the first worker takes a connection, unless all has ended before."""
    host = _LOOPBACK.get(address.host, address.host)
    while not ended.wait(_LOOK_SECONDS):
        with suppress(OSError), socket.create_connection((host, address.port), timeout=1):
            ready(address.port)
            return


def _listening_socket(address: ListenAddress) -> socket.socket:
    """Return the socket that the workers get. Raises OSError where the address is taken."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    reserved = socket.create_server((address.host, address.port), family=family)
    if sys.platform != "linux":  # elsewhere the kernel does not deal out what comes
        return reserved
    with reserved:
        # The address was free, and this one keeps it: a second server finds it taken.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return WorkersOwnSocket(family, reserved.getsockname())
