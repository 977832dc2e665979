"""Proxies and certificates from the environment, with a tiny real proxy and real TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from faulty_server import JPEG, FaultyServer, Proxy, download, running
from tools_for_tests import self_signed

from gleanset.errors import Unreadable, UsageError
from harvest.http import Client, DownloadLimits

QUICK = DownloadLimits(retries=0)
# Ignored where a test counts the requests to the proxy.
NO_RULES = frozenset({"robots.txt", "tdm-reservation"})


@pytest.fixture
def proxy() -> Iterator[str]:
    Proxy.lines.clear()
    Proxy.logins.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    server.block_on_close = False
    with running(server):
        yield f"127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("IP:127.0.0.1", "DNS:pictures.example")
    return self_signed(tmp_path_factory.mktemp("tls"), *names).parent


@pytest.fixture
def tls_site(certificate: Path) -> Iterator[FaultyServer]:
    server = FaultyServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        yield server


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_is_used(
    site: FaultyServer, proxy: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"http://{proxy}")
    url = f"http://pictures.example:{site.server_address[1]}/picture.jpg"
    with Client(QUICK, ignore_robots=NO_RULES) as client:
        assert download(client, url) == JPEG
    assert Proxy.lines == [f"GET {url}"]


def test_proxy_login_is_sent(
    site: FaultyServer, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"me:p%40ss@{proxy}")
    with Client(QUICK, ignore_robots=NO_RULES) as client:
        download(client, f"http://pictures.example:{site.server_address[1]}/picture.jpg")
    assert Proxy.logins == ["Basic bWU6cEBzcw=="]


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "x.example, 127.0.0.0/8"])
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_bypasses_proxy(
    site: FaultyServer, proxy: str, monkeypatch: pytest.MonkeyPatch, exempt: str, variable: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
    monkeypatch.setenv(variable, exempt)
    with Client(QUICK, allow_private=True) as client:
        assert download(client, f"{site.url}/picture.jpg") == JPEG
    assert Proxy.lines == []


@pytest.mark.parametrize("proxy_url", ["socks5://127.0.0.1:1080", "http://"])
def test_unsupported_proxy_raises_error(monkeypatch: pytest.MonkeyPatch, proxy_url: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy_url)
    with pytest.raises(UsageError, match="HTTP_PROXY"):
        Client()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_custom_ca_bundle_is_trusted(
    tls_site: FaultyServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    url = tls_site.url.replace("http:", "https:")
    with Client(QUICK, allow_private=True) as client:
        assert download(client, f"{url}/picture.jpg") == JPEG
        assert download(client, f"{url}/chunked") == JPEG
    assert tls_site.connections == 1


def test_untrusted_certificate_is_rejected(tls_site: FaultyServer) -> None:
    url = tls_site.url.replace("http:", "https:")
    with (
        Client(DownloadLimits(), allow_private=True) as client,
        pytest.raises(Unreadable) as caught,
    ):
        download(client, f"{url}/picture.jpg")
    assert caught.value.reason == "connection failed"
    assert "certificate" in caught.value.detail.lower()
    assert tls_site.connections == 1


def test_tls_through_proxy_tunnel(
    tls_site: FaultyServer, proxy: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    port = tls_site.server_address[1]
    with Client(QUICK) as client:
        data = download(client, f"https://pictures.example:{port}/picture.jpg")
    assert data == JPEG
    assert Proxy.lines == [f"CONNECT pictures.example:{port}"]
