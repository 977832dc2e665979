"""What several tests of the web app use: pictures, and servers in a thread."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from webapp.served import FILE, ServedModel, ServedModels, write_served
from webapp.server import BoundedHttpProtocol, ListenAddress, server_config
from webapp.settings import ServeSettings

Serve = Callable[..., TestClient]


def picture_of(colour: str, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """The bytes of a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


class HastyProtocol(BoundedHttpProtocol):
    """The same, in less time."""

    head_seconds = 0.5
    head_bytes = 4096


def settings_of(scratch: Path, model: Path, root: Path, **changes: Any) -> ServeSettings:
    """Settings of a server that answers by a model and keeps reports in the dataset in `root`."""
    place = scratch / FILE
    served = ServedModel(model.stem, str(model))
    write_served(place, ServedModels().taken_over(served, follow=False))
    return ServeSettings(str(place), str(root), **changes)


@contextmanager
def serving(
    settings: ServeSettings,
    protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol,
    proxies: tuple[str, ...] = (),
) -> Iterator[int]:
    """Serve from a thread while the body runs, at the port that is told."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = server_config(settings, ListenAddress("127.0.0.1", 0, proxies=proxies))
        config.http, config.log_level = protocol, "critical"
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server does not begin"
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
