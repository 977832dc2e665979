"""Connections: private addresses, proxies and certificates, with real servers, a proxy and TLS."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import JPEG, FaultyServer, Proxy, download, lying_name_server
from tools_for_tests import LoopbackServer, running, self_signed

from gleanset.errors import GleansetError, Unreachable, Unreadable, UsageError
from harvest.http import Client, DownloadLimits
from harvest.http.urls import normalize_url
from harvest.sources import Query, Source
from harvest.sources.flickr import Flickr, log_in_to_flickr
from harvest.sources.pixiv.source import Pixiv

QUICK = DownloadLimits(retries=0)

PRIVATE = [
    *(
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
    ),
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *(
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
    ),
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
    # The faulty server understands absolute URLs, so it can act as a proxy and answer for a public
    # name that this machine could never reach.
    monkeypatch.setenv("http_proxy", site.url)
    with Client(QUICK) as client, pytest.raises(Unreadable) as caught:
        download(client, f"http://pictures.example{path}")
    assert (caught.value.reason, len(site.requests)) == ("private address", 1)


def test_name_with_private_address_is_rejected(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_name_server(monkeypatch, "127.0.0.1", "::1")
    port = site.server_address[1]
    with Client(QUICK) as client, pytest.raises(Unreadable) as caught:
        download(client, f"http://pictures.example:{port}/picture.jpg")
    assert (caught.value.reason, site.connections) == ("private address", 0)


def test_error_for_private_page_names_option(site: FaultyServer) -> None:
    with Client(QUICK) as client, pytest.raises(Unreachable, match="--allow-private"):
        client.page(f"{site.url}/picture.jpg")
    assert site.connections == 0


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        (
            "HTTP://Bücher.Example/ä b.jpg#x",
            "http://xn--bcher-kva.example/%C3%A4%20b.jpg",
        ),
        ("https://h/a%20b%zz.jpg", "https://h/a%20b%25zz.jpg"),
        ("https://user:pw@h:8443/p?a=1&b=ü", "https://h:8443/p?a=1&b=%C3%BC"),
        (" http://h ", "http://h/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("http://good.example\\@127.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]:80/p", "http://[::1]:80/p"),
    ],
)
def test_normalize_url_is_idempotent(raw: str, tidied: str) -> None:
    assert (normalize_url(raw), normalize_url(tidied)) == (tidied, tidied)


SOURCES = [
    pytest.param(Flickr(pace=0), id="flickr"),
    pytest.param(Pixiv(pace=0), id="pixiv"),
]


@pytest.mark.usefixtures("site_logins")
@pytest.mark.parametrize("source", SOURCES)
def test_name_with_private_address_raises_unreachable(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    lying_name_server(monkeypatch, "127.0.0.1")
    names = [
        option.name for option in source.options if option.name.endswith("endpoint")
    ]
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
    with (
        Client(QUICK) as client,
        pytest.raises(Unreachable, match=r"private address .*169\.254"),
    ):
        client.page("http://site.example")
    assert len(site.requests) == 1


def test_login_endpoint_may_be_private(site: FaultyServer) -> None:
    site.otherwise = lambda h: h.answer(
        body=b'{"stat": "fail", "code": 100, "message": "no"}'
    )
    with pytest.raises(GleansetError, match="rejected the API key"):
        log_in_to_flickr(lambda question, *, hidden=False: "k" * 32, endpoint=site.url)
    assert site.connections == 1


# Ignored where a test counts the requests to the proxy.
NO_RULES = frozenset({"robots.txt", "tdm-reservation"})


@pytest.fixture
def proxy() -> Iterator[str]:
    Proxy.lines.clear()
    Proxy.logins.clear()
    with running(LoopbackServer(Proxy)) as server:
        yield f"127.0.0.1:{server.server_port}"


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
        download(
            client, f"http://pictures.example:{site.server_address[1]}/picture.jpg"
        )
    assert Proxy.logins == ["Basic bWU6cEBzcw=="]


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "x.example, 127.0.0.0/8"])
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_bypasses_proxy(
    site: FaultyServer,
    proxy: str,
    monkeypatch: pytest.MonkeyPatch,
    exempt: str,
    variable: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
    monkeypatch.setenv(variable, exempt)
    with Client(QUICK, allow_private=True) as client:
        assert download(client, f"{site.url}/picture.jpg") == JPEG
    assert Proxy.lines == []


@pytest.mark.parametrize("proxy_url", ["socks5://127.0.0.1:1080", "http://"])
def test_unsupported_proxy_raises_error(
    monkeypatch: pytest.MonkeyPatch, proxy_url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy_url)
    with pytest.raises(UsageError, match="HTTP_PROXY"):
        Client()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_custom_ca_bundle_is_trusted(
    tls_site: FaultyServer,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
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
    tls_site: FaultyServer,
    proxy: str,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    port = tls_site.server_address[1]
    with Client(QUICK) as client:
        data = download(client, f"https://pictures.example:{port}/picture.jpg")
    assert (data, Proxy.lines) == (JPEG, [f"CONNECT pictures.example:{port}"])
