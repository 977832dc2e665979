"""Who is let in, how often, and what every answer carries."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from web_requests import Serve, picture_of

from webapp.rate_limit import RateLimit, network_of

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
    assert (refused.status_code, refused.json()["reason"]) == (401, "token needed")
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
    assert (answer.status_code, answer.json()["reason"]) == (421, "wrong host")


def test_a_page_of_another_site_cannot_post(client: TestClient) -> None:
    files = [("files", ("a.png", picture_of("red")))]
    for origin, status in (("http://evil.example", 403), ("http://testserver", 200)):
        answer = client.post("/api/v1/predict", files=files, headers={"origin": origin})
        assert answer.status_code == status


@pytest.mark.parametrize("host", ["[::1", "a:b:c", "[v1.x]:80", "a:99999"])
def test_what_is_no_host_is_told_so(client: TestClient, host: str) -> None:
    for path in ("/", "/?token=x", CLASSES, "/nowhere/"):
        answer = client.get(path, headers={"host": host}, follow_redirects=False)
        assert (answer.status_code, answer.json()["reason"]) == (400, "wrong host")


def test_an_origin_that_is_none_is_another_site(client: TestClient) -> None:
    answer = client.post("/api/v1/predict", headers={"origin": "http://["})
    assert (answer.status_code, answer.json()["reason"]) == (403, "another site")


def test_cookies_of_others_cost_no_login(serve: Serve) -> None:
    cookie = {"cookie": 'prefs={"a":1}; gleanset-token=secret; x=[1,"2"]'}
    assert serve(token="secret").get(CLASSES, headers=cookie).status_code == 200


def test_a_wrong_token_in_the_address_overwrites_no_good_one(serve: Serve) -> None:
    client = serve(token="secret")
    good = client.get("/?token=secret", follow_redirects=False)
    wrong = client.get("/?token=wrong", follow_redirects=False)
    assert (good.status_code, wrong.status_code) == (303, 303)
    assert "gleanset-token=secret" in good.headers["set-cookie"]
    assert "set-cookie" not in wrong.headers


def test_pages_of_named_sites_may_ask(serve: Serve) -> None:
    client = serve(origins=("https://fans.example",), token="secret")
    files = [("files", ("a.png", picture_of("red")))]
    for origin, status in (("https://fans.example", 200), ("https://evil.example", 403)):
        asks = {"origin": origin, "access-control-request-method": "POST"}
        asked = client.options(
            "/api/v1/predict", headers=asks | {"access-control-request-headers": "authorization"}
        )
        assert (asked.status_code == 200) == (status == 200)
        headers = {"origin": origin, "authorization": "Bearer secret"}
        answer = client.post("/api/v1/predict", files=files, headers=headers)
        assert answer.status_code == status
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if status == 200 else None)


def test_a_wrong_method_is_told_and_nothing_is_kept_by_browsers(client: TestClient) -> None:
    for method, path in (("GET", "/api/v1/predict"), ("DELETE", CLASSES), ("POST", "/")):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["reason"]) == (405, "wrong method")
        assert answer.headers["allow"]
    for path in (CLASSES, "/api/v1/ping", "/nowhere", "/"):
        assert client.get(path).headers["cache-control"] in ("no-store", "no-cache")
    problem = client.get("/api/v1/nowhere")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == problem.status_code == 404


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


def test_the_rate_holds_over_any_time(clock: Clock) -> None:
    limit = RateLimit(60, clock)
    through = 0
    for _ in range(1200):
        through += limit.wait("10.0.0.1") == 0
        clock.now += 0.1
    # Two minutes at one a second, and a quarter of a minute's at once.
    assert 120 <= through <= 136
    assert limit.wait("10.0.0.2") == 0


def test_what_took_long_counts_as_several(clock: Clock) -> None:
    limit = RateLimit(60, clock)
    limit.charge("10.0.0.1", 1000)
    assert 0 < limit.wait("10.0.0.1") <= 2
    clock.now += 20
    assert limit.wait("10.0.0.1") == 0


def test_a_network_of_ipv6_is_one_address(clock: Clock) -> None:
    limit = RateLimit(4, clock)
    networks = [network_of(f"2001:db8:{n}::{n}") for n in (0, 0, 1)]
    assert [limit.wait(network) > 0 for network in networks] == [False, True, False]
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
