"""Helpers for the web app tests: images, and servers in a thread."""

import asyncio
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
from tools_for_tests import encode

from gleanset.web.server import (
    BoundedHttpProtocol,
    make_server_config,
)
from webapp.app import create_app
from webapp.computations import ServedFacts
from webapp.loaded_model import get_served_facts, load_model
from webapp.request import ServeRequest
from webapp.settings import ServeSettings

Serve = Callable[..., TestClient]
RESERVED_NAMES = (
    "../e",
    ".a",
    "Con",
    "CON.",
    "nul.txt",
    "com¹",
    "CONIN$",
    "\u200b",
    "a\u2066b",
)
RESERVED_NAMES += ("Unknown", "不明", "未知")


def solid_image(
    colour: str, size: tuple[int, int] = (40, 30), kind: str = "PNG"
) -> bytes:
    """Return the bytes of an image of one color."""
    return encode(Image.new("RGB", size, colour), kind)


class ShortTimeoutProtocol(BoundedHttpProtocol):
    """The protocol of the server with shorter limits."""

    head_seconds = 0.5
    head_bytes = 4096


def make_settings(model: Path, root: Path, **changes: Any) -> ServeSettings:
    """Return settings of a server for this model and dataset."""
    return ServeSettings(model=str(model), dataset=str(root), **changes)


def make_facts(settings: ServeSettings) -> ServedFacts:
    """Return the facts about a model, loaded in this process."""
    return get_served_facts(load_model(settings), None, settings)


@contextmanager
def running_server(
    settings: ServeSettings,
    protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol,
    proxies: str = "",
    port: int = 0,
) -> Iterator[int]:
    """Serve from a thread while the body runs; yield the port."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        request = ServeRequest(forwarded_allow_ips=proxies)
        app = create_app(settings, make_facts(settings))
        config = make_server_config(app, request)
        config.http = protocol
        config.log_level = "critical"
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
