"""Sources with a package's own session: it uses our downloader with all its checks."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from faulty_server import FaultyServer

from gleanset.errors import GleansetError, Unreachable
from harvest.http import Client, Closed, DownloadLimits
from harvest.secrets import VARIABLES
from harvest.sources import Query, Source
from harvest.sources.flickr.api import log_in_to_flickr
from harvest.sources.flickr.source import Flickr
from harvest.sources.pixiv.source import Pixiv
from harvest.sources.sessions import open_session

QUICK = DownloadLimits(retries=0)
SOURCES = [
    pytest.param(Flickr(pace=0), id="flickr"),
    pytest.param(Pixiv(pace=0), id="pixiv"),
]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, "some-key")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `site.example` resolve to this machine."""
    real = socket.getaddrinfo

    def lie(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        return real("127.0.0.1" if host == "site.example" else host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)


def ask(source: Source, endpoint: str, client: Client) -> None:
    names = [option.name for option in source.options if option.name.endswith("endpoint")]
    query = Query("owl", options=dict.fromkeys(names, endpoint))
    list(source.candidates(query, client))


def ask_quickly(source: Source, endpoint: str, *, allow_private: bool = False) -> None:
    with Client(QUICK, allow_private=allow_private) as client:
        ask(source, endpoint, client)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("source", SOURCES)
def test_name_with_private_address_raises_unreachable(site: FaultyServer, source: Source) -> None:
    with pytest.raises(Unreachable, match=r"private address(.|\n)*--allow-private"):
        ask_quickly(source, f"http://site.example:{site.server_address[1]}")
    assert site.connections == 0


def test_redirect_to_private_address_raises_unreachable(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The faulty server acts as a proxy that answers for a public name.
    monkeypatch.setenv("http_proxy", site.url)
    site.otherwise = lambda h: h.answer(302, Location="http://169.254.169.254/latest")
    with Client(QUICK) as client, pytest.raises(Unreachable, match=r"169\.254.*private address"):
        open_session(client, 0, lambda _: None).get("http://site.example")
    assert len(site.requests) == 1


def test_login_endpoint_may_be_private(site: FaultyServer) -> None:
    site.otherwise = lambda h: h.answer(body=b'{"stat": "fail", "code": 100, "message": "no"}')
    with pytest.raises(GleansetError, match="rejected the API key"):
        log_in_to_flickr(lambda question, *, hidden=False: "k" * 32, endpoint=site.url)
    assert site.connections == 1


def test_close_cancels_waiting_search(site: FaultyServer) -> None:
    site.otherwise = lambda h: h.answer(body=b"{}")
    client = Client(QUICK, allow_private=True)
    session = open_session(client, 30, lambda _: None)
    session.get(site.url)
    threading.Timer(0.3, client.close).start()
    began = time.monotonic()
    with pytest.raises(Closed):
        session.get(site.url)
    assert time.monotonic() - began < 25
