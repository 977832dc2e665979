"""Google without a browser: the parser on our own pages, the search URL, proxies."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from google_page import ImageResult, link, page, script

from gleanset.errors import UsageError
from harvest.sources import Query, load_source
from harvest.sources.google.browser import proxy_switches
from harvest.sources.google.page import GooglePage, GoogleResult, classify_page, parse_results
from harvest.sources.google.source import build_search_url

GOOGLE = load_source("google")


# The parser


def test_result_in_script() -> None:
    cat = ImageResult(
        "https://h.example/a.jpg?w=1&h=2", "https://b.example/?p=1&q=2", 'A "cat" \\ 猫', 9, 8
    )
    assert parse_results(page(script([cat]))) == [GoogleResult(cat.url, 9, 8, cat.page, cat.title)]


def test_result_in_link() -> None:
    cat = ImageResult("https://h.example/ä.jpg?x=1&y=2", "https://p.example/", "A cat")
    expected = GoogleResult(cat.url, cat.width, cat.height, cat.page, cat.title)
    assert parse_results(f"<body>{link(cat)}</body>") == [expected]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        (r"https:\/\/h.example\/a", "https://h.example/a"),
        (r"https://h.example/a?b\u003d1\u0026c\x3d2", "https://h.example/a?b=1&c=2"),
        (r"http://h.example/\u732b.jpg", "http://h.example/猫.jpg"),
        ("https://h.example/größe/猫", "https://h.example/größe/猫"),
        (r"https://h.example/\ud83d\ude00.png", "https://h.example/😀.png"),
        (r"https://h.example/half\ud83d.png", "https://h.example/half\ufffd.png"),
        (r"https://h.example/a\\b", r"https://h.example/a\b"),
    ],
)
def test_escape_sequences_are_decoded(written: str, url: str) -> None:
    assert parse_results(page(f'x=["{written}",20,10]')) == [GoogleResult(url, 10, 20)]


@pytest.mark.parametrize(
    "text",
    [
        '["https://encrypted-tbn0.gstatic.com/images?q=tbn:x",183,275]',
        '["http://127.0.0.1/images?q=tbn:x",183,275]',
        '["ftp://h.example/a.jpg",1,2]',
        r'["https://h.example/\u00",1,2]',
        '["https://h.example/a.jpg","1","2"]',
        '["https://[broken/a.jpg",1,2]',
        '"2003":[null,"x","https://p.example","no image"]',
    ],
)
def test_other_urls_are_ignored(text: str) -> None:
    assert parse_results(page(text)) == []


SEARCH = "https://www.google.com/search?q=sorry+before+you+continue"
RESULTS = page(script([ImageResult("https://h.example/a", "", "")]))
FORM = '<form method="POST" action="https://consent.google.com/save">'


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (GooglePage(SEARCH, RESULTS, "not a robot"), "results"),
        (
            GooglePage(SEARCH, "", "Your search - not a robot - did not match any\nimage results."),
            "none",
        ),
        (GooglePage("https://www.google.com/sorry/index?continue=x", "", "", 429), "captcha"),
        (GooglePage("http://127.0.0.1:1/g/sorry/", "", ""), "captcha"),
        (GooglePage(SEARCH, "", "Our systems have detected unusual traffic"), "captcha"),
        (GooglePage(SEARCH, "<form id='captcha-form'>", ""), "captcha"),
        (GooglePage(SEARCH, "<a href='/sorry/index'>moved</a>", ""), "captcha"),
        (GooglePage("https://consent.google.com/ml?continue=x", "", ""), "consent"),
        (GooglePage(SEARCH, "", "Before you continue to Google"), "consent"),
        (GooglePage(SEARCH, FORM, ""), "consent"),
        (GooglePage(SEARCH, "", "", 429), "refused"),
        (GooglePage(SEARCH, "", "This page is not working", 503), "refused"),
        (GooglePage(SEARCH, "<noscript>enablejs</noscript>", "Loading", 200), "unknown"),
    ],
)
def test_page_classification(view: GooglePage, expected: str) -> None:
    assert classify_page(view) == expected


# The search URL, built by the package


def url_parameters(**options: str) -> dict[str, str]:
    pytest.importorskip("google_images_download")
    settings = GOOGLE.settings(Query("x", options=options))
    address = build_search_url("cats, dogs & Größe", settings)
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def test_search_url_contains_only_required_parameters() -> None:
    assert url_parameters() == {"q": "cats, dogs & Größe", "tbm": "isch", "hl": "en"}


@pytest.mark.parametrize(
    ("name", "word", "tbs"),
    [
        ("size", "large", "isz:l"),
        ("size", "800x600+", "isz:lt,islt:svga"),
        ("size", "1920x1080", "isz:ex,iszw:1920,iszh:1080"),
        ("colour", "red", "ic:specific,isc:red"),
        ("colour", "teal", "ic:specific,isc:teal"),
        ("colour", "bw", "ic:gray"),
        ("licence", "share", "sur:f"),
        ("licence", "creative-commons", "il:cl"),
        ("date", "week", "qdr:w"),
        ("date", "2020-01-31..2021-12-01", "cdr:1,cd_min:01/31/2020,cd_max:12/01/2021"),
        ("format", "webp", "ift:webp"),
    ],
)
def test_filters_are_sent_as_google_parameters(name: str, word: str, tbs: str) -> None:
    assert url_parameters(**{name: word})["tbs"] == tbs


# Proxies


def test_proxy_variables_become_chrome_switches() -> None:
    assert proxy_switches({}) == ["--no-proxy-server"]
    assert proxy_switches({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}) == ["--no-proxy-server"]
    assert proxy_switches(
        {"HTTP_PROXY": "http://a:1", "https_proxy": "b:2", "NO_PROXY": ".x.org, y.org,10.0.0.0/8"}
    ) == [
        "--proxy-server=http=http://a:1;https=http://b:2",
        "--proxy-bypass-list=<-loopback>;x.org;*.x.org;y.org;*.y.org;10.0.0.0/8",
    ]


def test_proxy_with_password_raises_error() -> None:
    with pytest.raises(UsageError, match="proxy p") as caught:
        proxy_switches({"HTTPS_PROXY": "http://me:secret@p:1"})
    assert "secret" not in str(caught.value)
