"""What the tests of the harvest share: a faulty server, and an environment without proxies."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from faulty_server import FaultyServer, running

_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in _SETTINGS:
            monkeypatch.delenv(name)


@pytest.fixture
def site() -> Iterator[FaultyServer]:
    server = FaultyServer()
    with running(server):
        yield server
