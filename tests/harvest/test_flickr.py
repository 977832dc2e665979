"""Flickr through flickrapi, with real servers on loopback that answer as Flickr does."""

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from faulty_server import FaultyServer, Handler
from tools_for_tests import running

from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    Incomplete,
    NeedsLogin,
    RateLimited,
    Unreachable,
    UsageError,
)
from gleanset.records import Candidate
from harvest.http import Client, DownloadLimits
from harvest.sources import Query, flickr, load_source
from harvest.sources.flickr import Flickr

REST = "/x/services/rest/"
KEY = "0123456789abcdef0123456789abcdef"
SECRET = "fedcba9876543210"
Form = dict[str, str]


class FlickrServer(FaultyServer):
    """A server that answers `reply(form, number of calls)` and records forms."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.reply: Callable[[Form, int], Any] = lambda form, number: listing()
        self.behaviours[REST] = self._answer

    def _answer(self, h: Handler) -> None:
        self.forms.append(h.fields)
        result = self.reply(h.fields, len(self.forms))
        if callable(result):
            result(h)
        else:
            body = result if isinstance(result, bytes) else json.dumps(result).encode()
            h.answer(body=body, Content_Type="application/json")


@pytest.fixture
def api() -> Iterator[FlickrServer]:
    with running(FlickrServer()) as server:
        yield server


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", KEY)
    monkeypatch.setenv("FLICKR_API_SECRET", SECRET)


@pytest.fixture
def client() -> Iterator[Client]:
    limits = DownloadLimits(backoff=0.01, max_bytes=900_000)
    with Client(limits, allow_private=True) as client:
        yield client


def listing(*photos: Mapping[str, Any], **about: object) -> dict[str, object]:
    result = {"page": 1, "pages": 1, "perpage": 500, "total": len(photos), **about}
    return {"photos": {**result, "photo": list(photos)}, "stat": "ok"}


def failure(code: int, message: str) -> dict[str, object]:
    return {"stat": "fail", "code": code, "message": message}


def photo(
    number: int,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    **other_fields: object,
) -> dict[str, object]:
    result: dict[str, object] = {
        "id": str(number),
        "owner": "12@N00",
        "title": f"photo {number}",
    }
    for letter, (width, height) in (sizes or {"m": (500, 375)}).items():
        result |= {f"url_{letter}": f"https://live.example/{number}_{letter}.jpg"}
        result |= {f"width_{letter}": width, f"height_{letter}": str(height)}
    return result | other_fields


def search(
    api: FlickrServer, client: Client, text: str = "owl", **options: str
) -> list[Candidate]:
    query = Query(text, hint="owls", options={"endpoint": f"{api.url}/x", **options})
    return list(Flickr(pace=0).candidates(query, client))


def reply_with(response: object) -> Callable[[Form, int], Any]:
    return lambda form, number: response


# Candidates


SIZES = {
    "t": (100, 75),
    "m": (500, 375),
    "l": (1024, 768),
    "h": (1600, 1200),
    "k": (2048, 1536),
}


@pytest.mark.parametrize(
    ("min_size", "letter"),
    [
        ("50", "t"),
        ("100", "t"),
        ("101", "m"),
        ("1024", "l"),
        ("1025", "h"),
        ("9999", "k"),
    ],
)
def test_smallest_sufficient_size_is_selected(
    api: FlickrServer, client: Client, min_size: str, letter: str
) -> None:
    api.reply = reply_with(listing(photo(1, SIZES)))
    [result] = search(api, client, size=min_size)
    assert result.url == f"https://live.example/1_{letter}.jpg"
    assert (result.width, result.height) == SIZES[letter]


# Requests


def test_default_request_parameters(api: FlickrServer, client: Client) -> None:
    api.reply = reply_with(listing(photo(1)))
    search(api, client, "black cat")
    [form] = api.forms
    assert form["method"] == "flickr.photos.search"
    assert (form["text"], form["media"], form["per_page"]) == (
        "black cat",
        "photos",
        "500",
    )
    assert (form["sort"], form["safe_search"], form["content_types"]) == (
        "relevance",
        "1",
        "0",
    )
    assert {"license", "owner_name", "tags", "url_l", "url_o"} <= set(
        form["extras"].split(",")
    )
    assert not {"license", "tags", "tag_mode", "min_upload_date"} & set(form)
    assert f'oauth_consumer_key="{KEY}"' in api.headers[0]["authorization"]
    assert api.headers[0]["user-agent"] == client.user_agent
    assert SECRET not in json.dumps([api.headers, api.forms])


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"licence": "cc"}, {"license": "1,2,3,4,5,6,9,11,12,13,14,15,16"}),
        ({"sort": "date"}, {"sort": "date-posted-desc"}),
        (
            {"safe": "off", "content": "all"},
            {"safe_search": "3", "content_types": "0,1,2"},
        ),
        ({"uploaded": "2020-01-01.."}, {"min_upload_date": "1577836800"}),
        ({"uploaded": "..2019-12-31"}, {"max_upload_date": "1577836799"}),
        (
            {"uploaded": "2020-01-01"},
            {"min_upload_date": "1577836800", "max_upload_date": "1577923199"},
        ),
    ],
)
def test_options_are_sent_as_flickr_parameters(
    api: FlickrServer, client: Client, options: dict[str, str], sent: Form
) -> None:
    api.reply = reply_with(listing(photo(1)))
    search(api, client, "barn owl", **options)
    assert {name: api.forms[0].get(name) for name in sent} == sent


# Errors


@pytest.mark.parametrize("missing", ["FLICKR_API_KEY", "FLICKR_API_SECRET"])
def test_missing_key_raises_error_before_request(
    api: FlickrServer, client: Client, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(
        NeedsLogin, match=r"set FLICKR_API_KEY .* harvest login flickr$"
    ):
        search(api, client)
    assert api.forms == []


def test_bad_key_raises_error_without_retry(api: FlickrServer, client: Client) -> None:
    api.reply = reply_with(failure(100, f"Invalid API Key (Key {KEY} expired)"))
    with pytest.raises(NeedsLogin, match=r"Key \*\*\* expired") as caught:
        search(api, client)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert len(api.forms) == 1


def answers(
    status: int, body: bytes = b"", **headers: str
) -> Callable[[Form, int], Any]:
    return reply_with(lambda h: h.answer(status, body, **headers))


MALFORMED_RESPONSES: list[tuple[object, type[GleansetError]]] = [
    (failure(3, "Parameterless searches have been disabled"), UsageError),
    (failure(77, "Exceeded limit of logical ORs allowed."), UsageError),
    (failure(112, 'Method "flickr.photos.search" not found'), Changed),
    ({"stat": "ok"}, Changed),
    ({"photos": {"photo": {}, "total": 1, "pages": 1}}, Changed),
    ({"photos": {"photo": [], "total": "many", "pages": 1}}, Changed),
    ({"stat": "fail"}, Changed),
    ([1, 2], Changed),
    (b"", Changed),
    (b"<html>welcome</html>", Changed),
    (b"<html>Access Denied: solve the captcha</html>", Blocked),
    (listing({"id": "1"}, {"id": "2"}), Changed),
    (listing(total=40), Changed),
]


@pytest.mark.parametrize(("response", "error"), MALFORMED_RESPONSES)
def test_malformed_response_raises_error(
    api: FlickrServer, client: Client, response: object, error: type[GleansetError]
) -> None:
    api.reply = reply_with(response)
    with pytest.raises(error) as caught:
        search(api, client)
    assert caught.type is error
    assert caught.value.fix
    # A page that counts photos but lists none is requested again.
    assert len(api.forms) == (3 if response == listing(total=40) else 1)


@pytest.mark.parametrize(
    ("status", "body", "error", "calls"),
    [
        (401, b"oauth_problem=signature_invalid&debug_sbs=POST", NeedsLogin, 1),
        (400, b"oauth_problem=consumer_key_unknown", NeedsLogin, 1),
        (403, b"<h1>Forbidden</h1>", Blocked, 1),
        (302, b"", Changed, 1),
        (429, b"<h1>429 Too Many Requests</h1>", RateLimited, 4),
        (500, b"", Unreachable, 4),
    ],
)
def test_http_error_status_raises_error(
    api: FlickrServer,
    client: Client,
    status: int,
    body: bytes,
    error: type[GleansetError],
    calls: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    api.reply = answers(status, body, Location="/elsewhere")
    with pytest.raises(error) as caught:
        search(api, client)
    assert caught.type is error
    assert len(api.requests) == calls
    # flickrapi logs refusals, and the log goes to the screen.
    assert capfd.readouterr().err == ""


def test_temporary_failure_is_retried_with_new_signature(
    api: FlickrServer, client: Client
) -> None:
    api.reply = lambda form, number: (
        failure(105, "Service currently unavailable")
        if number < 3
        else listing(photo(1))
    )
    assert len(search(api, client)) == 1
    signatures = {headers["authorization"] for headers in api.headers}
    assert len(signatures) == len(api.forms) == 3


def test_retry_after_is_respected(api: FlickrServer, client: Client) -> None:
    api.reply = lambda form, number: (
        (lambda h: h.answer(429, b"", Retry_After="1"))
        if number == 1
        else listing(photo(1))
    )
    assert len(search(api, client)) == 1
    assert api.times[1] - api.times[0] >= 0.99


def test_long_retry_after_raises_rate_limited(
    api: FlickrServer, client: Client
) -> None:
    api.reply = answers(429, Retry_After="3600")
    with pytest.raises(RateLimited) as caught:
        search(api, client)
    assert "in 3600 seconds" in caught.value.fix
    assert len(api.forms) == 1


def test_unreachable_error_contains_no_key(client: Client) -> None:
    query = Query("owl", options={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(Unreachable, match="HTTP_PROXY") as caught:
        list(Flickr(pace=0).candidates(query, client))
    assert KEY not in str(caught.value)


def test_secrets_are_not_logged(
    api: FlickrServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api.reply = reply_with(listing(photo(1)))
    search(api, client)
    assert caplog.records
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


# Rate limit, pages and the limit of 4,000 results


def test_requests_are_limited_to_3600_per_hour(
    api: FlickrServer, client: Client
) -> None:
    api.reply = lambda form, number: listing(photo(number), pages=2, total=501)
    query = Query("owl", options={"endpoint": f"{api.url}/x"})
    start = time.monotonic()
    assert len(list(load_source("flickr").candidates(query, client))) == 2
    assert time.monotonic() - start >= 1


CAP = 400


@pytest.fixture
def small_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let queries end after 400 results instead of 4,000, in pages of 50."""
    monkeypatch.setattr(flickr, "PAGE_SIZE", CAP // 8)
    monkeypatch.setattr(flickr, "MAX_RESULTS", CAP)


class SmallFlickr:
    """Photos by upload date; queries end after `CAP`, then repeat."""

    def __init__(
        self, uploads: list[int], heeds_dates: bool = True, too_much: float = 1.0
    ) -> None:
        self.uploads = uploads
        self.heeds_dates = heeds_dates
        self.too_much = too_much
        # The order by relevance must be unrelated to dates.
        self.order = sorted(range(len(uploads)), key=lambda n: n * 7919 % 10_007)

    def __call__(self, form: Form, _: int) -> dict[str, object]:
        first = int(form.get("min_upload_date", 0))
        last = int(form.get("max_upload_date", 2**40))
        result = [
            n
            for n in self.order
            if not self.heeds_dates or first <= self.uploads[n] <= last
        ]
        if form["sort"] == "date-posted-desc":
            result.sort(key=self.uploads.__getitem__, reverse=True)
        size = int(form["per_page"])
        listed_count = min(len(result), CAP)
        page = min(int(form["page"]), max((listed_count + size - 1) // size, 1))
        photos = [
            photo(n, dateupload=str(self.uploads[n]))
            for n in result[:CAP][size * (page - 1) :][:size]
        ]
        total = int(len(result) * self.too_much)
        return listing(*photos, page=page, pages=-(-total // size), total=str(total))


def uploads() -> list[int]:
    """Return upload times of 1,150 photos: one a day, then bursts."""
    now = int(time.time())
    slow = [1_300_000_000 + day * 86_400 for day in range(400)]
    burst = [1_500_000_000 + second % 90 for second in range(600)]
    return [*slow, *burst, *(now - second for second in range(150))]


@pytest.mark.usefixtures("small_cap")
def test_search_continues_past_4000_results(api: FlickrServer, client: Client) -> None:
    small = SmallFlickr(uploads(), too_much=1.2)
    api.reply = small
    keys = [int(c.origin.key) for c in search(api, client)]
    assert keys[:CAP] == small.order[:CAP]
    assert sorted(keys) == list(range(1150))
    rest = [small.uploads[key] for key in keys[CAP:]]
    assert rest == sorted(rest, reverse=True), "newest first past the limit"
    assert len(api.forms) < 40


@pytest.mark.usefixtures("small_cap")
def test_too_many_uploads_in_one_second_raises_incomplete(
    api: FlickrServer, client: Client
) -> None:
    api.reply = SmallFlickr([1_500_000_000] * 430 + [1_500_000_001] * 10)
    query = Query("owl", options={"endpoint": f"{api.url}/x"})
    result: list[Candidate] = []
    with pytest.raises(Incomplete, match=r"more than 400 photos of one second"):
        result.extend(Flickr(pace=0).candidates(query, client))
    assert len(api.forms) < 40


def in_three_pages(
    broken: int, times: int, shown: Sequence[int] = ()
) -> Callable[[Form, int], Any]:
    """List 1,300 photos; page `broken` has only those `shown` the first `times` times."""
    pages: list[int] = []

    def reply(form: Form, _: int) -> object:
        number = int(form["page"])
        pages.append(number)
        is_broken = number == broken and pages.count(broken) <= times
        page = range((number - 1) * 500, min(number * 500, 1300))
        numbers = shown if is_broken else page
        return listing(*map(photo, numbers), page=number, pages=3, total=1300)

    return reply


@pytest.mark.parametrize("shown", [(), range(500), range(200, 250)], ids=str)
@pytest.mark.parametrize(("broken", "times"), [(2, 1), (2, 2), (3, 1)])
def test_empty_or_repeated_page_is_requested_again(
    api: FlickrServer, client: Client, broken: int, times: int, shown: Sequence[int]
) -> None:
    api.reply = in_three_pages(broken, times, shown)
    assert len(search(api, client)) == 1300


@pytest.mark.parametrize("shown", [(), range(500)], ids=str)
def test_persistently_empty_or_repeated_page_raises_incomplete(
    api: FlickrServer, client: Client, shown: Sequence[int]
) -> None:
    api.reply = in_three_pages(2, 9, shown)
    query = Query("owl", options={"endpoint": f"{api.url}/x"})
    result = Flickr(pace=0).candidates(query, client)
    assert len([next(result) for _ in range(800)]) == 800
    with pytest.raises(Incomplete, match="stayed empty"):
        next(result)


@pytest.mark.parametrize("shown", [(), range(500, 1000)], ids=str)
def test_missing_last_page_is_accepted(
    api: FlickrServer, client: Client, shown: Sequence[int]
) -> None:
    api.reply = in_three_pages(3, 9, shown)
    assert len(search(api, client)) == 1000


@pytest.mark.usefixtures("small_cap")
def test_ignored_date_filter_raises_changed(api: FlickrServer, client: Client) -> None:
    api.reply = SmallFlickr(uploads()[:430], heeds_dates=False)
    with pytest.raises(Changed, match="ignores upload dates"):
        search(api, client)
    assert len(api.forms) < 40
