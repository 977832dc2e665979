"""Google: its pages in a real browser, what that leaves behind, the parser and the search URL."""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from faulty_server import FaultyServer, Handler, Proxy
from google_page import (
    CHUNK,
    ImageResult,
    SmallGoogle,
    entry,
    link,
    page,
    rpc_answer,
    script,
)
from tools_for_tests import LoopbackServer, eventually, run_here, running, start_cli

from gleanset.errors import (
    Blocked,
    GleansetError,
    Incomplete,
    MissingComponent,
    Unreachable,
    UsageError,
)
from gleanset.records import Candidate, Origin
from harvest.http import Client
from harvest.sources import Query, Source, load_source
from harvest.sources.google.browser import GoogleBrowser, list_proxy_switches
from harvest.sources.google.page import (
    GooglePage,
    GoogleResult,
    classify_page,
    count_tiles,
    parse_answer,
    parse_results,
)
from harvest.sources.google.source import Google, build_search_url

GOOGLE = Google(first_quiet=2, more_quiet=1)
PROGRAMS = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
browser = [
    pytest.mark.slow,
    pytest.mark.posix("the user that runs the browser may be root"),
    pytest.mark.skipif(bool(PROGRAMS), reason=f"not installed: {', '.join(PROGRAMS)}"),
]


class Site:
    """A small Google with a client and a folder for browser files."""

    def __init__(self, site: FaultyServer, client: Client, folder: Path) -> None:
        self.server = site
        self.client = client
        self.folder = folder

    def google(self, count: int = 20) -> SmallGoogle:
        return SmallGoogle(self.server, count)

    def search(self, source: Source = GOOGLE, **options: str) -> Iterator[Candidate]:
        result = {"endpoint": f"{self.server.url}/deep", **options}
        return source.candidates(Query("cats", hint="cat", options=result), self.client)

    def serve(self, body: str, status: int = 200) -> None:
        self.server.behaviours["/deep/search"] = lambda h: h.answer(
            status, body.encode(), Content_Type="text/html; charset=utf-8"
        )

    def leftovers(self) -> list[str]:
        """Return files and processes of browsers that still exist."""
        return [*map(str, self.folder.iterdir()), *processes_at(self.folder)]


