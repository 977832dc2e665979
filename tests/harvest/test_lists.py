"""Tables of URLs as other programs write them: their fields are kept, errors are reported."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_server import FaultyServer
from tools_for_tests import picture, run_here

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable, MissingComponent
from gleanset.installation import install_command
from harvest.lists import MAX_LINE_CHARS, check_list, read_rows
from harvest.urls import read_list

ROWS = [
    {"URL": "/1.jpg", "TEXT": 'two "rins", running', "BY": "Yuu", "L": "CC-BY-4.0", "C": "rin"},
    {"URL": "/2.jpg", "TEXT": "日本", "BY": None, "L": None, "C": None},
    {"URL": None, "TEXT": "an address that is missing", "BY": None, "L": None, "C": "rin"},
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
    lines = ["\t".join(rows[0]), *("\t".join(v or "" for v in row.values()) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "l.parquet": as_parquet,
    "l.csv": as_csv,
    "L.CSV.GZ": lambda rows: gzip.compress(as_csv(rows)),
    "l.tsv": as_tsv,
    "l.tsv.gz": lambda rows: gzip.compress(as_tsv(rows)),
}


@pytest.mark.parametrize("name", FORMS)
def test_table_formats_are_equivalent(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMS[name](ROWS))
    result = [row.origin for row in read_list(tmp_path / name, "other", NAMED)]
    assert [(o.url, o.title, o.author, o.licence, o.hint, o.page_url) for o in result] == [
        ("/1.jpg", 'two "rins", running', "Yuu", "CC-BY-4.0", "rin", "/1.jpg"),
        ("/2.jpg", "日本", None, None, "other", "/2.jpg"),
        ("/3.jpg", None, "O'Hara", "CC0-1.0", "aoba", "/3.jpg"),
    ]


def test_table_metadata_is_stored(site: FaultyServer, tmp_path: Path) -> None:
    name = "l.parquet"
    for number in (1, 2, 3):
        data = picture(number)
        site.behaviours[f"/{number}.jpg"] = lambda h, data=data: h.answer(200, data)
    rows = [{**row, "URL": row["URL"] and site.url + row["URL"]} for row in ROWS]
    (tmp_path / name).write_bytes(FORMS[name](rows))
    line = ("urls", tmp_path / name, "-d", tmp_path / "d", "--allow-private", "--json", *WORDS)
    assert run_here("harvest.cli", *line).json["added"] == 3
    count = len(site.requests)
    assert run_here("harvest.cli", *line).json == {
        "added": 0,
        "duplicate": 0,
        "known": 3,
        "rejected": 0,
    }
    assert len(site.requests) == count
    with Dataset.open(tmp_path / "d") as dataset:
        result = {o.url: (o.author, o.licence) for i in dataset.images.iterate() for o in i.origins}
    assert result[f"{site.url}/1.jpg"] == ("Yuu", "CC-BY-4.0")


def test_missing_column_error_lists_columns(tmp_path: Path) -> None:
    name = "l.csv"
    (tmp_path / name).write_bytes(FORMS[name](ROWS))
    line = ("urls", tmp_path / name, "-d", tmp_path / "d", "--column", "caption=TEXTS")
    done = run_here("harvest.cli", *line)
    assert done.code == 3
    assert "no column 'TEXTS'; columns: URL, TEXT, BY, L, C" in done.stderr
    assert "did you mean TEXT?" in done.stderr
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
    "text named gz": ("l.tsv.gz", lambda: b"url\nhttp://h/1.jpg\n", "not compressed"),
    "damaged gzip": (
        "l.txt.gz",
        lambda: gzip.compress(b"http://h/a" * 99)[:-8] + bytes(8),
        "damaged or cut",
    ),
    "gzip without extension": (
        "l.txt",
        lambda: gzip.compress(b"http://h"),
        "rename it to l.txt.gz",
    ),
    "parquet without extension": ("l.csv", lambda: as_parquet(ROWS), "rename it to l.csv.parquet"),
    "NUL bytes": ("l.txt", lambda: b"http://h/1.jpg\n\0\0", "NUL bytes"),
    "gzip bomb": ("l.txt.gz", lambda: gzip.compress(bytes(5_000_000), 1), "NUL bytes"),
    "long line": ("l.csv", lambda: b"url\n" + b"x" * MAX_LINE_CHARS, "line 2 of"),
    "long cell": (
        "l.parquet",
        lambda: as_parquet([{"url": "x" * MAX_LINE_CHARS}]),
        "cell of row 1",
    ),
    "unclosed quote": ("l.csv", lambda: b'url\n"' + b"http://h/1.jpg\n" * 80_000, "line"),
    "missing header": ("l.csv", lambda: b"http://h/1.jpg,a cat\n", "does not name its columns"),
    "duplicate columns": ("l.csv", lambda: b"url,url\na,b\n", "several columns"),
}


@pytest.mark.parametrize("what", WRONG)
def test_invalid_list_raises_error(tmp_path: Path, what: str) -> None:
    name, made, why = WRONG[what]
    (tmp_path / name).write_bytes(made())
    with pytest.raises(InputUnusable) as caught:
        list(read_rows(tmp_path / name))
    assert why in str(caught.value)
    assert name in caught.value.what
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_plain_lists_of_any_extension(tmp_path: Path) -> None:
    for name in ("l.tsv", "l.csv", "l.txt", "l"):
        (tmp_path / name).write_text("http://h/1.jpg\tcat\nhttp://h/2.jpg\n")
        result = [(row.url, row.label) for row in read_rows(tmp_path / name)]
        assert result == [("http://h/1.jpg", "cat"), ("http://h/2.jpg", None)]
    with pytest.raises(GleansetError, match="without columns"):
        check_list(tmp_path / "l.txt", {"caption": "TEXT"})


def test_other_cell_types_become_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "url": pa.array([b"http://h/\xff", b"b"]),
            "a.b": pa.array(["x", None]).dictionary_encode(),
            "n": [1, 2],
            "s": pa.array(["v", "w"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "l.parquet")
    columns = {"caption": "a.b", "author": "n", "licence": "s", "page": "url"}
    assert [tuple(row) for row in read_rows(tmp_path / "l.parquet", columns)] == [
        ("http://h/\\xff", None, "x", "v", "1", "http://h/\\xff"),
        ("b", None, None, "w", "2", "b"),
    ]


def test_large_row_group_is_streamed(tmp_path: Path) -> None:
    number = 200_000
    urls = [f"http://example.com/{n * 7919 % 1_000_003:09}/{n:060}.jpg" for n in range(number)]
    pq.write_table(pa.table({"url": urls}), tmp_path / "l.parquet", use_dictionary=False)
    del urls
    before = pa.total_allocated_bytes()
    most, rows = 0, 0
    for _ in read_rows(tmp_path / "l.parquet"):
        rows += 1
        if rows % 5_000 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    assert rows == number
    assert most < 8_000_000, "the whole group takes some 18 MB"


def test_missing_pyarrow_error_has_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "l.parquet").write_bytes(as_parquet(ROWS))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingComponent, match="pyarrow") as caught:
        check_list(tmp_path / "l.parquet")
    assert caught.value.fix == install_command("parquet")
