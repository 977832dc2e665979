"""Bing with recorded answers, served by a real server on loopback."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from faulty_server import Behaviour, FaultyServer, Handler

from gleanset.errors import Blocked, Changed, GleansetError, Incomplete
from gleanset.records import Candidate
from harvest.http import Client
from harvest.sources import Query, load_source
from pipeline.demo import SearchResult, render_search_page

ANSWERS = Path(__file__).parent / "answers" / "bing"
BING = load_source("bing")


def pages(*names: str) -> Behaviour:
    """Serve these answers in turn, then the last forever, as Bing does."""
    bodies = [(ANSWERS / f"{name}.html").read_bytes() for name in names]
    return lambda h: h.answer(
        body=bodies[min(h.count(), len(bodies)) - 1],
        Content_Type="text/html; charset=utf-8",
    )


def query(site: FaultyServer, text: str = "cats", **options: str) -> Query:
    return Query(text, hint="cat", options={"endpoint": f"{site.url}/x", **options})


def search(
    site: FaultyServer, client: Client, *names: str, **options: str
) -> list[Candidate]:
    site.behaviours["/x/images/async"] = pages(*names)
    return list(BING.candidates(query(site, **options), client))


def request_fields(site: FaultyServer) -> dict[str, str]:
    fields = parse_qs(urlsplit(site.requests[0]).query)
    return {name: values[0] for name, values in fields.items()}


@pytest.mark.parametrize(
    "odd", ["empty", "hollow", "changed", "unparsable", "no_results"]
)
def test_unusable_page_is_requested_again(
    site: FaultyServer, client: Client, odd: str
) -> None:
    result = search(site, client, "normal", odd, "second")
    assert [c.url for c in result[5:]] == ["https://img.example/later.png"]


@pytest.mark.parametrize(
    ("odd", "error"),
    [
        ("empty", Changed),
        ("hollow", Changed),
        ("changed", Changed),
        ("no_results", Changed),
        ("blocked", Blocked),
    ],
)
def test_persistently_unusable_page_raises_error(
    site: FaultyServer, client: Client, odd: str, error: type[GleansetError]
) -> None:
    site.behaviours["/x/images/async"] = pages("normal", odd)
    result = BING.candidates(query(site), client)
    assert len([next(result) for _ in range(5)]) == 5
    with pytest.raises(error):
        next(result)


def test_empty_result_is_confirmed_by_second_request(
    site: FaultyServer, client: Client
) -> None:
    assert len(search(site, client, "no_results", "normal")) == 5
    site.hits.clear()
    assert search(site, client, "no_results") == []


NONE = "There are no results for"


@pytest.mark.parametrize(
    ("text", "body", "error"),
    [
        ("cats", f"<h1>Before you continue</h1><p>{NONE} cats</p>", Blocked),
        ("cats", f"<p>We need your consent</p><p>{NONE} cats</p>", Blocked),
        ("cats", f"<div class='cf-turnstile'></div><p>{NONE} cats</p>", Blocked),
        ("cats", f"<h1>One last step</h1><p class='no_res'>{NONE} cats</p>", Blocked),
        ("cats", f"<div id='captcha'></div><p class='no_res'>{NONE} cats</p>", Blocked),
        # A query that is repeated on the page is neither a refusal nor "no results".
        ("captcha", f"<p>{NONE} captcha</p>", None),
        (
            "captcha art",
            f"<a href='?q=captcha+art'>x</a><p>{NONE} captcha art</p>",
            None,
        ),
        ("One last step", f"<p class='no_res'>{NONE} <b>one last step</b></p>", None),
        ("no hay resultados para", "<h1>no hay resultados para</h1>", Changed),
        # Other languages.
        ("qwx", "Es wurden keine Ergebnisse für qwx gefunden", None),
        ("qwx", "qwx に一致する結果は見つかりませんでした", None),
        ("qwx", "没有与此相关的结果: qwx", None),
        ("qwx", "Нет результатов для qwx", None),
        ("qwx", "Δεν υπάρχουν αποτελέσματα για qwx", None),
        # Similar sentences.
        ("cats", "Αποτελέσματα για cats", Changed),
        ("cats", "Se encontraron resultados", Changed),
        ("cats", "找不到网页", Changed),
        ("cats", "Keine Ergebnisse? Seite neu laden", Changed),
    ],
)
def test_page_without_results_is_classified(
    site: FaultyServer,
    client: Client,
    text: str,
    body: str,
    error: type[GleansetError] | None,
) -> None:
    page = f"<html><body>{body}</body></html>".encode()
    site.behaviours["/x/images/async"] = lambda h: h.answer(body=page)
    result = BING.candidates(query(site, text), client)
    if error is None:
        assert list(result) == []
        return
    with pytest.raises(error):
        list(result)


def numbered(order: list[list[int]]) -> Behaviour:
    """Serve pages with these results in turn, then the last forever."""

    def page(numbers: list[int]) -> bytes:
        results = [
            SearchResult("", f"/p/{n}.jpg", f"picture {n}", f"/post/{n}")
            for n in numbers
        ]
        return render_search_page(
            "cats", results, 1, 35, "https://img.example"
        ).encode()

    return lambda h: h.answer(body=page(order[min(h.count(), len(order)) - 1]))


@pytest.mark.parametrize(
    ("order", "requests", "complete"),
    [
        # End of results: the last page again, reordered, or with a part of the previous one.
        ([[1, 2, 3], [4, 5], [4, 5]], 4, True),
        ([[1, 2, 3], [4, 5], [5, 4]], 4, True),
        ([[1, 2, 3], [4, 5], [3, 4, 5]], 4, True),
        # The repetition must contain the new results of the last page, not those it shares.
        ([[1, 2, 3], [3, 4, 5], [1, 2, 3]], 4, False),
        # An earlier page by mistake, once or forever.
        ([[1, 2, 3], [1, 2, 3], [4, 5]], 5, True),
        ([[1, 2, 3], [4], [1, 2, 3], [5], [5]], 6, True),
        ([[1, 2, 3], [4, 5], [1, 2, 3]], 4, False),
    ],
)
def test_repeated_last_page_ends_search(
    site: FaultyServer,
    client: Client,
    order: list[list[int]],
    requests: int,
    complete: bool,
) -> None:
    site.behaviours["/x/images/async"] = numbered(order)
    result = BING.candidates(query(site), client)
    expected = len({n for numbers in order for n in numbers})
    assert len([next(result) for _ in range(expected)]) == expected
    if complete:
        assert next(result, None) is None
    else:
        with pytest.raises(Incomplete, match="an earlier page was repeated"):
            next(result)
    assert len(site.requests) == requests


def result_list(
    positions: Sequence[int],
    next_url: str | None,
    *,
    clusters: str = "",
    words: str = "",
) -> str:
    """Return a page as of 2026: results with their positions, the address of the next page."""
    links = []
    for position in positions:
        fields = {
            "murl": f"https://img.example/{words}{position}.jpg",
            "purl": "https://p.example/",
        }
        m = json.dumps(fields).replace('"', "&quot;")
        href = f"/images/search?view=detailV2&amp;selectedIndex={position}&amp;expw=8&amp;exph=9"
        links.append(
            f'<li><div class="iuscp"><a class="iusc" m="{m}" href="{href}"></a>'
            f'<a title="Picture {position}" href="/x"></a></div></li>'
        )
    stated = "" if next_url is None else f' data-nextUrl="{next_url}"'
    return (
        f'<div class="dgControl"{stated}>{clusters}<ul class="dgControl_list">'
        f"{''.join(links)}</ul></div>"
    )


def next_url(first: int) -> str:
    return (
        f"/images/async?q=cats&amp;first={first}&amp;count=35&amp;relp=35&amp;datsrc=I"
    )


def serve_lists(site: FaultyServer, lists: Mapping[int, str | list[str]]) -> None:
    """Serve lists by their `first`; of several, one after the other and the last forever."""
    counts = Counter[int]()

    def answer(h: Handler) -> None:
        first = int(parse_qs(urlsplit(h.path).query)["first"][0])
        pages = lists[first]
        pages = [pages] if isinstance(pages, str) else pages
        body = pages[min(counts[first], len(pages) - 1)]
        counts[first] += 1
        h.answer(body=body.encode(), Content_Type="text/html; charset=utf-8")

    site.behaviours["/x/images/async"] = answer


def requested_positions(site: FaultyServer) -> list[int]:
    return [int(parse_qs(urlsplit(path).query)["first"][0]) for path in site.requests]


def test_stated_next_page_is_requested_until_the_end(
    site: FaultyServer, client: Client
) -> None:
    cluster = (
        f'<div class="disamClust">{result_list(range(7), None, words="art")}</div>'
    )
    serve_lists(
        site,
        {
            1: result_list(range(35), next_url(36), clusters=cluster),
            36: result_list(range(35, 60), ""),
        },
    )
    results = list(BING.candidates(query(site), client))
    assert [c.url for c in results] == [
        f"https://img.example/{n}.jpg" for n in range(60)
    ]
    assert (results[3].origin.title, results[3].width, results[3].height) == (
        "Picture 3",
        8,
        9,
    )
    assert requested_positions(site) == [1, 36]


def test_stated_end_without_results_ends_search(
    site: FaultyServer, client: Client
) -> None:
    serve_lists(
        site, {1: result_list(range(35), next_url(36)), 36: result_list(range(0), "")}
    )
    assert len(list(BING.candidates(query(site), client))) == 35


@pytest.mark.parametrize("start", [70, 140, 35])
def test_decoys_are_not_results(site: FaultyServer, client: Client, start: int) -> None:
    decoys = result_list(range(start, start + 35), next_url(start + 36), words="decoy")
    serve_lists(site, {1: [decoys, result_list(range(10), "")]})
    results = list(BING.candidates(query(site), client))
    assert [c.url for c in results] == [
        f"https://img.example/{n}.jpg" for n in range(10)
    ]
    serve_lists(site, {1: decoys})
    site.requests.clear()
    with pytest.raises(Blocked, match="something else"):
        list(BING.candidates(query(site), client))
    assert len(site.requests) == 3


@pytest.mark.parametrize(
    "decoys",
    [
        # One link has a position of its own.
        result_list([0, *range(70, 104)], next_url(106), words="decoy"),
        # Only the address of the next page is of another part.
        result_list(range(35), next_url(106), words="decoy"),
    ],
)
def test_contradicting_positions_are_decoys(
    site: FaultyServer, client: Client, decoys: str
) -> None:
    serve_lists(site, {1: [decoys, result_list(range(10), "")]})
    results = list(BING.candidates(query(site), client))
    assert [c.url for c in results] == [
        f"https://img.example/{n}.jpg" for n in range(10)
    ]


def test_next_page_may_be_stated_in_the_inner_list(
    site: FaultyServer, client: Client
) -> None:
    # The address is escaped twice; less than 35 results are listed.
    address = next_url(36).replace("&amp;", "&amp;amp;")
    inner = result_list(range(28), address)
    serve_lists(
        site,
        {1: f'<div data-nextUrl="">{inner}</div>', 36: result_list(range(35, 40), "")},
    )
    assert len(list(BING.candidates(query(site), client))) == 33
    assert requested_positions(site) == [1, 36]


def test_decoys_on_later_page_block(site: FaultyServer, client: Client) -> None:
    decoys = result_list(range(140, 175), next_url(176), words="decoy")
    serve_lists(site, {1: result_list(range(35), next_url(36)), 36: decoys})
    result = BING.candidates(query(site), client)
    assert len([next(result) for _ in range(35)]) == 35
    with pytest.raises(Blocked, match="something else"):
        next(result)


def test_scripts_of_ordinary_page_are_not_a_captcha(
    site: FaultyServer, client: Client
) -> None:
    script = (
        "<script>var a = 'OptanonConsent', b = 'cf-turnstile-wrapper captcha';</script>"
    )
    template = "<template><p>captcha</p></template>"
    for content in (
        "<p>A new page for images</p>",
        "<a href='/1'><img src='/1.jpg'></a>",
    ):
        serve_lists(site, {1: f"<html><body>{script}{template}{content}</body></html>"})
        with pytest.raises(Changed):
            list(BING.candidates(query(site), client))
    # A page of scripts alone is a captcha that they draw.
    serve_lists(site, {1: f"<html><body>{script}</body></html>"})
    with pytest.raises(Blocked):
        list(BING.candidates(query(site), client))


def test_unreadable_results_are_counted(site: FaultyServer, client: Client) -> None:
    site.behaviours["/x/images/async"] = pages("normal")
    skipped: Counter[str] = Counter()
    assert len(list(BING.candidates(query(site), client, skipped))) == 5
    marked = (ANSWERS / "normal.html").read_text(encoding="utf-8").count(' m="')
    assert skipped["unreadable"] > 0
    assert skipped["unreadable"] < marked


@pytest.mark.parametrize(
    ("name", "error", "requests"),
    [
        ("blocked", Blocked, 1),
        ("consent", Blocked, 1),
        ("changed", Changed, 3),
        ("unparsable", Changed, 3),
        ("empty", Changed, 3),
        ("hollow", Changed, 3),
    ],
)
def test_refusal_raises_error(
    site: FaultyServer,
    client: Client,
    name: str,
    error: type[GleansetError],
    requests: int,
) -> None:
    with pytest.raises(error, match="'cats'") as caught:
        search(site, client, name)
    assert type(caught.value) is error
    assert caught.value.fix
    assert len(site.requests) == requests


def test_request_parameters_and_headers(site: FaultyServer, client: Client) -> None:
    search(site, client, "no_results")
    expected = {"q": "cats", "first": "1", "count": "35", "async": "1", "mmasync": "1"}
    market = {"mkt": "en-US", "setlang": "en", "cc": "US"}
    assert request_fields(site) == expected | market | {"adlt": "moderate"}
    assert "Chrome/" in site.headers[0]["user-agent"]
    assert "gzip" in site.headers[0]["accept-encoding"]
    assert site.headers[0]["accept-language"].startswith("en-US")
    site.requests.clear()
    filters = {
        "size": "large",
        "colour": "red",
        "type": "animated",
        "licence": "public-domain",
    }
    search(
        site, client, "no_results", **filters, layout="square", date="week", safe="off"
    )
    assert request_fields(site)["adlt"] == "off"
    assert sorted(request_fields(site)["qft"].split("+filterui:")[1:]) == [
        "age-lt10080",
        "aspect-square",
        "color2-FGcls_RED",
        "imagesize-large",
        "license-L1",
        "photo-animatedgif",
    ]
