"""The polite downloader with a real server that misbehaves on purpose."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from faulty_server import JPEG, FaultyServer, Handler, download, fetch, is_paced
from tools_for_tests import eventually

from gleanset.errors import Unreadable, UsageError
from gleanset.records import Candidate, Origin
from harvest.http import Client, Closed, DownloadLimits
from harvest.http.scheduler import MAX_PENDING, JobQueue, Scheduler

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
def test_retry_after_is_respected(
    client: Client, site: FaultyServer, path: str
) -> None:
    assert download(client, site.url + path) == JPEG
    assert site.times[1] - site.times[0] >= 0.95


def test_retry_after_is_capped(site: FaultyServer) -> None:
    with Client(replace(QUICK, max_wait=0.2, retries=1), allow_private=True) as client:
        assert reason(client, f"{site.url}/always-429") == "http 429"
    assert 0.2 <= site.times[1] - site.times[0] < 60


def test_retry_after_pauses_all_requests_to_host(
    client: Client, site: FaultyServer
) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(download, client, f"{site.url}/429-then-fine")
        assert eventually(
            lambda: client.slots._slots("127.0.0.1").not_before > time.monotonic()
        )
        second = pool.submit(download, client, f"{site.url}/picture.jpg")
        assert first.result() == second.result() == JPEG
    assert min(site.times[1:]) - site.times[0] >= 0.95


def test_concurrent_requests_per_host_are_limited(site: FaultyServer) -> None:
    limits = replace(QUICK, per_host=3)
    with Client(limits, allow_private=True) as client:
        urls = [f"{site.url}/slow-picture?{i}" for i in range(36)]
        assert all(outcome.result == JPEG for outcome in fetch(client, *urls))
    assert (site.max_running, site.connections) == (3, 3)


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


ANYTHING = frozenset({"all"})
# Two names of the same server, which count as two hosts.
SLOW = "127.0.0.1"
FAST = "localhost"


def candidates(site: FaultyServer, *paths: str) -> Iterator[Candidate]:
    port = site.server_address[1]
    for path in paths:
        host, _, rest = path.partition("/")
        url = f"http://{host}:{port}/{rest}"
        yield Candidate(url, Origin("test", url, url=url))


def download_order(
    site: FaultyServer, paths: Iterable[str], limits: DownloadLimits, threads: int = 2
) -> list[tuple[str, str | None]]:
    """Return path and reason in the order of completion."""
    with Client(limits, allow_private=True, ignore_robots=ANYTHING) as client:
        outcomes = [
            outcome
            for batch in Scheduler(client, bytes, threads).run(
                JobQueue(candidates(site, *paths))
            )
            for outcome in batch
        ]
    return [(done.item.url.partition("//")[2], done.reason) for done in outcomes]


def busy_at_first(h: Handler) -> None:
    if h.headers["Host"].startswith(SLOW) and h.count() == 1:
        h.answer(429, b"", Retry_After="1")
    else:
        h.answer(200, b"picture", Content_Type="image/jpeg")


@pytest.mark.timed
def test_retry_after_does_not_delay_other_hosts(site: FaultyServer) -> None:
    site.otherwise = busy_at_first
    slow = [f"{SLOW}/s{n}" for n in range(3)]
    quick = [f"{FAST}/q{n}" for n in range(12)]
    result = download_order(site, [*slow, *quick], DownloadLimits(per_host=6))
    assert [reason for _, reason in result] == [None] * 15
    # With both threads: all quick downloads finish while every slow one waits.
    assert all(url.startswith(FAST) for url, _ in result[:12])
    assert all(times == 1 for path, times in site.hits.items() if path.startswith("/q"))


@pytest.mark.timed
def test_backoff_does_not_occupy_a_thread(site: FaultyServer) -> None:
    def behave(h: Handler) -> None:
        if h.path.startswith("/broken") and h.count() <= 2:
            h.reset()
        else:
            h.answer(200, b"picture", Content_Type="image/jpeg")

    site.otherwise = behave
    broken = [f"{SLOW}/broken{n}" for n in range(2)]
    sound = [f"{SLOW}/{n}" for n in range(12)]
    started = time.monotonic()
    result = download_order(
        site, [*broken, *sound], DownloadLimits(backoff=0.4), threads=1
    )
    took = time.monotonic() - started
    assert [reason for _, reason in result] == [None] * 14
    # One thread, one host: all good downloads finish while the broken ones wait, both at one time.
    assert all("broken" in url for url, _ in result[12:])
    assert [site.hits[f"/broken{n}"] for n in range(2)] == [3, 3]
    # Backoff of 0.4 and 0.8 s with up to 50 % jitter.
    assert 1.2 <= took < 2.2


@pytest.mark.timed
def test_long_list_is_read_lazily(site: FaultyServer) -> None:
    site.otherwise = busy_at_first
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


IMPATIENT = DownloadLimits(
    backoff=0.001, max_wait=0.01, retries=1, total_timeout=5, read_timeout=2
)
FAR_AWAY = "Mon, 01 Jan 2024 00:00:00 +99999999999999"
HOSTS = 120
DIGITS = "9" * 5000

# Initial values of each header that is read, to be mutated.
HEADER_VALUES = {
    "Retry-After": ["3", FAR_AWAY, "Mon, 01 Jan 2024 00:00:00 GMT", DIGITS],
    "Location": [
        "/a.jpg",
        "http://h3.example/b.jpg",
        "http://[::1",
        "//x:99999/",
        "http://é/",
    ],
    "Content-Length": ["5", "-1", DIGITS, "5, 6"],
    "Content-Encoding": ["gzip", "deflate, gzip", "identity"],
    "Content-Type": ["image/jpeg", "text/html; charset=idna", "x; charset=undefined"],
    "Transfer-Encoding": ["chunked", "gzip"],
    "X-Robots-Tag": [
        "noai",
        "gleanset: noindex, other: none",
        "unavailable_after: 1 Jan",
    ],
    "Connection": ["close", "keep-alive"],
}
PARTS = [
    *" ,:;-+/\"'()[]<>@%=.\\\t\x0b\x85\xa0\xff²",
    DIGITS,
    "GMT",
    "+0000",
    "http://",
    "charset=",
]
STATUSES = [200, 200, 200, 301, 302, 404, 429, 500, 503]


def mutated(dice: random.Random, text: str) -> str:
    for _ in range(dice.randint(0, 3)):
        start = dice.randint(0, len(text))
        text = text[:start] + dice.choice(PARTS) + text[start + dice.randint(0, 3) :]
    return text


def hostile(seed: int) -> str:
    """Return a response, headers and body, made from the seed."""
    dice = random.Random(seed)
    lines = [f"HTTP/1.1 {dice.choice(STATUSES)} {mutated(dice, 'OK')}"]
    names = dice.sample(sorted(HEADER_VALUES), dice.randint(1, 4))
    lines += [
        f"{name}: {mutated(dice, dice.choice(HEADER_VALUES[name]))}" for name in names
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def answer_by_host(h: Handler) -> None:
    """Answer hosts named by a number with their seed, others correctly."""
    parts = urlsplit(h.path)
    name = (parts.hostname or "").partition(".")[0].removeprefix("h")
    offset = {"/robots.txt": 0, "/a.jpg": 1}.get(parts.path)
    seed = 2 * int(name) + offset if name.isdecimal() and offset is not None else None
    if seed is None:
        h.answer(200, JPEG if parts.path != "/robots.txt" else b"")
        return
    h.close_connection = True
    h.wfile.write(
        hostile(seed).encode("latin-1") + (JPEG if seed % 2 else b"User-agent: *\n")
    )


def download_reasons(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, hosts: list[str]
) -> Counter[str]:
    """Count the reasons of downloads of one image from each host."""
    # As a proxy this server plays every host.
    monkeypatch.setenv("http_proxy", site.url)
    urls = [f"http://{host}/a.jpg" for host in hosts]
    with Client(IMPATIENT) as client:
        return Counter(outcome.reason or "ok" for outcome in fetch(client, *urls))


@pytest.mark.parametrize("path", ["/robots.txt", "/a.jpg"])
def test_excessive_retry_after_does_not_end_run(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def behave(h: Handler) -> None:
        if "bad.example" in h.path and h.path.endswith(path):
            h.answer(503, b"", Retry_After=FAR_AWAY)
        else:
            h.answer(200, JPEG if h.path.endswith(".jpg") else b"")

    site.behaviours.clear()
    site.otherwise = behave
    reasons = download_reasons(
        site, monkeypatch, ["bad.example", "good.example", "other.example"]
    )
    refused = "robots.txt could not be read" if path == "/robots.txt" else "http 503"
    assert reasons == {refused: 1, "ok": 2}


# If urllib3 refuses the Content-Length of an answer, only garbage collection closes its socket.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_hostile_headers_affect_only_their_host(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.behaviours.clear()
    site.otherwise = answer_by_host
    good = [f"good{number}.example" for number in range(5)]
    hosts = [f"h{number}.example" for number in range(HOSTS)]
    reasons = download_reasons(site, monkeypatch, [*hosts, *good])
    assert reasons.total() == HOSTS + len(good)
    assert reasons["ok"] >= len(good) + HOSTS // 10
    assert len(reasons) > 4, reasons
    assert "internal error" not in reasons
