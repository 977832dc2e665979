"""The HTTP server: incomplete, malformed and large requests."""

import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import msgspec
import pytest
from color_model import write_model
from server_helpers import (
    Serve,
    ShortTimeoutProtocol,
    make_facts,
    make_settings,
    running_server,
    solid_image,
)
from test_attacks import post_images, predict_red, read_response
from tools_for_tests import command, eventually, run_here

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.web.listening import list_reachable_hosts
from gleanset.web.server import run_server
from webapp.app import create_app
from webapp.request import ServeRequest
from webapp.settings import RequestLimits, ServeSettings


@contextmanager
def impatient_server(settings: ServeSettings, **limits: float) -> Iterator[int]:
    """Run a server with short timeouts and no rate limit."""
    bounds = msgspec.convert({**limits, "per_minute": 1_000_000}, RequestLimits)
    changed = msgspec.structs.replace(settings, limits=bounds)
    with running_server(changed, ShortTimeoutProtocol) as port:
        yield port


@pytest.fixture(scope="module")
def port(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a server with half a second for bodies."""
    model = write_model(tmp_path_factory.mktemp("model") / "colours.onnx")
    with impatient_server(make_settings(model, root), seconds=0.5) as port:
        yield port


def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send pieces of bytes; return the response until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        result = b""
        while piece := connection.recv(65536):
            result += piece
    return result


def test_incomplete_head_times_out(port: int) -> None:
    begun = time.monotonic()
    assert exchange(port, b"GET /api/v1/health HTTP/1.1\r\nHost: local") == b""
    assert time.monotonic() - begun < 50
    assert exchange(port, b"") == b""


def test_endless_head_is_refused(port: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-More: y\r\n" * 1000
    assert exchange(port, head).startswith(b"HTTP/1.1 400")


def test_incomplete_body_times_out(port: int) -> None:
    head = (
        b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n\r\n--x"
    )
    result = exchange(port, head)
    assert result.startswith(b"HTTP/1.1 408")
    assert b'"reason":"too slow"' in result


def test_large_chunked_body_is_refused(settings: ServeSettings) -> None:
    head = (
        b"POST /api/v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    part = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    megabyte = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    with impatient_server(settings) as port:
        assert predict_red(port) == 200
        before = getrusage(RUSAGE_SELF).ru_maxrss
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head + f"{len(part):x}\r\n".encode() + part + b"\r\n")
            with suppress(ConnectionError):
                for _ in range(100):
                    connection.sendall(megabyte)
            with suppress(ConnectionError):
                assert connection.recv(12) == b"HTTP/1.1 413"
        assert getrusage(RUSAGE_SELF).ru_maxrss - before < 40_000
        _, _, answer = read_response(post_images(port, solid_image("red")))
        assert answer["images"][0]["parts"][0]["answer"] == "red"


@pytest.mark.parametrize(
    ("path", "kind", "sent"),
    [
        (
            "predict",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data",
        ),
        ("predict", "application/json", b'{"images": ['),
        ("faces", "image/jpeg", b"\xff\xd8"),
        ("reports", "multipart/form-data; boundary=x", b""),
        ("predict", "image/png", solid_image("red")),  # complete: left while it waits
    ],
)
def test_leaving_is_not_an_error(
    settings: ServeSettings,
    caplog: pytest.LogCaptureFixture,
    path: str,
    kind: str,
    sent: bytes,
) -> None:
    is_complete = kind == "image/png"
    length = len(sent) if is_complete else 10_000
    head = (
        f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Content-Type: {kind}\r\n\r\n"
    )
    caplog.set_level(logging.DEBUG, "gleanset.web.guard")
    with impatient_server(settings, seconds=60.0) as port:
        if not is_complete:
            assert predict_red(port) == 200
        errors = logging.getLogger("uvicorn.error")
        errors.setLevel(logging.ERROR)
        errors.addHandler(caplog.handler)
        try:
            with socket.create_connection(
                ("127.0.0.1", port), timeout=60
            ) as connection:
                connection.sendall(head.encode() + sent)
                # A complete request may be answered within milliseconds.
                if not is_complete:
                    time.sleep(0.05)
            assert eventually(lambda: caplog.records)
        finally:
            errors.removeHandler(caplog.handler)
    [record] = caplog.records
    assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
    assert f"/api/v1/{path}" in record.getMessage()


def test_malformed_request_is_refused(port: int) -> None:
    tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    assert exchange(port, tls_hello).startswith(b"HTTP/1.1 400")
    line = (
        b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert exchange(port, line).startswith(b"HTTP/1.1 200")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_files_are_answered(
    serve: Serve, shared_data: Path, dataset: Dataset
) -> None:
    client = serve(limits={"per_minute": 1_000_000})
    before = sorted(dataset.root.rglob("*"))
    files = [
        path for path in sorted((shared_data / "hostile").rglob("*")) if path.is_file()
    ]
    assert files
    for path in files:
        answer = client.post(
            "/api/v1/predict", files={"files": (path.name, path.read_bytes())}
        )
        if answer.status_code == 200:
            (picture,) = answer.json()["images"]
            assert picture.get("parts") or picture["error"]["reason"], path
        else:
            assert 400 <= answer.status_code < 500, path
            assert answer.json()["reason"], path
    assert sorted(dataset.root.rglob("*")) == before


def test_port_in_use_raises_error(settings: ServeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        host, port = occupied.getsockname()
        with pytest.raises(InputUnusable, match=f"cannot listen on {host}:{port}"):
            run_server(
                create_app(settings, make_facts(settings)),
                ServeRequest(host=host, port=port),
                lambda _: None,
            )


def test_urls_of_all_interfaces_work_on_other_devices() -> None:
    assert list_reachable_hosts("::1", ("a.example",)) == ("::1",)
    for host in ("0.0.0.0", "192.0.2.7"):  # where only this name is accepted
        assert list_reachable_hosts(host, ("a.example",)) == ("a.example",)
    assert list_reachable_hosts("192.0.2.7", ()) == ("192.0.2.7",)
    *addresses, name = list_reachable_hosts(
        "0.0.0.0", ()
    )  # without a network only a name
    assert name == socket.gethostname()
    assert not any(ip_address(address).is_loopback for address in addresses)


def test_host_names_and_origins_are_normalized() -> None:
    request = ServeRequest(
        host="0.0.0.0",
        host_name=("Fans.Example",),
        allow_origin=("https://Fans.example/", "http://localhost:3000/page?x=1"),
    )
    assert request.accepted_hosts() == ("fans.example",)
    assert request.allow_origin == ("https://fans.example", "http://localhost:3000")
    with pytest.raises(UsageError, match=r"fans\.example"):
        ServeRequest(allow_origin=("fans.example",))


def test_page_is_not_exported_into_a_file(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "public"
    file.write_text("mine")
    words = ("export", file, "-d", dataset.root)
    run_here("webapp.cli", *words).refused(3, str(file))
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_server_exits_cleanly_on_sigterm(tmp_path: Path) -> None:
    line = command(
        "webapp.cli", "serve", write_model(tmp_path / "m.onnx"), "--port", "0"
    )
    with subprocess.Popen(line, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout.readline().startswith(b"http://127.0.0.1:")
            server.terminate()
            assert server.wait(60) == 0
        finally:
            server.kill()
