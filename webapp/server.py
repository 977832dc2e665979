"""Running the server: as many workers as cores behind one address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import uvicorn

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


def run_server(settings: ServeSettings, address: ListenAddress, workers: int) -> None:
    """Serve until Ctrl-C or a signal to end. Raises `InputUnusable` where it cannot begin."""
    os.environ[SETTINGS] = settings.to_text()
    try:
        uvicorn.run(
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
    except SystemExit as error:
        if error.code:
            raise InputUnusable(
                f"cannot serve at {address.host}:{address.port}", "name another --port"
            ) from error