def processes_at(folder: Path) -> list[str]:
    """Return the ids of all processes started with files of this folder."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                numbers.append(process.name)
    return numbers


@pytest.fixture
def web(site: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # A short path, because Chromium cannot put its socket into a deep folder.
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        with Client(allow_private=True) as client:
            web = Site(site, client, Path(folder))
            yield web
            assert eventually(lambda: web.leftovers() == []), web.leftovers()


class TestBrowser:
    pytestmark = browser

    @pytest.mark.usefixtures("shared_browser")
    def test_results_are_complete(self, web: Site) -> None:
        google = web.google(CHUNK * 2 + 3)
        result = list(web.search())
        assert [(c.url, c.width, c.height) for c in result] == [
            (expected.url, expected.width, expected.height)
            for expected in google.results
        ]
        first = google.results[0]
        assert result[0].referer == first.page
        assert result[0].origin == Origin(
            source="google",
            key=first.url,
            url=first.url,
            page_url=first.page,
            title=first.title,
            query="cats",
            hint="cat",
        )

    @pytest.mark.usefixtures("shared_browser")
    def test_pending_request_is_not_the_end(
        self, web: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        google = web.google(CHUNK * 2)
        google.slow_chunk = 2.5
        read_page = GoogleBrowser.page

        def look_slowly(browser: GoogleBrowser) -> GooglePage:
            page = read_page(browser)
            # As on a busy machine: the answer comes between two polls.
            time.sleep(0.5)
            return page

        monkeypatch.setattr(GoogleBrowser, "page", look_slowly)
        assert len(list(web.search(Google(first_quiet=2, more_quiet=0.4)))) == CHUNK * 2

    @pytest.mark.usefixtures("shared_browser")
    def test_failed_request_raises_incomplete(self, web: Site) -> None:
        google = web.google(CHUNK * 3)
        google.failing_chunk = 2
        result = web.search()
        assert len(list(islice(result, CHUNK))) == CHUNK
        with pytest.raises(Incomplete, match="failed"):
            next(result)

    @pytest.mark.usefixtures("shared_browser")
    def test_failed_request_before_others_raises_incomplete(self, web: Site) -> None:
        google = web.google(CHUNK * 4)
        google.lost_chunk = 2
        result = web.search()
        assert len(list(islice(result, CHUNK * 3))) == CHUNK * 3
        with pytest.raises(Incomplete, match="failed"):
            next(result)

    @pytest.mark.usefixtures("shared_browser")
    def test_all_results_may_be_in_answers_to_scripts(self, web: Site) -> None:
        google = web.google(CHUNK)
        google.tiles_chunk = 1
        assert len(list(web.search())) == CHUNK

    @pytest.mark.usefixtures("shared_browser")
    def test_later_results_are_read_from_answers_to_scripts(self, web: Site) -> None:
        google = web.google(CHUNK * 2 + 3)
        google.tiles_chunk = 2
        assert [c.url for c in web.search()] == [
            result.url for result in google.results
        ]

    @pytest.mark.usefixtures("shared_browser")
    def test_tiles_without_addresses_raise_incomplete(self, web: Site) -> None:
        google = web.google(CHUNK * 2)
        google.tiles_chunk = 2
        google.has_addresses = False
        result = web.search()
        assert len(list(islice(result, CHUNK))) == CHUNK
        with pytest.raises(
            Incomplete, match=f"{CHUNK} of {2 * CHUNK} images on the page"
        ):
            next(result)

    @pytest.mark.usefixtures("shared_browser")
    def test_scrolling_stops_at_required_results(self, web: Site) -> None:
        google = web.google(CHUNK * 5)
        result = web.search()
        assert (len(list(islice(result, CHUNK))), google.chunks) == (CHUNK, 1)
        next(result)
        assert google.chunks <= 3
        result.close()

    @pytest.mark.usefixtures("shared_browser")
    @pytest.mark.parametrize(
        ("body", "status", "error", "message"),
        [
            (
                "<body>Before you continue to Google Search</body>",
                200,
                Blocked,
                "google.window",
            ),
            ("", 500, Unreachable, "500"),
        ],
    )
    def test_refusal_raises_error(
        self,
        web: Site,
        body: str,
        status: int,
        error: type[GleansetError],
        message: str,
    ) -> None:
        web.serve(body, status)
        with pytest.raises(error, match=message) as caught:
            list(web.search())
        assert type(caught.value) is error

    @pytest.mark.usefixtures("shared_browser")
    def test_dead_site_raises_unreachable(self, web: Site) -> None:
        with pytest.raises(Unreachable, match="ERR_"):
            list(web.search(endpoint="http://127.0.0.1:9"))

    @pytest.mark.usefixtures("shared_browser")
    def test_search_continues_after_consent(self, web: Site) -> None:
        google = web.google(3)
        web.serve(
            "<body>Before you continue to Google<script>"
            "setTimeout(() => location.replace('search2'), 500)</script></body>"
        )
        answer = web.server.otherwise

        def after(h: Handler) -> None:
            h.path = h.path.replace("search2", "search")
            answer(h)

        web.server.behaviours["/deep/search2"] = after
        assert len(list(web.search(window="yes"))) == len(google.results)

    def test_proxy_profile_and_browser_crash(
        self, web: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        google = web.google(20)
        Proxy.lines.clear()
        proxy = LoopbackServer(Proxy)
        places = {
            "endpoint": f"http://google.test:{web.server.server_address[1]}/deep",
            "profile": str(tmp_path / "profile"),
        }
        with running(proxy):
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            search = web.search(**places)
            results = list(islice(search, CHUNK))
            assert [c.url for c in results] == [
                result.url for result in google.results[:CHUNK]
            ]
            for process in processes_at(tmp_path / "profile"):
                # Killing one of the browser's processes ends others as well.
                with suppress(ProcessLookupError):
                    os.kill(int(process), 9)
            with pytest.raises(Unreachable, match="browser is gone"):
                list(search)
        assert any(line.startswith("GET http://google.test") for line in Proxy.lines)
        assert not any("status" in line or "session" in line for line in Proxy.lines)
        assert (tmp_path / "profile" / "Default").is_dir()

    @pytest.mark.usefixtures("shared_browser")
    def test_user_agent_is_headless_chrome(self, web: Site) -> None:
        web.serve("<body>did not match any image results</body>")
        list(web.search())
        assert "HeadlessChrome" in web.server.headers[0]["user-agent"]

    def test_browser_start_failure_raises_missing_component(self, web: Site) -> None:
        with pytest.raises(MissingComponent, match="does not start"):
            list(web.search(chrome=shutil.which("true") or ""))


@pytest.mark.parametrize("option", ["chrome", "chromedriver"])
@pytest.mark.skipif(bool(PROGRAMS), reason="both programs must be installed")
def test_missing_program_error_has_install_command(web: Site, option: str) -> None:
    result = "apt-get install chromium chromium-driver"
    with pytest.raises(MissingComponent, match=result) as caught:
        list(web.search(**{option: "/nowhere/chrome"}))
    assert f"google.{option}=PATH" in str(caught.value)


@pytest.mark.posix("every desktop has a display there")
def test_window_without_display_raises_error(
    web: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingComponent, match="display"):
        list(web.search(window="yes"))


def test_private_address_raises_unreachable(web: Site) -> None:
    with Client() as client:
        query = Query("cats", options={"endpoint": web.server.url})
        with pytest.raises(Unreachable, match="--allow-private"):
            list(GOOGLE.candidates(query, client))


def test_missing_extra_exits_with_code_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine without the extra.
    monkeypatch.delitem(sys.modules, "harvest.sources.google.browser", raising=False)
    for package in ("selenium", "google_images_download"):
        for module in [
            package,
            *(name for name in sys.modules if name.startswith(f"{package}.")),
        ]:
            monkeypatch.setitem(sys.modules, module, None)
    run_here(
        "harvest.cli", "keyword", "x", "--source", "google", "-d", tmp_path / "d"
    ).refused(6, "[google]")


class TestCommand:
    pytestmark = browser

    def arguments(
        self, google: SmallGoogle, folder: Path, limit: int
    ) -> list[str | Path]:
        line = f"keyword cats --source google -o google.endpoint={google.url} --allow-private"
        return [*line.split(), "--limit", str(limit), "-d", folder]

    @pytest.mark.usefixtures("shared_browser")
    def test_command_leaves_only_the_dataset(self, web: Site, tmp_path: Path) -> None:
        folder = tmp_path / "here"
        folder.mkdir()
        google = web.google(20)
        arguments = self.arguments(google, tmp_path / "set", 5)
        done = run_here("harvest.cli", *arguments, "--json", cwd=folder)
        assert (done.code, done.json["added"]) == (0, 5), done.stderr
        assert len(done.stdout.splitlines()) == 1
        assert "ownload" not in done.stderr
        assert list(folder.iterdir()) == []
        assert eventually(lambda: web.leftovers() == []), web.leftovers()
        listed = run_here("pipeline.cli", "list", "images", "-d", tmp_path / "set")
        assert "Katze №0 — 猫 & more" in listed.stdout

    @pytest.mark.parametrize(
        ("signal", "send"),
        [
            (9, os.kill),
            pytest.param(2, os.killpg, marks=pytest.mark.long),
            pytest.param(9, os.killpg, marks=pytest.mark.long),
            pytest.param(15, os.kill, marks=pytest.mark.long),
        ],
    )
    def test_killed_command_leaves_no_browser(
        self, web: Site, tmp_path: Path, signal: int, send: Callable[[int, int], None]
    ) -> None:
        google = web.google(20)
        google.hold = threading.Event()
        arguments = self.arguments(google, tmp_path / "set", 5)
        with (
            (tmp_path / "messages").open("w") as messages,
            start_cli(
                "harvest.cli", *arguments, stderr=messages, start_new_session=True
            ) as running_command,
        ):
            assert eventually(
                lambda: (
                    any("/p/" in path for path in web.server.requests)
                    or running_command.poll() is not None
                ),
                120,
            )
            assert running_command.poll() is None, (tmp_path / "messages").read_text()
            assert len(web.leftovers()) > 3
            send(running_command.pid, signal)
            running_command.wait(60)
        google.hold.set()
        assert eventually(lambda: web.leftovers() == []), web.leftovers()


SOURCE = load_source("google")


# The parser


def test_result_in_script() -> None:
    cat = ImageResult(
        "https://h.example/a.jpg?w=1&h=2",
        "https://b.example/?p=1&q=2",
        'A "cat" \\ 猫',
        9,
        8,
    )
    assert parse_results(page(script([cat]))) == [
        GoogleResult(cat.url, 9, 8, cat.page, cat.title)
    ]


def test_results_in_answer_of_scripts() -> None:
    cats = [
        ImageResult(f"https://h.example/{n}.jpg?a=1&b=2", "https://b.example/", "A cat")
        for n in "ab"
    ]
    data = ",".join(map(entry, cats))
    expected = tuple(
        GoogleResult(cat.url, 640, 480, cat.page, cat.title) for cat in cats
    )
    for answer in (
        rpc_answer(f"[{data}]"),
        f"[{data}]",
        page(script(cats)),
        rpc_answer(page(script(cats))),
        # Without lines, in several lines, with JSON in the JSON, and as an argument.
        f")]}}'900{json.dumps([['wrb.fr', 'x', f'[{data}]']])}",
        json.dumps({"d": ")]}'\n" + f"[{data}]"}, indent=2),
        rpc_answer(json.dumps([1, json.dumps(f"[{data}]")])),
        f"google.load({json.dumps(script(cats))});",
    ):
        assert parse_answer(answer) == expected
    assert (
        parse_answer("")
        == parse_answer("[" * 5000)
        == parse_answer(")]}'\n[1,\n[2]")
        == ()
    )


@pytest.mark.parametrize("attribute", ["data-docid", "data-tbnid", "data-ri"])
def test_tiles_are_counted_once(attribute: str) -> None:
    tiles = "".join(
        f"<div {attribute}='{n}'><a {attribute}='{n}'></a></div>" for n in range(112)
    )
    assert count_tiles(f"<body>{tiles}</body>") == 112
    assert count_tiles("") == 0


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
            GooglePage(
                SEARCH,
                "",
                "Your search - not a robot - did not match any\nimage results.",
            ),
            "none",
        ),
        (
            GooglePage("https://www.google.com/sorry/index?continue=x", "", "", 429),
            "captcha",
        ),
        (GooglePage("http://127.0.0.1:1/g/sorry/", "", ""), "captcha"),
        (
            GooglePage(SEARCH, "", "Our systems have detected unusual traffic"),
            "captcha",
        ),
        (GooglePage(SEARCH, "<form id='captcha-form'>", ""), "captcha"),
        (GooglePage(SEARCH, "<a href='/sorry/index'>moved</a>", ""), "captcha"),
        (GooglePage("https://consent.google.com/ml?continue=x", "", ""), "consent"),
        (GooglePage(SEARCH, "", "Before you continue to Google"), "consent"),
        (GooglePage(SEARCH, FORM, ""), "consent"),
        (GooglePage(SEARCH, "", "", 429), "refused"),
        (GooglePage(SEARCH, "", "This page is not working", 503), "refused"),
        (
            GooglePage(SEARCH, "<noscript>enablejs</noscript>", "Loading", 200),
            "unknown",
        ),
    ],
)
def test_page_classification(view: GooglePage, expected: str) -> None:
    assert classify_page(view) == expected


# The search URL, built by the package


def url_parameters(**options: str) -> dict[str, str]:
    pytest.importorskip("google_images_download")
    settings = SOURCE.settings(Query("x", options=options))
    address = build_search_url("cats, dogs & Größe", settings)
    return {
        name: values[0] for name, values in parse_qs(urlsplit(address).query).items()
    }


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
    ],
)
def test_filters_are_sent_as_google_parameters(name: str, word: str, tbs: str) -> None:
    assert url_parameters(**{name: word})["tbs"] == tbs


# Proxies


@pytest.mark.parametrize(
    ("variables", "switches"),
    [
        ({}, ["--no-proxy-server"]),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ["--no-proxy-server"]),
        (
            {
                "HTTP_PROXY": "http://a:1",
                "https_proxy": "b:2",
                "NO_PROXY": ".x.org, y.org,10.0.0.0/8",
            },
            [
                "--proxy-server=http=http://a:1;https=http://b:2",
                "--proxy-bypass-list=<-loopback>;x.org;*.x.org;y.org;*.y.org;10.0.0.0/8",
            ],
        ),
    ],
)
def test_proxy_variables_become_chrome_switches(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], switches: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert list_proxy_switches() == switches


def test_proxy_with_password_raises_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@p:1")
    with pytest.raises(UsageError, match="proxy p") as caught:
        list_proxy_switches()
    assert "secret" not in str(caught.value)
