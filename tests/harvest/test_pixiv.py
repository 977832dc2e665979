"""Pixiv with a server on loopback that answers as its app API does."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from faulty_server import is_paced
from pixiv_site import EXPIRED, Answer, PixivSite, account, error, search_response, work
from tools_for_tests import running

from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    Incomplete,
    NeedsLogin,
    RateLimited,
    Unreachable,
)
from gleanset.records import Candidate
from harvest.http import Client
from harvest.sources import Query, load_source
from harvest.sources.pixiv.source import Pixiv

PIXIV = Pixiv(pace=0)
TOKEN = "my-refresh-token"
SEARCH = "/v1/search/illust"


@pytest.fixture(autouse=True)
def _logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXIV_REFRESH_TOKEN", TOKEN)


@pytest.fixture
def pixiv() -> Iterator[PixivSite]:
    with running(PixivSite()) as site:
        yield site


def search(
    site: PixivSite, client: Client, text: str = "猫", **options: str
) -> list[Candidate]:
    query = Query(text, hint="cat", options={**site.options, **options})
    return list(PIXIV.candidates(query, client))


def keys(candidates: list[Candidate]) -> list[str]:
    return [candidate.origin.key for candidate in candidates]


def answers(site: PixivSite, *pages: Answer, path: str = SEARCH) -> None:
    """Serve these answers in turn, then the last one forever."""
    left = list(pages)
    site.endpoints[path] = lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_request_parameters_and_headers(pixiv: PixivSite, client: Client) -> None:
    search(
        pixiv,
        client,
        "black cat",
        target="tags-exact",
        sort="oldest",
        since="2024-01-01",
    )
    [login] = pixiv.requests_to("/auth/token")
    [request] = pixiv.requests_to(SEARCH)
    assert (login["grant_type"], login["refresh_token"]) == ("refresh_token", TOKEN)
    assert request == {
        "word": "black cat",
        "search_target": "exact_match_for_tags",
        "sort": "date_asc",
        "start_date": "2024-01-01",
        "filter": "for_ios",
    }
    headers = pixiv.headers[-1]
    assert headers["authorization"] == "Bearer access-1"
    assert headers["user-agent"].startswith("PixivIOSApp/")
    assert headers["host"] == f"127.0.0.1:{pixiv.server_address[1]}"
    assert {path for path, _ in pixiv.sent} == {
        "/oauth/auth/token",
        "/api/v1/search/illust",
    }


def test_requests_are_paced(pixiv: PixivSite, client: Client) -> None:
    source = load_source("pixiv")
    answers(pixiv, search_response(work(1), next_offset=30), search_response(work(2)))
    began = time.monotonic()
    assert len(list(source.candidates(Query("猫", options=pixiv.options), client))) == 2
    assert is_paced(pixiv.times, began, 0.4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["1", "5", "6"]),
        ({"r18": "yes"}, ["1", "2", "3", "5", "6"]),
        ({"r18": "only"}, ["2", "3"]),
        ({"ai": "yes"}, ["1", "4", "5", "6"]),
        ({"ai": "only"}, ["4"]),
        ({"type": "manga"}, ["6"]),
        ({"bookmarks": "50"}, ["1", "6"]),
    ],
)
def test_works_are_filtered_by_options(
    pixiv: PixivSite, client: Client, options: dict[str, str], expected: list[str]
) -> None:
    works = [
        work(1),
        work(2, x_restrict=1),
        work(3, x_restrict=2),
        work(4, illust_ai_type=2),
        work(5, illust_ai_type=0, total_bookmarks=49),
        work(6, type="manga"),
    ]
    answers(pixiv, search_response(*works))
    assert [c.origin.post for c in search(pixiv, client, **options)] == expected


def test_hidden_works_are_skipped(pixiv: PixivSite, client: Client) -> None:
    placeholder = "https://s.pximg.net/common/images/limit_sanity_level_360.png"
    gone = {
        "title": "",
        "tags": [],
        "meta_single_page": {"original_image_url": placeholder},
    }
    works = (
        work(1, visible=False, **gone),
        work(2, **gone),
        work(3),
        work(4, x_restrict=1),
    )
    answers(pixiv, search_response(*works))
    skipped: Counter[str] = Counter()
    query = Query("猫", options=pixiv.options)
    assert keys(list(PIXIV.candidates(query, client, skipped))) == ["3_p0"]
    assert skipped == {"hidden": 2, "filtered": 1}


RESTRICTED = error("", 403)
RESTRICTED[1]["error"]["user_message"] = "公開制限エラーです。"


def test_restricted_animation_is_skipped(pixiv: PixivSite, client: Client) -> None:
    works = work(1), work(2, type="ugoira"), work(3)
    answers(pixiv, search_response(*works))
    answers(pixiv, RESTRICTED, path="/v1/ugoira/metadata")
    skipped: Counter[str] = Counter()
    query = Query("猫", options=pixiv.options)
    assert keys(list(PIXIV.candidates(query, client, skipped))) == ["1_p0", "3_p0"]
    assert skipped == {"hidden": 1}


@pytest.mark.parametrize(
    "answer",
    [
        error("block_waf", 403),
        (403, "<html>Just a moment...</html>"),
        (403, {"code": "block_waf"}),
        error("Your access is currently restricted.", 403),
        error("アカウントが停止されています。", 403),
    ],
)
def test_general_refusal_at_animation_blocks_search(
    pixiv: PixivSite, client: Client, answer: Answer
) -> None:
    answers(pixiv, search_response(work(1), work(2, type="ugoira")))
    answers(pixiv, answer, path="/v1/ugoira/metadata")
    with pytest.raises(Blocked):
        search(pixiv, client)


def test_refused_search_blocks(pixiv: PixivSite, client: Client) -> None:
    answers(pixiv, RESTRICTED)
    with pytest.raises(Blocked, match="公開制限エラー"):
        search(pixiv, client)


def test_null_fields_are_accepted(pixiv: PixivSite, client: Client) -> None:
    nothing = dict.fromkeys(
        ("title", "user", "x_restrict", "illust_ai_type", "visible")
    )
    tags = [{"name": None, "translated_name": None}]
    answers(pixiv, search_response(work(1, tags=tags, **nothing), work(2, type=None)))
    skipped: Counter[str] = Counter()
    query = Query("猫", options=pixiv.options)
    [candidate] = PIXIV.candidates(query, client, skipped)
    assert (candidate.origin.key, candidate.origin.tags) == ("1_p0", ())
    assert skipped == {"unreadable": 1}


def test_empty_last_page_is_requested_again(pixiv: PixivSite, client: Client) -> None:
    first = search_response(work(1), next_offset=30)
    answers(pixiv, first, search_response(), search_response(work(2)))
    assert keys(search(pixiv, client)) == ["1_p0", "2_p0"]
    answers(pixiv, first, search_response(), search_response())
    assert keys(search(pixiv, client)) == ["1_p0"]


def test_empty_page_with_next_page_is_skipped(pixiv: PixivSite, client: Client) -> None:
    answers(
        pixiv,
        search_response(work(1), next_offset=30),
        search_response(next_offset=60),
        search_response(work(2)),
    )
    assert keys(search(pixiv, client)) == ["1_p0", "2_p0"]
    pixiv.sent.clear()
    empty = search_response(next_offset=60)
    answers(
        pixiv,
        search_response(work(1), next_offset=30),
        empty,
        empty,
        empty,
        search_response(work(2)),
    )
    results = PIXIV.candidates(Query("猫", options=pixiv.options), client)
    assert [next(results).origin.key, next(results).origin.key] == ["1_p0", "2_p0"]
    with pytest.raises(Incomplete, match="stayed empty"):
        next(results)


def test_hidden_work_does_not_set_next_date(pixiv: PixivSite, client: Client) -> None:
    answers(
        pixiv,
        search_response(
            work(1, create_date="2020-02-02T10:00:00+09:00"),
            work(2, visible=False, create_date="2026-01-01T10:00:00+09:00"),
            next_offset=5010,
        ),
        search_response(work(3)),
    )
    assert keys(search(pixiv, client, sort="oldest")) == ["1_p0", "3_p0"]
    assert pixiv.requests_to(SEARCH)[-1]["start_date"] == "2020-02-01"


def test_page_of_hidden_works_raises_incomplete(
    pixiv: PixivSite, client: Client
) -> None:
    answers(pixiv, search_response(work(1, visible=False), next_offset=5010))
    with pytest.raises(Incomplete, match="may not see"):
        search(pixiv, client)


def test_search_continues_past_5000_results(pixiv: PixivSite, client: Client) -> None:
    april = {"create_date": "2024-04-20T00:10:00+09:00"}
    answers(
        pixiv,
        search_response(work(1), next_offset=4980),
        search_response(work(2, **april), next_offset=5010),
        search_response(work(2, **april), work(3, **april)),
    )
    assert keys(search(pixiv, client, since="2024-01-01")) == ["1_p0", "2_p0", "3_p0"]
    pages = [(a.get("offset"), a.get("end_date")) for a in pixiv.requests_to(SEARCH)]
    assert pages == [(None, None), ("4980", None), (None, "2024-04-21")]
    assert {a["start_date"] for a in pixiv.requests_to(SEARCH)} == {"2024-01-01"}


def test_too_many_works_in_one_day_raises_incomplete(
    pixiv: PixivSite, client: Client
) -> None:
    answers(pixiv, search_response(work(1), next_offset=5010))
    with pytest.raises(
        Incomplete, match=r"works of 2024-05-01, beyond the 5,000 of one search"
    ):
        search(pixiv, client, since="2024-04-29")
    ends = [request.get("end_date") for request in pixiv.requests_to(SEARCH)]
    assert ends == [None, "2024-05-02", "2024-05-01", "2024-04-30", "2024-04-29"]


def test_expired_access_token_is_renewed(pixiv: PixivSite, client: Client) -> None:
    answers(pixiv, account("one", "newer-token"), account("two"), path="/auth/token")
    answers(
        pixiv,
        search_response(work(1), next_offset=30),
        EXPIRED,
        search_response(work(2)),
    )
    assert keys(search(pixiv, client)) == ["1_p0", "2_p0"]
    tokens = [login["refresh_token"] for login in pixiv.requests_to("/auth/token")]
    assert tokens == [TOKEN, "newer-token"]
    assert pixiv.headers[-1]["authorization"] == "Bearer two"


def test_access_token_is_renewed_before_expiry(
    pixiv: PixivSite, client: Client
) -> None:
    pixiv.endpoints["/auth/token"] = lambda _: account(life=60)
    answers(pixiv, search_response(work(1), next_offset=30), search_response(work(2)))
    assert (len(search(pixiv, client)), len(pixiv.requests_to("/auth/token"))) == (2, 2)


def test_persistently_rejected_token_raises_error(
    pixiv: PixivSite, client: Client
) -> None:
    answers(pixiv, EXPIRED)
    with pytest.raises(NeedsLogin, match="harvest login pixiv"):
        search(pixiv, client)
    assert len(pixiv.requests_to("/auth/token")) == 2


def test_keywords_share_one_login(pixiv: PixivSite, client: Client) -> None:
    for word in ("猫", "犬", "鳥"):
        search(pixiv, client, word)
    assert (len(pixiv.requests_to("/auth/token")), pixiv.connections) == (1, 1)


def test_missing_token_raises_error_before_request(
    pixiv: PixivSite, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXIV_REFRESH_TOKEN")
    with pytest.raises(NeedsLogin, match="harvest login pixiv"):
        search(pixiv, client)
    assert pixiv.sent == []


HTML = "<html><title>Just a moment...</title></html>"


@pytest.mark.parametrize(
    ("path", "answer", "kind"),
    [
        (SEARCH, error("Rate Limit", 403), RateLimited),
        (SEARCH, (429, "<html>Too many</html>"), RateLimited),
        (SEARCH, (200, HTML), Blocked),
        (SEARCH, error("Forbidden", 403), Blocked),
        (SEARCH, (200, []), Changed),
        (SEARCH, (200, {}), Changed),
        (SEARCH, (200, "<html>welcome</html>"), Changed),
        (SEARCH, (302, ""), Changed),
        (SEARCH, error("not found", 404), Changed),
        (SEARCH, (503, ""), Unreachable),
        (SEARCH, (500, {"error": {"message": "oops"}}), Unreachable),
        ("/auth/token", (403, HTML), Blocked),
        ("/auth/token", (200, {}), Changed),
        ("/auth/token", (400, {"error": "invalid_client"}), Changed),
    ],
)
def test_refusal_raises_error(
    pixiv: PixivSite,
    client: Client,
    path: str,
    answer: Answer,
    kind: type[GleansetError],
) -> None:
    answers(pixiv, answer, path=path)
    with pytest.raises(GleansetError) as caught:
        search(pixiv, client)
    assert type(caught.value) is kind
    assert caught.value.exit_code == 4
    assert caught.value.fix


@pytest.mark.parametrize("status", [400, 403, 404])
def test_errors_contain_no_tokens(
    pixiv: PixivSite, client: Client, status: int
) -> None:
    access = "a-very-long-access-token-of-forty-letters"
    pixiv.endpoints["/auth/token"] = lambda _: account(access)
    pixiv.endpoints[SEARCH] = lambda _: error(
        f"no luck with {access} and {TOKEN}", status
    )
    with pytest.raises(GleansetError, match="no luck") as caught:
        search(pixiv, client)
    assert access not in str(caught.value)
    assert TOKEN not in str(caught.value)
