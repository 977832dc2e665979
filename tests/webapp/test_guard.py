"""Who is let in, how often, and what every answer carries."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from web_requests import Serve, picture_of

from webapp.rate_limit import SALT, RateLimit, make_counters

CLASSES = "/api/v1/classes"


def test_every_answer_forbids_foreign_scripts(client: TestClient) -> None:
    for path in ("/api/v1/health", CLASSES, "/nowhere"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        assert "http" not in policy


def test_a_token_is_asked_for(serve: Serve) -> None:
    client = serve(token="secret")
    refused = client.get(CLASSES)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (401, "token needed")
    assert client.get(CLASSES, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get(CLASSES, headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get(CLASSES, headers={"cookie": "gleanset-token=secret"}).status_code == 200
    assert client.get("/api/v1/ping").status_code == 200


def test_wrong_tokens_are_counted(serve: Serve) -> None:
    client = serve(token="secret", limits={"per_minute": 8})
    wrong = {"authorization": "Bearer guess"}
    told = [client.get("/api/v1/classes", headers=wrong).status_code for _ in range(3)]
    assert told == [401, 401, 429]


def test_a_foreign_name_is_not_ours(serve: Serve) -> None:
    client = serve(hosts=("localhost", "testserver"))
    assert client.get(CLASSES).status_code == 200
    answer = client.get(CLASSES, headers={"host": "evil.example:80"})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (421, "wrong host")


def test_a_page_of_another_site_cannot_post(client: TestClient) -> None:
    files = [("files", ("a.png", picture_of("red")))]
    for origin, status in (("http://evil.example", 403), ("http://testserver", 200)):
        answer = client.post("/api/v1/predict", files=files, headers={"origin": origin})
        assert answer.status_code == status


def test_too_many_requests_wait_and_health_is_not_counted(serve: Serve) -> None:
    client = serve(limits={"per_minute": 8})
    answers = [client.get(CLASSES) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 8
    assert client.get("/api/v1/health").status_code == 200


SAID = {
    "host": ["testserver", "[::1", "a:b", "[v1.x]:80"],
    "origin": ["http://testserver", "http://[::1", "null", "//"],
    "content-length": ["5", "9" * 5000, "\xb2", "-1"],
    "content-type": ["multipart/form-data; boundary=x", "multipart/form-data; charset=idna"],
    "cookie": ["gleanset-token=secret", 'gleanset-token="\\777', "a=b; ]=x"],
    "authorization": ["Bearer secret", "Bearer \xff", "Basic x"],
}


def test_whatever_a_request_says_is_answered(serve: Serve) -> None:
    client, dice = serve(token="secret", limits={"per_minute": 10_000}), random.Random(4)
    for _ in range(300):
        said = {name: dice.choice(SAID[name]) for name in dice.sample(sorted(SAID), 3)}
        name = dice.choice(sorted(said))
        place = dice.randint(0, len(said[name]))
        said[name] = said[name][:place] + dice.choice("[]@:;%\"'\xe9") + said[name][place:]
        headers = {name: value.encode("latin-1") for name, value in said.items()}
        # What the application raises is raised here.
        assert 200 <= client.post("/api/v1/predict", headers=headers).status_code < 500


def test_a_body_that_is_longer_than_it_says_is_cut_off(serve: Serve) -> None:
    client = serve(limits={"body_bytes": 1000})

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(100)

    answer = client.post(
        "/api/v1/predict",
        content=endless(),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 413


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_holds_over_any_time(tmp_path: Path, clock: Clock) -> None:
    make_counters(tmp_path / "counters", bytes(SALT))
    limits = [RateLimit(tmp_path / "counters", 60, clock) for _ in range(2)]
    through = 0
    for step in range(1200):
        # Two workers count together.
        through += limits[step % 2].wait("10.0.0.1") == 0
        clock.now += 0.1
    # Two minutes at one a second, and a quarter of a minute's at once.
    assert 120 <= through <= 136
    assert limits[0].wait("10.0.0.2") == 0


def test_workers_that_count_at_the_same_time_lose_no_request(tmp_path: Path, clock: Clock) -> None:
    make_counters(tmp_path / "counters", bytes(SALT))
    begin = threading.Barrier(4)

    def ask(limit: RateLimit) -> int:
        begin.wait()
        return sum(limit.wait("10.0.0.1") == 0 for _ in range(2000))

    limits = [RateLimit(tmp_path / "counters", 4000, clock) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, limits)) == 1000


def test_a_clock_that_was_set_back_locks_nobody_out(tmp_path: Path, clock: Clock) -> None:
    make_counters(tmp_path / "counters", bytes(SALT))
    limit = RateLimit(tmp_path / "counters", 60, clock)
    while not limit.wait("10.0.0.1"):
        pass
    clock.now -= 10_000
    assert limit.wait("10.0.0.1") <= 2


def test_a_network_of_ipv6_is_one_address(tmp_path: Path, clock: Clock) -> None:
    make_counters(tmp_path / "counters", bytes(SALT))
    limit = RateLimit(tmp_path / "counters", 4, clock)
    assert [limit.wait(f"2001:db8::{n}") > 0 for n in (1, 2)] == [False, True]
    assert limit.wait("2001:db8:1::1") == 0
