"""Lists of URLs: tables, gallery-dl, img2dataset, and a real server that misbehaves."""

import csv
import gzip
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_server import NO_COUNTS, FaultyServer, Handler
from tools_for_tests import eventually, make_archive, picture, run_here, start_cli

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable, MissingComponent
from gleanset.installation import install_command
from gleanset.settings import NetSettings, Settings
from harvest.downloads import DownloadRun, harvest_urls
from harvest.http import Client, DownloadLimits
from harvest.lists import (
    MAX_LINE_CHARS,
    ListOptions,
    check_list,
    read_gallery_dl,
    read_list,
    read_rows,
)

QUICK = DownloadLimits(max_bytes=1_000_000, retries=1, backoff=0.01, max_wait=0.1)
GOOD = {f"/good/{n}.jpg" for n in range(12)} | {
    "/chunked",
    "/gzip-picture",
    "/moved-good",
}
BAD = {
    "/nothing": "http 404",
    "/forbidden": "http 403",
    "/always-500": "http 500",
    "/always-429": "http 429",
    "/reset": "cut off",
    "/reset-at-once": "connection failed",
    "/wrong-length": "cut off",
    "/endless": "too large",
    "/announced": "too large",
    "/gzip-bomb": "too large",
    "/bad-gzip": "cut off",
    "/html.jpg": "not an image",
    "/drawing.svg": "not an image",
    "/empty": "empty",
    "/loop": "bad redirect",
    "/to-file": "bad redirect",
    "/nowhere": "http 302",
    "/half.jpg": "truncated",
    "/text.jpg": "not an image",
}

# URLs that a run retries.
RETRIED = {"/always-500", "/always-429", "/reset", "/reset-at-once", "/wrong-length"}
# URLs that a second and a third run retry.
TEMPORARY = RETRIED | {"/bad-gzip"}


def serve_images(site: FaultyServer) -> None:
    def otherwise(h: Handler) -> None:
        folder, _, name = h.path.rpartition("/")
        if folder == "/good":
            h.answer(
                200, picture(int(name.removesuffix(".jpg"))), Content_Type="image/jpeg"
            )
        else:
            h.answer(404, b"no")

    site.otherwise = otherwise
    site.behaviours["/moved-good"] = lambda h: h.answer(301, Location="/good/100.jpg")
    site.behaviours["/half.jpg"] = lambda h: h.answer(
        200, picture(7, (300, 300))[:3000]
    )
    site.behaviours["/text.jpg"] = lambda h: h.answer(
        200, b"plain text", Content_Type="image/jpeg"
    )


@pytest.fixture
def pictures(site: FaultyServer) -> FaultyServer:
    serve_images(site)
    return site


def write_list(path: Path, site: FaultyServer, *lines: str) -> Path:
    text = "\n".join(
        site.url + line if line.startswith("/") else line for line in lines
    )
    path.write_text(text + "\n", encoding="utf-8")
    return path


def harvest(
    dataset: Dataset, *files: Path, limits: DownloadLimits = QUICK, **options: object
) -> dict[str, object]:
    return harvest_urls(
        dataset,
        files,
        DownloadRun(lambda: Client(limits, allow_private=True)),
        **options,  # type: ignore[arg-type]
    ).to_json()


def stored_urls(dataset: Dataset, site: FaultyServer) -> set[str]:
    return {
        str(origin.url).removeprefix(site.url)
        for image in dataset.images.iterate()
        for origin in image.origins
    }


def rejected(dataset: Dataset, site: FaultyServer) -> dict[str, str]:
    return {
        r.item.removeprefix(site.url): r.reason for r in dataset.rejections.iterate()
    }


def test_repeated_url_is_requested_once(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path
) -> None:
    often = [
        path for _ in range(60) for path in ("/slow-picture", "/always-500", "/nothing")
    ]
    lines = [
        f"{pictures.url}{path}\tname{number}\n" for number, path in enumerate(often)
    ]
    urls = tmp_path / "list.txt"
    urls.write_text("".join(lines))
    result = harvest(dataset, urls)
    assert pictures.hits["/slow-picture"] == pictures.hits["/nothing"] == 1
    assert pictures.hits["/always-500"] == 1 + QUICK.retries
    assert (result["added"], result["rejected"], result["known"]) == (1, 2, 177)
    hints = {
        origin.hint for image in dataset.images.iterate() for origin in image.origins
    }
    assert hints == {f"name{number}" for number in range(0, 180, 3)}


