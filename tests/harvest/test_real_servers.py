"""What real hosts do and browsers cope with: cookies, interim responses, Referer, odd encodings."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import JPEG, FaultyServer, Handler, download

from gleanset.errors import InputUnusable, Unreadable
from harvest.http import Client, DownloadLimits
from harvest.http.urls import get_required_referer, normalize_url
from harvest.lists import ListOptions, read_gallery_dl, read_list

QUICK = DownloadLimits(max_bytes=1_000_000, backoff=0.01, max_wait=5)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK, allow_private=True) as client:
        yield client


@pytest.mark.parametrize(
    ("written", "host"),
    [
        # As Chrome and Firefox ask for them (https://www.unicode.org/reports/tr46/).
        ("faß.de", "xn--fa-hia.de"),
        ("FASS.de", "fass.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("ΒΌΛΟΣ.com", "xn--nxasmq6b.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("日本語。ｊｐ", "xn--wgv71a119e.jp"),
        ("i❤.ws", "xn--i-7iq.ws"),
        ("фото_1.example.com", "xn--_1-emcatk.example.com"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("１２７.0.0.1", "127.0.0.1"),
    ],
)
def test_hosts_beyond_ascii_are_encoded_as_in_browsers(written: str, host: str) -> None:
    assert (
        normalize_url(f"http://u@{written}:8080/a.png") == f"http://{host}:8080/a.png"
    )
    assert normalize_url(f"http://{host}/") == f"http://{host}/"


def with_cookie(h: Handler) -> None:
    if "tok=abc" in h.headers.get("Cookie", ""):
        h.answer(200, JPEG)
    else:
        h.answer(403)


def test_cookie_of_a_redirect_is_sent_to_its_target(
    client: Client, site: FaultyServer
) -> None:
    def loop(h: Handler) -> None:
        if "tok=abc" in h.headers.get("Cookie", ""):
            h.answer(200, JPEG)
        else:
            h.answer(302, Location="/loop-once", Set_Cookie="tok=abc; Path=/; HttpOnly")

    site.behaviours["/loop-once"] = loop
    site.behaviours["/with-cookie"] = with_cookie
    site.behaviours["/gate"] = lambda h: h.answer(
        302, Location="/with-cookie", Set_Cookie="tok=abc; Path=/"
    )
    site.behaviours["/secure-gate"] = lambda h: h.answer(
        302, Location="/with-cookie", Set_Cookie="tok=abc; Path=/; Secure"
    )
    site.behaviours["/other-path-gate"] = lambda h: h.answer(
        302, Location="/with-cookie", Set_Cookie="tok=abc; Path=/album"
    )
    other_host = site.url.replace("127.0.0.1", "localhost")
    site.behaviours["/foreign-gate"] = lambda h: h.answer(
        302, Location=f"{other_host}/with-cookie", Set_Cookie="tok=abc; Path=/"
    )
    assert download(client, f"{site.url}/loop-once") == JPEG
    assert download(client, f"{site.url}/gate") == JPEG
    for path in ("/secure-gate", "/other-path-gate", "/foreign-gate", "/with-cookie"):
        with pytest.raises(Unreadable, match="403"):
            download(client, site.url + path)


@pytest.mark.parametrize(
    "path",
    ["/announced-gzip", "/gzip-picture", "/announced-deflate", "/deflated-picture"],
)
def test_announced_encoding_may_be_missing(
    client: Client, site: FaultyServer, path: str
) -> None:
    assert download(client, site.url + path) == JPEG
    assert site.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "interim", [(103,), (102,), (100,), (100, 103), (103, 103, 100), (199,)], ids=str
)
def test_interim_responses_are_skipped(
    client: Client, site: FaultyServer, interim: tuple[int, ...]
) -> None:
    def hints(h: Handler) -> None:
        for status in interim:
            h.wfile.write(
                b"HTTP/1.1 %d X\r\nLink: </s.css>; rel=preload\r\n\r\n" % status
            )
        h.answer(200, JPEG)

    site.behaviours["/hints"] = hints
    assert download(client, f"{site.url}/hints") == JPEG
    assert download(client, f"{site.url}/picture.jpg") == JPEG


@pytest.mark.parametrize(
    "status", [408, 425, 520, 521, 522, 523, 524, 525, 526, 527, 530]
)
def test_temporary_statuses_are_retried(
    client: Client, site: FaultyServer, status: int
) -> None:
    def once(h: Handler) -> None:
        if h.count() == 1:
            h.answer(status)
        else:
            h.answer(200, JPEG)

    site.behaviours["/once"] = once
    assert download(client, f"{site.url}/once") == JPEG


def test_page_of_a_list_is_sent_as_referer(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        "url,source page\nhttp://h/1.jpg,http://h/post/1\nhttp://h/2.jpg,\n"
    )
    options = ListOptions(columns={"page": "source page"})
    pages = [candidate.referer for candidate in read_list(path, options)]
    assert pages == ["http://h/post/1", None]


def test_required_referers() -> None:
    for host in ("i.pximg.net", "I-F.PXIMG.NET:443"):
        assert get_required_referer(f"https://{host}/1.png") == "https://www.pixiv.net/"
    assert get_required_referer("https://notpximg.net/1.png") is None


def pixiv_work(number: int, **more: object) -> list[object]:
    work = {"category": "pixiv", "id": number, "tags": ["cat"], "title": "t", **more}
    return [3, f"https://i.pximg.net/img-original/img/{number}_p0.png", work]


def test_works_of_pixiv_have_their_page(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    private = {"_http_headers": {"Referer": "https://a.example/"}}
    path.write_text(json.dumps([[2, {}], pixiv_work(7), pixiv_work(8, **private)]))
    first, second = read_gallery_dl(path)
    assert first.origin.page_url == first.referer == "https://www.pixiv.net/artworks/7"
    assert second.referer == "https://a.example/"


def test_json_lines_of_gallery_dl_are_read(tmp_path: Path) -> None:
    messages = [[2, {"category": "pixiv"}], pixiv_work(1), pixiv_work(2)]
    lines = "".join(f"{json.dumps(message)}\n" for message in messages)
    for name in ("l.jsonl", "l.json"):
        (tmp_path / name).write_text(lines)
        assert [c.origin.post for c in read_list(tmp_path / name)] == [
            "pixiv:1",
            "pixiv:2",
        ]
    (tmp_path / "l.jsonl").write_text(
        lines + json.dumps([6, "https://a.example/g", {}])
    )
    with pytest.raises(InputUnusable, match="1 entries"):
        list(read_list(tmp_path / "l.jsonl"))
    # Nothing was found; and several calls that were written to one file.
    (tmp_path / "l.json").write_text("[]\n")
    assert list(read_list(tmp_path / "l.json")) == []
    (tmp_path / "l.json").write_text(
        json.dumps(messages, indent=2) + json.dumps(messages[1:2])
    )
    assert len(list(read_list(tmp_path / "l.json"))) == 3


def test_other_addresses_of_an_image_are_skipped(tmp_path: Path) -> None:
    """As `gallery-dl -G` writes them."""
    (tmp_path / "l.txt").write_text(
        "https://h/1.png\n| https://h/1.jpg\nhttps://h/2.png\n"
    )
    assert [c.url for c in read_list(tmp_path / "l.txt")] == [
        "https://h/1.png",
        "https://h/2.png",
    ]
