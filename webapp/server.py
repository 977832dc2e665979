"""Running the server: as many workers as cores behind one address."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import uvicorn
from uvicorn.supervisors import Multiprocess

from gleanset.errors import InputUnusable
from webapp.app import SETTINGS
from webapp.protocol import BoundedHttpProtocol
from webapp.settings import ServeSettings


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


def run_server(settings: ServeSettings, address: ListenAddress, workers: int) -> None:
    """Serve until Ctrl-C or a signal to end. Raises `InputUnusable` where it cannot begin."""
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
    )
    taken = InputUnusable(f"cannot serve at {address.host}:{address.port}", "name another --port")
    try:
        if workers == 1:
            uvicorn.Server(config).run()
        else:
            Multiprocess(config, [_listening_socket(address)]).run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise taken from error
    except SystemExit as error:
        if error.code:
            raise taken from error


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
