"""Private addresses in downloads and in sessions of sources."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from faulty_server import FaultyServer, download

from gleanset.errors import GleansetError, Unreachable, Unreadable
from harvest.http import Client, DownloadLimits
from harvest.http.urls import normalize_url
from harvest.secrets import VARIABLES
from harvest.sources import Query, Source
from harvest.sources.flickr import Flickr, log_in_to_flickr
from harvest.sources.pixiv.source import Pixiv

QUICK = DownloadLimits(retries=0)

PRIVATE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0", "0.0.0.0"),
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255"),
    *("localhost", "LOCALHOST.", "printer.localhost"),
    *("::", "::1", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:224.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:c0a8:101::1"),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_address_is_rejected(host: str) -> None:
    url_host = f"[{host}]" if ":" in host else host
    with Client(QUICK) as client, pytest.raises(Unreadable) as caught:
        download(client, f"http://{url_host}:9/p.jpg")
    assert caught.value.reason == "private address"


@pytest.mark.parametrize("path", ["/to-metadata", "/to-loopback"])
def test_redirect_to_private_address_is_rejected(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    _resolve_through_proxy(monkeypatch, site)
    with Client(QUICK) as client, pytest.raises(Unreadable) as caught:
        download(client, f"http://pictures.example{path}")
    assert caught.value.reason == "private address"
    assert len(site.requests) == 1


def test_name_with_private_address_is_rejected(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lying_name_server(monkeypatch, ["127.0.0.1", "::1"])
    port = site.server_address[1]
    with Client(QUICK) as client, pytest.raises(Unreadable) as caught:
        download(client, f"http://pictures.example:{port}/picture.jpg")
    assert caught.value.reason == "private address"
    assert site.connections == 0


def test_error_for_private_page_names_option(site: FaultyServer) -> None:
    with Client(QUICK) as client, pytest.raises(Unreachable, match="--allow-private"):
        client.page(f"{site.url}/picture.jpg")
    assert site.connections == 0


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("HTTP://Bücher.Example/ä b.jpg#x", "http://xn--bcher-kva.example/%C3%A4%20b.jpg"),
        ("https://h/a%20b%zz.jpg", "https://h/a%20b%25zz.jpg"),
        ("https://user:pw@h:8443/p?a=1&b=ü", "https://h:8443/p?a=1&b=%C3%BC"),
        (" http://h ", "http://h/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("http://good.example\\@127.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]:80/p", "http://[::1]:80/p"),
    ],
)
def test_normalize_url_is_idempotent(raw: str, tidied: str) -> None:
    assert normalize_url(raw) == tidied
    assert normalize_url(tidied) == tidied


def _lying_name_server(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    real = socket.getaddrinfo

    def lie(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host != "pictures.example":
            return real(host, port, *args, **options)
        return [entry for a in addresses for entry in real(a, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", lie)


def _resolve_through_proxy(monkeypatch: pytest.MonkeyPatch, site: FaultyServer) -> None:
    # The faulty server understands absolute URLs, so it can act as a proxy and answer for a public
    # name that this machine could never reach.
    monkeypatch.setenv("http_proxy", site.url)


SOURCES = [
    pytest.param(Flickr(pace=0), id="flickr"),
    pytest.param(Pixiv(pace=0), id="pixiv"),
]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, "some-key")


@pytest.mark.parametrize("source", SOURCES)
def test_name_with_private_address_raises_unreachable(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    _lying_name_server(monkeypatch, ["127.0.0.1"])
    names = [option.name for option in source.options if option.name.endswith("endpoint")]
    endpoint = f"http://pictures.example:{site.server_address[1]}"
    query = Query("owl", options=dict.fromkeys(names, endpoint))
    message = r"private address(.|\n)*--allow-private"
    with Client(QUICK) as client, pytest.raises(Unreachable, match=message):
        list(source.candidates(query, client))
    assert site.connections == 0


def test_redirect_to_private_address_raises_unreachable(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The faulty server acts as a proxy that answers for a public name.
    monkeypatch.setenv("http_proxy", site.url)
    site.otherwise = lambda h: h.answer(302, Location="http://169.254.169.254/latest")
    with Client(QUICK) as client, pytest.raises(Unreachable, match=r"private address .*169\.254"):
        client.page("http://site.example")
    assert len(site.requests) == 1


def test_login_endpoint_may_be_private(site: FaultyServer) -> None:
    site.otherwise = lambda h: h.answer(body=b'{"stat": "fail", "code": 100, "message": "no"}')
    with pytest.raises(GleansetError, match="rejected the API key"):
        log_in_to_flickr(lambda question, *, hidden=False: "k" * 32, endpoint=site.url)
    assert site.connections == 1
