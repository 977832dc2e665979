"""The polite downloader with a real server that misbehaves on purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from faulty_server import JPEG, FaultyServer, Handler, download, fetch, is_paced
from tools_for_tests import eventually

from gleanset.errors import Unreadable, UsageError
from harvest.http import Client, Closed, DownloadLimits

# The default network timeouts: no working answer takes that long.
QUICK = DownloadLimits(max_bytes=1_000_000, backoff=0.01, max_wait=5)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK, allow_private=True) as client:
        yield client


def reason(client: Client, url: str) -> str:
    with pytest.raises(Unreadable) as caught:
        download(client, url)
    return caught.value.reason


@pytest.mark.parametrize("path", ["/drip-body", "/drip-headers"])
def test_slow_response_hits_total_timeout(site: FaultyServer, path: str) -> None:
    began = time.monotonic()
    limits = replace(QUICK, total_timeout=0.6)
    # Without robots.txt, which may take as long on a busy machine.
    with Client(limits, allow_private=True, ignore_robots=frozenset({"all"})) as client:
        assert reason(client, site.url + path) == "too slow"
    assert 0.5 < time.monotonic() - began < 60
    assert site.hits[path] == 1


@pytest.mark.parametrize("path", ["/429-then-fine", "/503-date"])
def test_retry_after_is_respected(client: Client, site: FaultyServer, path: str) -> None:
    assert download(client, site.url + path) == JPEG
    assert site.times[1] - site.times[0] >= 0.95


def test_retry_after_is_capped(site: FaultyServer) -> None:
    with Client(replace(QUICK, max_wait=0.2, retries=1), allow_private=True) as client:
        assert reason(client, f"{site.url}/always-429") == "http 429"
    assert 0.2 <= site.times[1] - site.times[0] < 60


def test_retry_after_pauses_all_requests_to_host(client: Client, site: FaultyServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(download, client, f"{site.url}/429-then-fine")
        assert eventually(lambda: client.slots._slots("127.0.0.1").not_before > time.monotonic())
        second = pool.submit(download, client, f"{site.url}/picture.jpg")
        assert first.result() == second.result() == JPEG
    assert min(site.times[1:]) - site.times[0] >= 0.95


def test_concurrent_requests_per_host_are_limited(site: FaultyServer) -> None:
    limits = replace(QUICK, per_host=3)
    with Client(limits, allow_private=True) as client:
        urls = [f"{site.url}/slow-picture?{i}" for i in range(36)]
        assert all(outcome.result == JPEG for outcome in fetch(client, *urls))
    assert site.max_running == 3
    assert site.connections == 3


@pytest.mark.timed
def test_delay_between_requests_to_host(site: FaultyServer) -> None:
    limits = replace(QUICK, delay=0.15)
    began = time.monotonic()
    with Client(limits, allow_private=True) as client:
        fetch(client, *(f"{site.url}/picture.jpg?{number}" for number in range(4)))
    assert is_paced(site.times, began, 0.15)


@pytest.mark.parametrize("path", ["/503-date", "/drip-headers"])
def test_close_cancels_requests(site: FaultyServer, path: str) -> None:
    client = Client(DownloadLimits(), allow_private=True)
    before = threading.active_count()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.page, site.url + path)
        while not site.requests:
            time.sleep(0.005)
        time.sleep(0.1)
        began = time.monotonic()
        client.close()
        with pytest.raises(Closed):
            waiting.result(timeout=50)
    assert time.monotonic() - began < 50
    assert threading.active_count() < before + 5


@pytest.mark.timed
def test_page_requests_with_own_pace(client: Client, site: FaultyServer) -> None:
    began = time.monotonic()
    client.page(f"{site.url.replace('127.0.0.1', 'localhost')}/picture.jpg", pace=60)
    assert site.times.pop() - began < 50, "the first request does not wait"
    began = time.monotonic()
    for _ in range(3):
        client.page(f"{site.url}/picture.jpg", pace=0.2)
    assert is_paced(site.times, began, 0.2)


def test_user_agent_with_contact(site: FaultyServer) -> None:
    agents: set[str] = set()

    def note(h: Handler) -> None:
        agents.add(h.headers["User-Agent"])
        h.answer(404)

    site.behaviours["/robots.txt"] = note
    with Client(QUICK, allow_private=True, contact="me@example.org") as client:
        download(client, f"{site.url}/picture.jpg")
        client.page(f"{site.url}/picture.jpg")
    [agent] = agents | {headers["user-agent"] for headers in site.headers}
    assert agent.startswith("gleanset/")
    assert agent.endswith(" (+me@example.org)")
    with pytest.raises(UsageError):
        Client(contact="a\r\nX-Injected: 1")