def test_mixed_list_is_imported_with_rejections(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path
) -> None:
    mixed = [
        path for pair in zip(sorted(GOOD), list(BAD), strict=False) for path in pair
    ]
    rest = [path for path in [*GOOD, *BAD] if path not in mixed]
    urls = write_list(tmp_path / "list.txt", pictures, *mixed, *rest)
    result = harvest(dataset, urls)
    assert (rejected(dataset, pictures), stored_urls(dataset, pictures)) == (BAD, GOOD)
    # The chunked and the compressed image have the same bytes.
    assert (result["added"], result["duplicate"]) == (len(GOOD) - 1, 1)
    assert result["rejected"] == len(BAD)
    assert sum(result["reasons"].values()) == len(BAD)
    for image in dataset.images.iterate():
        assert (
            dataset.image_path(image.sha256, image.format).stat().st_size == image.bytes
        )
    attempts = {path: pictures.hits[path] for path in BAD if path != "/loop"}
    assert attempts == {
        path: 1 + QUICK.retries * (path in RETRIED) for path in attempts
    }
    assert pictures.hits["/loop"] == 1 + QUICK.max_redirects

    for _ in range(2):
        before = {path: pictures.hits[path] for path in {*GOOD, *BAD} - TEMPORARY}
        second = harvest(dataset, urls)
        assert {path: pictures.hits[path] for path in before} == before
        assert (second["known"], second["rejected"]) == (len(before), len(TEMPORARY))
    count = len(pictures.requests)
    second = harvest(dataset, urls)
    assert len(pictures.requests) == count, "after three tries a run makes no request"
    assert second == NO_COUNTS | {"known": len(GOOD) + len(BAD)}


@pytest.mark.parametrize("threads", [1, 8])
def test_limit_counts_distinct_images(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path, threads: int
) -> None:
    dataset.settings = Settings(net=NetSettings(threads=threads))
    paths = ["/good/1.jpg", "/nothing", "/good/1.jpg?again", "/good/2.jpg", "/html.jpg"]
    pictures.behaviours["/good/1.jpg"] = lambda h: h.answer(200, picture(1))
    urls = write_list(
        tmp_path / "l", pictures, *paths, *(f"/good/{n}.jpg" for n in range(3, 60))
    )
    result = harvest(dataset, urls, limit=5)
    assert dataset.images.count() == 5
    assert (result["added"], result["duplicate"], result["rejected"]) == (5, 1, 2)
    # No more than needed: those five are the first five good ones of the list.
    assert len(pictures.requests) == 8
    assert stored_urls(dataset, pictures) == {
        "/good/1.jpg",
        "/good/1.jpg?again",
        *(f"/good/{n}.jpg" for n in range(2, 6)),
    }
    count = len(pictures.requests)
    harvest(dataset, urls, limit=5)
    assert len(pictures.requests) == count
    harvest(dataset, urls, limit=7)
    assert (dataset.images.count(), len(pictures.requests)) == (7, count + 2)


def test_tab_separated_weak_labels(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path
) -> None:
    urls = write_list(
        tmp_path / "l",
        pictures,
        "/good/1.jpg\tcat",
        "  /good/2.jpg  ".strip() + "\t two words ",
        "/good/3.jpg",
        "",
        "# a comment",
        "/good/4.jpg\t",
        "   ",
    )
    assert harvest(dataset, urls, options=ListOptions("other"))["added"] == 4
    hints = {
        str(o.url)[-5]: o.hint
        for image in dataset.images.iterate()
        for o in image.origins
    }
    assert hints == {"1": "cat", "2": "two words", "3": "other", "4": "other"}


