"""Access checks, rate limits, headers of every response, and the OpenAPI document."""

import random
import re
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
from server_helpers import Serve, make_facts, running_server, solid_image
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from tools_for_tests import eventually, examples

from gleanset.web.rate_limit import RateLimit, get_network
from webapp.api import ROUTES
from webapp.compute_queue import ComputeQueue
from webapp.guard import PageGuard
from webapp.settings import RequestLimits, ServeSettings

CLASSES = "/api/v1/classes"


@pytest.fixture
def client(shared_client: TestClient) -> TestClient:
    """Return the client that the tests of this module share."""
    return shared_client


def test_every_response_has_policy_and_cache_headers(client: TestClient) -> None:
    for path in ("/api/v1/health", CLASSES, "/nowhere", "/", "/js/dom.js"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not re.search("unsafe-inline|http", headers["content-security-policy"])
        assert headers["cache-control"] in ("no-store", "no-cache")


def test_token_is_required_and_guesses_are_limited(serve: Serve) -> None:
    client = serve(token="secret")
    for headers, reason in (
        ({}, "token needed"),
        ({"authorization": "Bearer x"}, "wrong token"),
    ):
        refused = client.get(CLASSES, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (401, reason)
        assert refused.headers["www-authenticate"] == "Bearer"
    assert (
        client.get(CLASSES, headers={"authorization": "Bearer secret"}).status_code
        == 200
    )
    for cookie in (
        "gleanset-token=secret",
        'prefs={"a":1}; gleanset-token=secret; x=[1,"2"]',
    ):
        assert client.get(CLASSES, headers={"cookie": cookie}).status_code == 200
    assert client.get("/api/v1/health").status_code == 200
    client = serve(token="secret", limits={"per_minute": 8})
    wrong = {"authorization": "Bearer x"}
    assert [client.get(CLASSES, headers=wrong).status_code for _ in range(3)] == [
        401,
        401,
        429,
    ]


@pytest.mark.parametrize(
    "address",
    ["/?token", "/admin?%74oken", "/nowhere?%74%6f%6B%65n", "/api/v1/health?token"],
)
def test_tokens_in_url_are_rate_limited(serve: Serve, address: str) -> None:
    client = serve(token="secret", admin="own", limits={"per_minute": 8})
    guesses = [f"{address}={word}" for word in range(4)]
    result = [
        client.get(guess, follow_redirects=False).status_code for guess in guesses
    ]
    assert (result[2:], client.get("/").status_code) == ([429, 429], 200)


def test_unknown_or_malformed_host_is_refused(serve: Serve) -> None:
    client = serve(hosts=("localhost", "testserver"))
    assert client.get(CLASSES).status_code == 200
    answer = client.get(CLASSES, headers={"host": "evil.example:80"})
    assert (answer.status_code, answer.json()["reason"]) == (421, "wrong host")
    for host in ("[::1", "a:b:c", "[v1.x]:80", "a:99999"):
        for path in ("/", "/?token=x", CLASSES, "/nowhere/"):
            answer = client.get(path, headers={"host": host}, follow_redirects=False)
            assert (answer.status_code, answer.json()["reason"]) == (400, "wrong host")


def test_cross_origin_post_is_refused(client: TestClient) -> None:
    files = [("files", ("a.png", solid_image("red")))]
    for origin, status in (("http://evil.example", 403), ("http://testserver", 200)):
        answer = client.post("/api/v1/predict", files=files, headers={"origin": origin})
        assert answer.status_code == status


def test_wrong_token_in_url_sets_no_cookie(serve: Serve) -> None:
    client = serve(token="secret")
    good = client.get("/?token=secret", follow_redirects=False)
    wrong = client.get("/?token=wrong", follow_redirects=False)
    # The address keeps a wrong token: the page says that it is wrong.
    assert (good.status_code, wrong.status_code) == (303, 200)
    assert "gleanset-token=secret" in good.headers["set-cookie"]
    assert "set-cookie" not in wrong.headers


def test_allowed_origin_may_post(serve: Serve) -> None:
    client = serve(origins=("https://fans.example",), token="secret")
    files = [("files", ("a.png", solid_image("red")))]
    for origin, status in (
        ("https://fans.example", 200),
        ("https://evil.example", 403),
    ):
        asks = {"origin": origin, "access-control-request-method": "POST"}
        preflight = client.options(
            "/api/v1/predict",
            headers=asks | {"access-control-request-headers": "authorization"},
        )
        assert (preflight.status_code == 200) == (status == 200)
        headers = {"origin": origin, "authorization": "Bearer secret"}
        answer = client.post("/api/v1/predict", files=files, headers=headers)
        assert answer.status_code == status
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (origin if status == 200 else None)


SITE = {"origin": "https://fans.example"}


def test_allowed_origin_can_read_errors(serve: Serve) -> None:
    limits = {"per_minute": 16, "body_bytes": 10_000}
    client = serve(
        origins=(SITE["origin"],), token="secret", limits=limits, hosts=("testserver",)
    )
    authorized = SITE | {"authorization": "Bearer secret"}
    long = {"files": ("a.png", bytes(20_000))}
    answers = [
        client.get(CLASSES, headers=SITE),
        client.get(CLASSES, headers=authorized | {"host": "evil.example"}),
        client.post("/api/v1/predict", files=long, headers=authorized),
        *(client.get(CLASSES, headers=authorized) for _ in range(4)),
    ]
    busy = serve(origins=(SITE["origin"],), limits={"client_bytes": 1000})
    answers.append(busy.post("/api/v1/predict", files=long, headers=SITE))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401, 421, 413, 200, 200, 429, 429, 503]
    assert int(answers[-1].headers["retry-after"]) >= 1
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == SITE["origin"]
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_rate_limit_names_wait_and_exempts_preflights(serve: Serve) -> None:
    client = serve(origins=(SITE["origin"],), limits={"per_minute": 12})
    asks = SITE | {"access-control-request-method": "POST"}
    result = {
        client.options("/api/v1/predict", headers=asks).status_code for _ in range(20)
    }
    assert result == {200}
    answers = [client.get(CLASSES) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["retry-after"]) <= 5


def test_head_matches_get(client: TestClient) -> None:
    for path in ("classes", "card", "model.json", "model.onnx", "openapi.json"):
        get, head = client.get(f"/api/v1/{path}"), client.head(f"/api/v1/{path}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "model-version"):
            assert head.headers.get(name) == get.headers.get(name)
    options = client.options("/api/v1/predict")
    assert (options.status_code, options.headers["allow"], options.content) == (
        204,
        "POST",
        b"",
    )


def test_unchanged_script_is_not_sent_again(client: TestClient) -> None:
    for path in ("/js/main.js", "/js/dom.js"):  # the page's own, and a shared one
        first = client.get(path)
        assert first.headers["content-type"].startswith("text/javascript")
        again = client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "no-cache"


def test_unchanged_model_is_not_sent_again(client: TestClient) -> None:
    for path in ("/api/v1/model.onnx", "/vendor/drawnface.onnx"):
        first = client.get(path)
        assert first.headers["content-type"] == "application/octet-stream"
        again = client.get(path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (
            again.headers["cache-control"]
            == first.headers["cache-control"]
            == "no-cache"
        )
        assert (
            client.get(path, headers={"if-none-match": '"old"'}).content
            == first.content
        )


def test_invalid_range_is_not_server_error(client: TestClient) -> None:
    for text in ("bytes=" + "9" * 5000 + "-", "bytes=5-1", "bytes=\xb2-", "x"):
        headers = {"range": text.encode("latin-1")}
        assert client.get("/api/v1/model.onnx", headers=headers).status_code < 500


def test_out_of_range_report_id_is_refused(serve: Serve) -> None:
    client = serve(admin="own")
    authorized = {"authorization": "Bearer own"}
    for number in (1 << 63, 10**30, -1):
        result = [
            client.get(f"/api/v1/admin/reports/{number}/face", headers=authorized),
            client.get(f"/api/v1/admin/reports?after={number}", headers=authorized),
            *(
                client.post("/api/v1/admin/decisions", json=body, headers=authorized)
                for body in (
                    {"accept": {number: None}},
                    {"refuse": [number]},
                    {"undo": number},
                )
            ),
        ]
        assert {response.status_code for response in result} == {422}


def test_internal_timeout_is_server_error(settings: ServeSettings) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("not the user's")

    rate = RateLimit(60)
    queue = ComputeQueue(settings, make_facts(settings), rate)
    guard = PageGuard(
        late,
        settings=settings,
        rate=rate,
        queue=queue,
    )
    answer = TestClient(guard, raise_server_exceptions=False).get("/")
    assert (answer.status_code, answer.json()["reason"]) == (500, "our fault")


def test_server_error_has_security_headers(serve: Serve, tmp_path: Path) -> None:
    client = serve(origins=(SITE["origin"],))
    (tmp_path / "colours.onnx").unlink()
    answer = client.get("/api/v1/model.onnx", headers=SITE)
    assert (answer.status_code, answer.json()["reason"]) == (500, "our fault")
    assert answer.headers["access-control-allow-origin"] == SITE["origin"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_wrong_method_and_address_are_problems(client: TestClient) -> None:
    for method, path in (
        ("GET", "/api/v1/predict"),
        ("DELETE", CLASSES),
        ("POST", "/"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["reason"]) == (405, "wrong method")
        assert answer.headers["allow"]
    problem = client.get("/api/v1/nowhere")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == problem.status_code == 404
    assert problem.json()["hint"]


def test_readiness_waits_for_model(client: TestClient) -> None:
    assert client.get("/api/v1/health").json()["status"] == "ok"
    assert eventually(lambda: client.get("/api/v1/ready").status_code == 200)
    version = client.get("/api/v1/ready").json()["model_version"]
    assert version.startswith("colours+")
    for path in (CLASSES, "/api/v1/nowhere", "/"):
        assert client.get(path).headers["model-version"] == version


HEADER_VALUES = {
    "host": ["testserver", "[::1", "a:b", "[v1.x]:80"],
    "origin": ["http://testserver", "http://[::1", "null", "//"],
    "content-length": ["5", "9" * 5000, "\xb2", "-1"],
    "content-type": [
        "multipart/form-data; boundary=x",
        "multipart/form-data; charset=idna",
    ],
    "cookie": ["gleanset-token=secret", 'gleanset-token="\\777', "a=b; ]=x"],
    "authorization": ["Bearer secret", "Bearer \xff", "Basic x"],
}


def test_random_headers_cause_no_server_error(serve: Serve) -> None:
    client = serve(token="secret", limits={"per_minute": 10_000})
    dice = random.Random(4)
    for _ in range(100):
        names = dice.sample(sorted(HEADER_VALUES), 3)
        message = {name: dice.choice(HEADER_VALUES[name]) for name in names}
        name = dice.choice(sorted(message))
        place = dice.randint(0, len(message[name]))
        message[name] = (
            message[name][:place] + dice.choice("[]@:;%\"'\xe9") + message[name][place:]
        )
        headers = {name: value.encode("latin-1") for name, value in message.items()}
        # Errors of the application are raised here.
        assert 200 <= client.post("/api/v1/predict", headers=headers).status_code < 500


def test_rate_holds_over_time() -> None:
    now = count(1000.0, 0.1)
    limit = RateLimit(60, lambda: next(now))
    allowed = sum(limit.wait("10.0.0.1") == 0 for _ in range(1200))
    # Two minutes at one a second, and a quarter of a minute's at once.
    assert 120 <= allowed <= 136
    assert limit.wait("10.0.0.2") == 0


def test_long_computation_counts_as_several_requests() -> None:
    now = 1000.0
    limit = RateLimit(60, lambda: now)
    limit.charge("10.0.0.1", 1000)
    assert 0 < limit.wait("10.0.0.1") <= 2
    now += 20
    assert limit.wait("10.0.0.1") == 0


def test_ipv6_network_counts_as_one_address() -> None:
    limit = RateLimit(4, lambda: 1000.0)
    networks = [get_network(f"2001:db8:{n}::{n}") for n in (0, 0, 1)]
    assert [limit.wait(network) > 0 for network in networks] == [False, True, False]
    assert get_network("::ffff:10.0.0.1") == "10.0.0.1"


CHECKED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
TYPES = {"PredictionResponse", "FacesResponse", "Problem"}


def test_schema_lists_paths_types_and_errors(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    methods = {route.path: route.methods - {"HEAD"} for route in ROUTES}
    del methods["/api/v1/openapi.json"]
    described = {
        path: {name.upper() for name in item}
        for path, item in document["paths"].items()
    }
    assert described == methods
    assert set(document["components"]["schemas"]) >= TYPES
    schemas = document["components"]["schemas"]
    limits = RequestLimits()
    for images in (
        schemas["ImagesRequest"]["properties"]["images"],
        schemas["ImagesForm"]["properties"]["file"],
    ):
        assert (images["minItems"], images["maxItems"]) == (1, limits.images)
    assert set(schemas["PredictedPart"]["required"]) >= {
        "answer",
        "unsure",
        "best",
        "confidence",
    }
    refused = document["paths"]["/api/v1/predict"]["post"]["responses"]
    assert {"200", "401", "413", "415", "422", "429", "500", "503"} <= set(refused)
    name = refused["503"]["$ref"].rpartition("/")[2]
    assert (
        "application/problem+json"
        in document["components"]["responses"][name]["content"]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the dependencies of schemathesis
def test_responses_conform_to_schema(settings: ServeSettings) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    schemathesis.checks.load_all_checks()
    selected = schemathesis.checks.CHECKS.get_by_names(CHECKED)
    limits = RequestLimits(per_minute=1_000_000)
    with running_server(msgspec.structs.replace(settings, limits=limits)) as port:
        address = f"http://127.0.0.1:{port}/api/v1/openapi.json"
        for operation in schemathesis.openapi.from_url(address).get_all_operations():

            @hypothesis.settings(
                max_examples=examples(2, 100), deadline=None, database=None
            )
            @hypothesis.given(case=operation.ok().as_strategy())
            def conforms(case: Any) -> None:
                case.call_and_validate(checks=selected)

            conforms()
