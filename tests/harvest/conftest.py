"""Fixtures of the harvest tests: a faulty server, and an environment without proxies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from faulty_server import FaultyServer
from small_bing import SmallBing
from tools_for_tests import WITHOUT_POSIX, running

from harvest.http import Client, DownloadLimits
from harvest.sources import Query
from harvest.sources.google import source as google_source
from harvest.sources.google.source import Google

if TYPE_CHECKING:
    from harvest.sources.google.browser import GoogleBrowser

_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in _SETTINGS:
            monkeypatch.delenv(name)


@pytest.fixture
def site() -> Iterator[FaultyServer]:
    with running(FaultyServer()) as server:
        yield server


@pytest.fixture
def bing(site: FaultyServer) -> SmallBing:
    fake_bing = SmallBing(site)
    fake_bing.results["cat"] = [f"{n}.jpg" for n in range(80)]
    return fake_bing


@pytest.fixture
def client() -> Iterator[Client]:
    """Return a client that retries once, at once."""
    limits = DownloadLimits(retries=1, backoff=0.01, max_wait=0.1)
    with Client(limits, allow_private=True) as client:
        yield client


@pytest.fixture(scope="session")
def running_browser() -> Iterator[GoogleBrowser]:
    """Start one browser for many tests: starting takes seconds."""
    if WITHOUT_POSIX:
        pytest.skip("the user that runs the browser may be root")
    with (
        tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as patch,
        Client(allow_private=True) as client,
    ):
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        launch = google_source._make_browser(Google().settings(Query("cats")), client)
        patch.undo()
        with launch as browser:
            yield browser


@pytest.fixture
def shared_browser(
    running_browser: GoogleBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let all searches of the test share one running browser."""
    monkeypatch.setattr(
        google_source, "_make_browser", lambda *_: nullcontext(running_browser)
    )


@pytest.fixture(autouse=True)
def _long_load_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page load slowly while other tests use all cores."""
    monkeypatch.setattr("harvest.sources.google.browser._LOAD_TIMEOUT_SECONDS", 120.0)