def test_encodings_and_line_endings(tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes("\ufeffhttp://h/1.jpg\tKatze\r\nhttp://h/ü.jpg\r\n".encode())
    result = [(c.url, c.origin.hint) for c in read_list(path)]
    assert result == [("http://h/1.jpg", "Katze"), ("http://h/ü.jpg", None)]
    path.write_bytes("http://h/ü.jpg\tКошка\n".encode("utf-16"))
    assert [(c.url, c.origin.hint) for c in read_list(path)] == [
        ("http://h/ü.jpg", "Кошка")
    ]


def test_invalid_urls_are_rejected(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(
        "cat.jpg\nftp://h/x.jpg\nhttp://\nhttp://[::1/x\n" + "x" * 9000
    )
    assert harvest(dataset, tmp_path / "l")["reasons"] == {"bad url": 5}


def test_harvest_resumes_after_kill(pictures: FaultyServer, tmp_path: Path) -> None:
    slow = pictures.otherwise

    def slowly(h: Handler) -> None:
        time.sleep(0.05)
        slow(h)

    pictures.otherwise = slowly
    urls = write_list(tmp_path / "l", pictures, *(f"/good/{n}.jpg" for n in range(60)))
    line = (
        "urls",
        urls,
        "-d",
        tmp_path / "d",
        "--allow-private",
        "--json",
        "--limit",
        "40",
    )
    process = start_cli("harvest.cli", *line)
    assert eventually(lambda: len(pictures.requests) >= 15)
    process.kill()
    process.wait()
    run_here("harvest.cli", *line).checked()
    with Dataset.open(tmp_path / "d") as dataset:
        assert stored_urls(dataset, pictures) == {f"/good/{n}.jpg" for n in range(40)}
    # Only downloads in progress at the kill may be requested twice.
    assert len(pictures.requests) <= 40 + 2 * 16


def test_refused_private_address_names_the_option(
    site: FaultyServer, tmp_path: Path
) -> None:
    (tmp_path / "l.txt").write_text(f"{site.url}/1.jpg\n")
    done = run_here("harvest.cli", "urls", tmp_path / "l.txt", "-d", tmp_path / "d")
    assert "private address (allowed by --allow-private): 1" in done.stdout


ROWS = [
    {
        "URL": "/1.jpg",
        "TEXT": 'two "rins", running',
        "BY": "Yuu",
        "L": "CC-BY-4.0",
        "C": "rin",
    },
    {"URL": "/2.jpg", "TEXT": "日本", "BY": None, "L": None, "C": None},
    {
        "URL": None,
        "TEXT": "an address that is missing",
        "BY": None,
        "L": None,
        "C": "rin",
    },
    {"URL": "/3.jpg", "TEXT": None, "BY": "O'Hara", "L": "CC0-1.0", "C": "aoba"},
]
NAMED = {"caption": "TEXT", "author": "BY", "licence": "L", "label": "C", "page": "url"}
WORDS = [word for what in NAMED.items() for word in ("--column", "=".join(what))]


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=2)
    return file.getvalue()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def as_tsv(rows: list[dict[str, Any]]) -> bytes:
    lines = [
        "\t".join(rows[0]),
        *("\t".join(v or "" for v in row.values()) for row in rows),
    ]
    return ("\n".join(lines) + "\n").encode()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "l.parquet": as_parquet,
    "l.csv": as_csv,
    "l.tsv": as_tsv,
}


@pytest.mark.parametrize("name", FORMS)
def test_table_formats_are_equivalent(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMS[name](ROWS))
    options = ListOptions("other", NAMED)
    result = [row.origin for row in read_list(tmp_path / name, options)]
    assert [
        (o.url, o.title, o.author, o.licence, o.hint, o.page_url) for o in result
    ] == [
        ("/1.jpg", 'two "rins", running', "Yuu", "CC-BY-4.0", "rin", "/1.jpg"),
        ("/2.jpg", "日本", None, None, "other", "/2.jpg"),
        ("/3.jpg", None, "O'Hara", "CC0-1.0", "aoba", "/3.jpg"),
    ]


@pytest.mark.parametrize("name", FORMS)
def test_columns_named_like_fields_are_used(tmp_path: Path, name: str) -> None:
    row = {
        "url": "/1.jpg",
        "Label": "rin",
        "author": "Yuu",
        "licence": "CC0-1.0",
        "TEXT": "a",
    }
    (tmp_path / name).write_bytes(FORMS[name]([row]))
    (origin,) = (candidate.origin for candidate in read_list(tmp_path / name))
    assert (origin.hint, origin.author, origin.licence) == ("rin", "Yuu", "CC0-1.0")
    (origin,) = (
        c.origin
        for c in read_list(tmp_path / name, ListOptions(columns={"label": "TEXT"}))
    )
    assert (origin.hint, origin.author) == ("a", "Yuu")


