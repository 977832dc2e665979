"""The S3 server of the tests, a real one, and a proxy that makes it fail."""

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest
from tools_for_tests import LoopbackServer, QuietHandler, running

SERVER = Path(__file__).with_name("swift_server.py")
KEYS = {"AWS_ACCESS_KEY_ID": "test:tester", "AWS_SECRET_ACCESS_KEY": "testing"}
NEEDS_SWIFT = pytest.mark.skipif(
    find_spec("swift") is None or find_spec("s3fs") is None,
    reason="needs a real S3 server: pip install s3fs swift",
)
_numbers = count()


@contextmanager
def swift(folder: Path) -> Iterator[str]:
    """Start a server and yield its address."""
    command = [sys.executable, str(SERVER), str(folder)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        address = server.stdout.readline().strip()
        if not address:
            pytest.skip("Swift does not run here: it needs a disk with extended attributes")
        try:
            yield address
        finally:
            server.stdin.close()
            server.wait(10)


def filesystem() -> Any:
    """Return the file system of the server that the environment names."""
    return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)


@pytest.fixture(scope="session")
def s3_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server for all tests of this process."""
    with swift(tmp_path_factory.mktemp("swift")) as address:
        yield address


@pytest.fixture
def s3_server(s3_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Set the server's address and keys in the environment; return the address."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return s3_address


@pytest.fixture
def bucket(s3_server: str) -> str:
    """Return the URL of a prefix in a new bucket."""
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    filesystem().mkdir(name)
    return f"s3://{name}/some/where"


Answer = tuple[int, dict[str, str], bytes]
ERRORS = {"403": "AccessDenied", "503": "SlowDown"}


class FaultyServer:
    """A proxy before an S3 server; `fault` breaks a request.

    `damage` reverses the body sent, `reset` carries the request out and sends no answer, and a
    status of `ERRORS` never reaches the server.
    """

    def __init__(self, address: str) -> None:
        self.fault: Callable[[str, str], str] = lambda method, path: ""
        self.asked: list[tuple[str, str]] = []
        self._behind = urlsplit(address)
        self.server = LoopbackServer(_handler(self))

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer of the server behind."""
        assert self._behind.hostname
        upstream = http.client.HTTPConnection(self._behind.hostname, self._behind.port)
        upstream.request(method, path, body, dict(headers))
        answer = upstream.getresponse()
        passed_on = answer.status, dict(answer.headers), answer.read()
        upstream.close()
        return passed_on


class _Handler(QuietHandler):
    faulty: FaultyServer
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.faulty.asked.append((self.command, self.path))
        fault = self.faulty.fault(self.command, self.path)
        if fault in ERRORS:
            body = f"<?xml version='1.0'?><Error><Code>{ERRORS[fault]}</Code></Error>".encode()
            result: Answer = int(fault), {"Content-Type": "application/xml"}, body
        else:
            sent = sent[::-1] if fault == "damage" else sent
            result = self.faulty.forward(self.command, self.path, self.headers, sent)
        self.close_connection = fault == "reset"
        if fault != "reset":
            self.pass_on(result)

    def pass_on(self, answer: Answer) -> None:
        status, headers, body = answer
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _handler(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    methods = dict.fromkeys(("GET", "PUT", "HEAD", "DELETE", "POST"), _Handler.answer)
    names = {f"do_{method}": answer for method, answer in methods.items()}
    return type("Handler", (_Handler,), {"faulty": server, **names})


@pytest.fixture
def faulty(s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Yield a proxy before the test's server that receives its requests."""
    faulty_server = FaultyServer(s3_server)
    with running(faulty_server.server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield faulty_server
