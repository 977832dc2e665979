"""Hosts that want a pause delay no others: their downloads wait in their own queue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from faulty_server import Behaviour, FaultyServer, Handler

from gleanset.records import Candidate, Origin
from gleanset.work.pool import Outcome
from harvest.http import Client, DownloadLimits
from harvest.http.scheduler import MAX_PENDING, JobQueue, Scheduler

ANYTHING = frozenset({"all"})
# Two names of the same server, which count as two hosts.
SLOW, QUICK = "127.0.0.1", "localhost"


def candidates(site: FaultyServer, *paths: str) -> Iterator[Candidate]:
    port = site.server_address[1]
    for path in paths:
        host, _, rest = path.partition("/")
        url = f"http://{host}:{port}/{rest}"
        yield Candidate(url, Origin("test", url, url=url))


def download_order(
    site: FaultyServer,
    paths: Iterable[str],
    limits: DownloadLimits,
    threads: int = 2,
) -> list[tuple[str, str | None]]:
    """Return path and reason in the order of completion."""
    with Client(limits, allow_private=True, ignore_robots=ANYTHING) as client:
        outcomes = [
            outcome
            for batch in Scheduler(client, bytes, threads).run(JobQueue(candidates(site, *paths)))
            for outcome in batch
        ]
    return [_url_and_reason(outcome) for outcome in outcomes]


def _url_and_reason(outcome: Outcome[Candidate, bytes]) -> tuple[str, str | None]:
    return outcome.item.url.partition("//")[2], outcome.reason


def busy_at_first(times: int, **headers: str) -> Behaviour:
    def behave(h: Handler) -> None:
        if h.headers["Host"].startswith(SLOW) and h.count() <= times:
            h.answer(429, b"", **headers)
        else:
            h.answer(200, b"picture", Content_Type="image/jpeg")

    return behave


@pytest.mark.timed
def test_retry_after_does_not_delay_other_hosts(site: FaultyServer) -> None:
    site.otherwise = busy_at_first(1, Retry_After="1")
    slow, quick = [f"{SLOW}/s{n}" for n in range(3)], [f"{QUICK}/q{n}" for n in range(12)]
    result = download_order(site, [*slow, *quick], DownloadLimits(per_host=6))
    assert [reason for _, reason in result] == [None] * 15
    # With both threads: all quick downloads finish while every slow one waits.
    assert all(url.startswith(QUICK) for url, _ in result[:12])
    assert all(times == 1 for path, times in site.hits.items() if path.startswith("/q"))


@pytest.mark.timed
def test_backoff_does_not_occupy_a_thread(site: FaultyServer) -> None:
    def behave(h: Handler) -> None:
        if h.path.startswith("/broken") and h.count() <= 2:
            h.reset()
        else:
            h.answer(200, b"picture", Content_Type="image/jpeg")

    site.otherwise = behave
    broken, sound = [f"{SLOW}/broken{n}" for n in range(2)], [f"{SLOW}/{n}" for n in range(12)]
    started = time.monotonic()
    result = download_order(site, [*broken, *sound], DownloadLimits(backoff=0.4), threads=1)
    took = time.monotonic() - started
    assert [reason for _, reason in result] == [None] * 14
    # One thread, one host: all good downloads finish while the broken ones wait, both at one time.
    assert all("broken" in url for url, _ in result[12:])
    assert [site.hits[f"/broken{n}"] for n in range(2)] == [3, 3]
    # Backoff of 0.4 and 0.8 s with up to 50 % jitter.
    assert 1.2 <= took < 2.2


@pytest.mark.timed
def test_long_list_is_read_lazily(site: FaultyServer) -> None:
    site.otherwise = busy_at_first(1, Retry_After="1")
    read: Counter[str] = Counter()

    def listed() -> Iterator[str]:
        for number in range(20 * MAX_PENDING):
            read["lines"] += 1
            yield f"{SLOW}/{number}"

    with Client(DownloadLimits(), allow_private=True, ignore_robots=ANYTHING) as client:
        assert list(Scheduler(client, bytes, 2).run(JobQueue([]))) == []
        port = site.server_address[1]
        lines = (
            Candidate(url, Origin("test", url))
            for path in listed()
            for url in [f"http://{SLOW}:{port}/{path.partition('/')[2]}"]
        )
        batches = Scheduler(client, bytes, 2).run(JobQueue(lines))
        assert next(batches)[0].result == b"picture"
        assert read["lines"] <= MAX_PENDING + 10
        batches.close()