@pytest.mark.parametrize(
    "table",
    [
        "sep=;\nurl;license;page_url\nhttp://h/1.jpg;CC0;http://h/p\n",
        '"sep=|"\r\nURL|License|page\r\nhttp://h/1.jpg|CC0|http://h/p\r\n',
        "\n  \nurl,license,page_url\n\nhttp://h/1.jpg,CC0,http://h/p\n",
        "license,licence,url,page\nno,CC0,http://h/1.jpg,http://h/p\n",
    ],
)
def test_header_in_other_words_and_below_other_lines(
    tmp_path: Path, table: str
) -> None:
    (tmp_path / "l.csv").write_bytes(table.encode())
    [row] = read_rows(tmp_path / "l.csv")
    assert (row.url, row.licence, row.page) == ("http://h/1.jpg", "CC0", "http://h/p")


def test_quoted_addresses_without_header(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('"http://h/1.jpg"\n"http://h/2.jpg"\n')
    urls = [row.url for row in read_rows(tmp_path / "l.csv")]
    assert urls == ["http://h/1.jpg", "http://h/2.jpg"]


def test_unnamed_list_columns_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "l.parquet").write_bytes(
        as_parquet([{"url": "/1.jpg", "label": ["a", "b"]}])
    )
    assert [row.label for row in read_rows(tmp_path / "l.parquet")] == [None]


def test_table_metadata_is_stored(site: FaultyServer, tmp_path: Path) -> None:
    name = "l.parquet"
    for number in (1, 2, 3):
        data = picture(number)
        site.behaviours[f"/{number}.jpg"] = lambda h, data=data: h.answer(200, data)
    rows = [{**row, "URL": row["URL"] and site.url + row["URL"]} for row in ROWS]
    (tmp_path / name).write_bytes(FORMS[name](rows))
    line = (
        "urls",
        tmp_path / name,
        "-d",
        tmp_path / "d",
        "--allow-private",
        "--json",
        *WORDS,
    )
    assert run_here("harvest.cli", *line).json["added"] == 3
    count = len(site.requests)
    assert run_here("harvest.cli", *line).json == NO_COUNTS | {"known": 3}
    assert len(site.requests) == count
    with Dataset.open(tmp_path / "d") as dataset:
        result = {
            o.url: (o.author, o.licence)
            for i in dataset.images.iterate()
            for o in i.origins
        }
    assert result[f"{site.url}/1.jpg"] == ("Yuu", "CC-BY-4.0")


def test_missing_column_error_lists_columns(tmp_path: Path) -> None:
    name = "l.csv"
    (tmp_path / name).write_bytes(FORMS[name](ROWS))
    line = ("urls", tmp_path / name, "-d", tmp_path / "d", "--column", "caption=TEXTS")
    run_here("harvest.cli", *line).refused(
        3, "no column 'TEXTS'; columns: URL, TEXT, BY, L, C", "did you mean TEXT?"
    )
    assert not (tmp_path / "d").exists()


WRONG: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "text named parquet": (
        "l.parquet",
        lambda: b"url\nhttp://h/1.jpg\n",
        "as Parquet: Parquet magic",
    ),
    "truncated parquet": ("l.parquet", lambda: as_parquet(ROWS)[:-20], "as Parquet"),
    "lists in a column": (
        "l.parquet",
        lambda: as_parquet([{"url": ["a", "b"]}]),
        "not single values",
    ),
    "compressed": ("l.txt.gz", lambda: gzip.compress(b"http://h"), "unpack it"),
    "parquet without extension": (
        "l.csv",
        lambda: as_parquet(ROWS),
        "Parquet file .parquet",
    ),
    "NUL bytes": ("l.txt", lambda: b"http://h/1.jpg\n\0\0", "NUL bytes"),
    "long line": ("l.csv", lambda: b"url\n" + b"x" * MAX_LINE_CHARS, "line 2 of"),
    "long cell": (
        "l.parquet",
        lambda: as_parquet([{"url": "x" * MAX_LINE_CHARS}]),
        "cell of row 1",
    ),
    "unclosed quote": (
        "l.csv",
        lambda: b'url\n"' + b"http://h/1.jpg\n" * 80_000,
        "line",
    ),
    "missing header": (
        "l.csv",
        lambda: b"http://h/1.jpg,a cat\n",
        "does not name its columns",
    ),
    "quoted, without header": (
        "l.csv",
        lambda: b'"http://h/1.jpg","a cat"\n',
        "does not name its columns",
    ),
    "empty header": ("l.csv", lambda: b",\nhttp://h/1.jpg,a\n", "no column 'url'"),
    "duplicate columns": ("l.csv", lambda: b"url,url\na,b\n", "several columns"),
}


@pytest.mark.parametrize("what", WRONG)
def test_invalid_list_raises_error(tmp_path: Path, what: str) -> None:
    name, make_list, message = WRONG[what]
    (tmp_path / name).write_bytes(make_list())
    with pytest.raises(InputUnusable) as caught:
        list(read_rows(tmp_path / name))
    assert message in str(caught.value)
    assert name in caught.value.what
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_plain_lists_of_any_extension(tmp_path: Path) -> None:
    for name in ("l.tsv", "l.csv", "l.txt", "l"):
        (tmp_path / name).write_text("http://h/1.jpg\tcat\nhttp://h/2.jpg\n")
        result = [(row.url, row.label) for row in read_rows(tmp_path / name)]
        assert result == [("http://h/1.jpg", "cat"), ("http://h/2.jpg", None)]
    with pytest.raises(GleansetError, match="without columns"):
        check_list(tmp_path / "l.txt", ListOptions(columns={"caption": "TEXT"}))


def test_other_cell_types_become_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "url": pa.array([b"http://h/\xe9", b"b"]),
            "a.b": pa.array(["x", None]).dictionary_encode(),
            "n": [1, 2],
            "s": pa.array(["v", "w"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "l.parquet")
    columns = {"caption": "a.b", "author": "n", "licence": "s", "page": "url"}
    with pytest.raises(
        InputUnusable, match=r"h/.xe9' in .*l.parquet is not text in utf-8"
    ):
        list(read_rows(tmp_path / "l.parquet", ListOptions(columns=columns)))
    assert [
        tuple(row)
        for row in read_rows(
            tmp_path / "l.parquet", ListOptions(None, columns, "cp1252")
        )
    ] == [
        ("http://h/é", None, "x", "v", "1", "http://h/é"),
        ("b", None, None, "w", "2", "b"),
    ]


def test_large_row_group_is_streamed(tmp_path: Path) -> None:
    number = 200_000
    urls = [
        f"http://example.com/{n * 7919 % 1_000_003:09}/{n:060}.jpg"
        for n in range(number)
    ]
    pq.write_table(
        pa.table({"url": urls}), tmp_path / "l.parquet", use_dictionary=False
    )
    del urls
    before = pa.total_allocated_bytes()
    peak = 0
    rows = 0
    for _ in read_rows(tmp_path / "l.parquet"):
        rows += 1
        if rows % 5_000 == 0:
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert rows == number
    assert peak < 8_000_000, "the whole group takes some 18 MB"


def test_missing_pyarrow_error_has_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "l.parquet").write_bytes(as_parquet(ROWS))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingComponent, match="pyarrow") as caught:
        check_list(tmp_path / "l.parquet", ListOptions())
    assert caught.value.fix == install_command("parquet")


RECORDED = Path(__file__).parent / "answers" / "gallery_dl.json"


def write_messages(folder: Path, *messages: Any) -> Path:
    file = folder / "list.json"
    file.write_text(json.dumps(messages), encoding="utf-8")
    return file


def test_gallery_dl_list_is_downloaded_with_metadata(
    site: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RECORDED.read_text(encoding="utf-8")
    first, second = read_gallery_dl(RECORDED, ListOptions("owl"))
    assert (first.width, first.height) == (1201, 900)
    result = first.origin
    assert (result.source, result.key, result.url) == ("urls", first.url, first.url)
    assert (result.hint, result.author, result.rating) == ("owl", "artist_1", "g")
    assert (result.post, second.origin.post) == ("danbooru:7000001", "danbooru:7000002")
    assert result.tags == ("1girl", "owl", "forest", "owl_ears", "night_1")

    for number in (1, 2):
        path = f"/original/00/00/{number:032}.jpg"
        data = picture(number)
        site.behaviours[path] = lambda h, data=data: h.answer(200, data)  # type: ignore[misc]
    list_of_site = text.replace("https://cdn.donmai.us", site.url).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(list_of_site)))
    done = run_here(
        "harvest.cli",
        *(
            "urls",
            "-",
            "--label",
            "owl",
            "-d",
            tmp_path / "d",
            "--allow-private",
            "--json",
        ),
    )
    assert (done.code, done.json["added"]) == (0, 2), done.stderr


def test_images_before_the_error_of_a_list_are_counted(
    site: FaultyServer, tmp_path: Path
) -> None:
    site.behaviours["/1.png"] = lambda h: h.answer(200, picture(1))
    image = [3, f"{site.url}/1.png", {"category": "a", "id": 1}]
    file = write_messages(tmp_path, image, [6, f"{site.url}/gallery", {}])
    options = ("-d", tmp_path / "d", "--allow-private")
    done = run_here("harvest.cli", "urls", file, *options)
    assert (done.code, "let gallery-dl follow them" in done.stderr) == (3, True)
    assert "added: 1" in done.stdout


def test_incomplete_gallery_dl_list_raises_error(tmp_path: Path) -> None:
    image = [3, "https://a.example/1.jpg", {"category": "a", "id": 1}]
    broken = [-1, {"error": "HttpError", "message": "403 Forbidden"}]
    result = read_gallery_dl(write_messages(tmp_path, image, broken))
    assert next(result).url == "https://a.example/1.jpg"
    with pytest.raises(InputUnusable, match="stopped: HttpError: 403"):
        next(result)
    result = read_gallery_dl(
        write_messages(tmp_path, [6, "https://a.example/gallery", {}], image)
    )
    assert next(result).url == "https://a.example/1.jpg"
    with pytest.raises(InputUnusable, match=r"1 entries .* are pages"):
        next(result)


@pytest.mark.parametrize(
    "text", ["{", "{}x", "[1]", '[["a"]]', "[[3]]", "[[3, 1, 2]]", "[" * 9999]
)
def test_other_json_raises_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputUnusable, match="not the JSON of gallery-dl"):
        list(read_gallery_dl(file))


FIELDS = ("url", "key", "status", "error_message", "width", "height", "sha256", "exif")


def metadata(number: int) -> dict[str, object]:
    url = f"https://images.example.org/{number}.jpg?w=1"
    row = dict.fromkeys(FIELDS, None) | {
        "url": url,
        "key": f"{number:09}",
        "status": "success",
    }
    return row | {"caption": f"caption {number}", "author": "Ann" if number else None}


def sample(number: int) -> dict[str, bytes]:
    """Return the files of an image, in the order of a shard."""
    key = f"{number:09}"
    row = metadata(number)
    return {
        f"{key}.jpg": picture(number),
        f"{key}.json": json.dumps(row, indent=4).encode(),
        f"{key}.txt": str(row["caption"]).encode(),
    }


def write_output(folder: Path, form: str) -> Path:
    """Write two shards of two images, as `img2dataset --output_format FORM` does."""
    folder.mkdir()
    for shard in range(2):
        name = f"{shard:05}"
        (folder / f"{name}.parquet").write_bytes(b"PAR1")
        (folder / f"{name}_stats.json").write_text('{"count": 2, "successes": 2}')
        files = sample(2 * shard) | sample(2 * shard + 1)
        if form == "files":
            (folder / name).mkdir()
            for file, data in files.items():
                (folder / name / file).write_bytes(data)
            continue
        make_archive(folder / f"{name}.tar", files)
    return folder


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_img2dataset_metadata_is_imported(form: str, tmp_path: Path) -> None:
    folder = write_output(tmp_path / "out", form)
    root = tmp_path / "d"
    simulated = run_here("harvest.cli", "folder", folder, "-d", root, "--simulate")
    assert simulated.stdout.count(".jpg") == 4
    done = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (done.code, done.json["added"]) == (0, 4), done.stderr
    with Dataset.open(root) as dataset:
        origins = {
            image.origins[0].url: image.origins[0] for image in dataset.images.iterate()
        }
    assert set(origins) == {metadata(number)["url"] for number in range(4)}
    for number in range(4):
        origin = origins[str(metadata(number)["url"])]
        assert origin.title == f"caption {number}"
        assert origin.author == ("Ann" if number else None)
    second = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (second.json["added"], second.json["known"]) == (0, 4)


def test_other_json_files_are_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    root = tmp_path / "d"
    folder.mkdir()
    for number, text in enumerate(
        ['{"url": "https://x.org"}', "[]", "{broken", "[" * 100_000]
    ):
        (folder / f"{number}.jpg").write_bytes(picture(number))
        (folder / f"{number}.json").write_text(text)
    done = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (done.code, done.json["added"]) == (0, 4), done.stderr
    with Dataset.open(root) as dataset:
        assert {image.origins[0].url for image in dataset.images.iterate()} == {None}
