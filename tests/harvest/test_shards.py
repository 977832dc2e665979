"""Lists of URLs straight into shards: a real server that misbehaves, kills, a full disk."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow.parquet as pq
import pytest
from faulty_server import FaultyServer, Handler
from PIL import Image
from test_urls import BAD, MAY_PASS, QUICK, noise, write_list
from tools_for_tests import Ran, command, eventually, picture, python_path, run_here

from gleanset import Dataset
from gleanset.files.shards import ShardFormat, ShardSize
from gleanset.files.store import sha256_of
from harvest.downloads import DownloadRun
from harvest.http import Client
from harvest.shard_folder import ShardOptions
from harvest.shards import RowsOfLists, harvest_to_shards

SECONDS = {"GLEANSET_NET_SECONDS": "3"}


@pytest.fixture
def shop(site: FaultyServer) -> FaultyServer:
    """`/good/N.jpg` is a picture of its own, `/twin/N.jpg` another address of the same bytes."""

    def otherwise(h: Handler) -> None:
        folder, _, name = h.path.partition("?")[0].rpartition("/")
        if folder in ("/good", "/twin"):
            h.answer(200, picture(int(name.removesuffix(".jpg"))), Content_Type="image/jpeg")
        elif folder == "/noise":
            h.answer(200, noise(h.path))
        else:
            h.answer(404, b"no")

    site.otherwise = otherwise
    site.behaviours["/half.jpg"] = lambda h: h.answer(200, picture(7, (300, 300))[:3000])
    site.behaviours["/text.jpg"] = lambda h: h.answer(200, b"plain text", Content_Type="image/jpeg")
    site.behaviours["/bomb.png"] = lambda h: h.answer(200, bomb(), Content_Type="image/png")
    return site


def bomb() -> bytes:
    """A small file that says it has 400 million pixels."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


def line_for(urls: Path, out: Path, *more: str) -> tuple[str | Path, ...]:
    return ("urls", urls, "--shards", out, "--allow-private", "--json", *more)


def shards(urls: Path, out: Path, *more: str) -> Ran:
    done = run_here("harvest.cli", *line_for(urls, out, *more), cwd=out.parent, **SECONDS)
    assert done.code == 0, done.stderr
    return done


def inside(out: Path) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Name, bytes and facts of each picture in the shards of a folder."""
    rows: list[tuple[str, bytes, dict[str, Any]]] = []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        facts = {name[:-5]: json.loads(files[name]) for name in files if name.endswith(".json")}
        rows += [
            (name, data, facts[name.partition(".")[0]])
            for name, data in files.items()
            if not name.endswith(".json")
        ]
    for path in sorted(out.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            image = row.pop("image")
            rows.append((image["path"], image["bytes"], row))
    return rows


def rejected(out: Path) -> dict[int, tuple[str, str]]:
    lines = map(json.loads, (out / "rejected.jsonl").read_text().splitlines())
    return {one["row"]: (one["url"], one["reason"]) for one in lines}


def assert_each_once(out: Path, seeds: range) -> None:
    """Every picture is there once, and the bytes are those that were sent."""
    names = Counter(sha256_of(data) for _, data, _ in inside(out))
    assert names == Counter(sha256_of(picture(seed)) for seed in seeds)


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_what_is_no_picture_is_in_no_shard_and_named_by_its_row(
    shop: FaultyServer, tmp_path: Path, form: ShardFormat
) -> None:
    bad = {**BAD, "/bomb.png": "too large"}
    paths = [*(f"/good/{n}.jpg" for n in range(5)), *bad, "/twin/3.jpg", "/good/1.jpg"]
    rows = RowsOfLists((write_list(tmp_path / "l", shop, *paths),), None, {})
    options = ShardOptions(out := tmp_path / "out", ShardSize(pictures=2), form)

    def harvest() -> dict[str, object]:
        run = DownloadRun(lambda: Client(QUICK, allow_private=True))
        return harvest_to_shards(rows, options, run, 8)

    done = harvest()
    assert (done["added"], done["duplicate"], done["rejected"]) == (5, 2, len(bad))
    assert done["shards"] == 3
    assert_each_once(out, range(5))
    expected = {row: path for row, path in enumerate(paths, start=1) if path in bad}
    assert rejected(out) == {row: (shop.url + p, bad[p]) for row, p in expected.items()}
    assert not list(out.glob(".partial*"))
    again = harvest()
    assert (again["added"], again["rejected"]) == (0, len(MAY_PASS))
    assert again["known"] == len(paths) - len(MAY_PASS)
    for path in MAY_PASS:
        shop.behaviours[path] = lambda h: h.answer(200, picture(77))
    passed = harvest()
    assert (passed["added"], passed["duplicate"]) == (1, len(MAY_PASS) - 1)
    assert {path for path, _ in rejected(out).values()} == {
        shop.url + path for path in bad.keys() - MAY_PASS
    }


def test_what_a_table_says_goes_with_the_picture(shop: FaultyServer, tmp_path: Path) -> None:
    urls = tmp_path / "list.csv"
    urls.write_text(
        f"url,LICENSE,TEXT,who\n{shop.url}/good/1.jpg,CC0,a cat,Ana\n{shop.url}/good/2.jpg,,,\n"
    )
    columns = ("--column", "licence=LICENSE", "--column", "caption=TEXT", "--column", "author=who")
    shards(urls, out := tmp_path / "out", *columns, "--label", "cat")
    facts = {row["row"]: (name, row) for name, _, row in inside(out)}
    name, first = facts[1]
    assert name == f"{first['sha256']}.jpg"
    told = {key: first[key] for key in ("licence", "title", "author", "label", "url")}
    assert told == {
        "licence": "CC0",
        "title": "a cat",
        "author": "Ana",
        "label": "cat",
        "url": f"{shop.url}/good/1.jpg",
    }
    assert (first["width"], first["height"], first["format"]) == (64, 48, "JPEG")
    assert len(first["phash"]) == 16
    assert facts[2][1]["licence"] == ""
    manifest = json.loads((out / "000000.json").read_text())
    assert manifest["licences"] == {"CC0": 1, "unknown": 1}
    assert manifest["rows"] == [[1, 2]]


def test_killed_twice_every_picture_is_there_once(shop: FaultyServer, tmp_path: Path) -> None:
    good, left, killed = shop.otherwise, 0, threading.Event()

    def so_many(h: Handler) -> None:
        nonlocal left
        with shop.lock:
            left -= 1
        if left < 0:
            killed.wait(60)
        good(h)

    shop.otherwise = so_many
    paths = [f"/good/{n}.jpg" for n in range(120)]
    paths[10:10] = [f"/twin/{n}.jpg" for n in range(0, 120, 3)]
    paths += ["/nothing", "/half.jpg", "/text.jpg"]
    urls = write_list(tmp_path / "l", shop, *paths)
    out = tmp_path / "out"
    line = command("harvest.cli", *line_for(urls, out, "--shard-size", "15"))
    environment = {
        **os.environ,
        **SECONDS,
        "PYTHONPATH": python_path(),
        "GLEANSET_NET_THREADS": "4",
    }
    whole: dict[str, bytes] = {}
    for answers, number in ((50, 2), (90, 4)):
        left = answers
        killed.clear()
        process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path)
        assert eventually(lambda wanted=number: len(list(out.glob("*.json"))) >= wanted)
        process.kill()
        process.wait()
        killed.set()
        for path in out.glob("0*.json"):
            data = out.joinpath(path.with_suffix(".tar").name).read_bytes()
            assert whole.setdefault(path.name, data) == data, "a shard that counts changed"
    (out / "000099.tar").write_bytes(b"whole, and of no manifest")
    left = len(paths)
    done = shards(urls, out, "--shard-size", "15").json
    assert_each_once(out, range(120))
    assert dict(rejected(out).values()) == {
        f"{shop.url}/nothing": "http 404",
        f"{shop.url}/half.jpg": "truncated",
        f"{shop.url}/text.jpg": "not an image",
    }
    assert done["known"] + done["added"] + done["duplicate"] + done["rejected"] == len(paths)
    assert done["known"] >= 4 * 15
    for name, data in whole.items():
        assert (out / name).with_suffix(".tar").read_bytes() == data
    assert [path.name for path in out.iterdir() if path.name.startswith(".partial")] == []
    # Beside what was under way, of a shard that was open at a kill all is asked for again.
    assert len(shop.asked) <= len(paths) + 2 * (2 * 15 + 2 * 8)


def test_a_shard_that_was_lost_or_cut_is_fetched_again(shop: FaultyServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l", shop, *(f"/good/{n}.jpg" for n in range(12)))
    shards(urls, out := tmp_path / "out", "--shard-size", "4")
    (out / "000001.tar").unlink()
    (out / "000002.tar").write_bytes((out / "000002.tar").read_bytes()[:-512])
    done = shards(urls, out, "--shard-size", "4").json
    assert (done["known"], done["added"], done["shards"]) == (4, 8, 3)
    assert_each_once(out, range(12))


def test_an_interrupt_keeps_what_was_written(shop: FaultyServer, tmp_path: Path) -> None:
    shop.behaviours["/hang"] = lambda h: time.sleep(50)
    paths = [*(f"/good/{n}.jpg" for n in range(6)), *(f"/hang?{n}" for n in range(10))]
    urls = write_list(tmp_path / "l", shop, *paths)
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("harvest.cli", *line_for(urls, out)),
        env={**os.environ, "PYTHONPATH": python_path(), "GLEANSET_NET_PER_HOST": "12"},
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert eventually(lambda: len(shop.asked) >= len(paths))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert_each_once(out, range(6))
    assert rejected(out) == {}, "nothing was wrong with them"


def test_an_interrupt_while_a_picture_is_written_keeps_those_of_its_shard(
    shop: FaultyServer, tmp_path: Path
) -> None:
    urls = write_list(tmp_path / "l", shop, *(f"/good/{n}.jpg" for n in range(12)))
    written = count()

    def press(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "addfile" and next(written) == 6:
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(press)
    try:
        ended = run_here("harvest.cli", *line_for(urls, out := tmp_path / "out"))
    finally:
        sys.setprofile(None)
    assert ended.code == 130
    assert len(inside(out)) == 4
    assert shards(urls, out).json["known"] == 4
    assert_each_once(out, range(12))


def test_a_full_disk_leaves_no_part_and_the_same_command_goes_on(
    small_disk: Callable[[str], Path], shop: FaultyServer, tmp_path: Path
) -> None:
    disk = small_disk("size=1m")
    filler = disk / "filler"
    filler.write_bytes(bytes(400_000))
    urls = write_list(tmp_path / "l", shop, *(f"/noise/{n}.png" for n in range(16)))
    line = line_for(urls, out := disk / "out", "--shard-size", "4")
    full = run_here("harvest.cli", *line, cwd=tmp_path)
    assert full.code == 3, full.stderr
    assert "no space left" in full.stderr
    assert len(inside(out)) == 4 * len(list(out.glob("*.tar"))) < 16
    filler.unlink()
    urls_of = [row["url"] for _, _, row in inside(out)]
    assert run_here("harvest.cli", *line, cwd=tmp_path).code == 0
    found = Counter(row["url"] for _, _, row in inside(out))
    assert found == Counter(f"{shop.url}/noise/{n}.png" for n in range(16))
    assert set(urls_of) <= found.keys()


def test_hosts_are_asked_politely_and_their_wishes_kept(shop: FaultyServer, tmp_path: Path) -> None:
    shop.behaviours["/robots.txt"] = lambda h: h.answer(200, b"User-agent: *\nDisallow: /good/2")
    shop.behaviours["/good/4.jpg"] = lambda h: h.answer(200, picture(4), X_Robots_Tag="noai")
    urls = write_list(tmp_path / "l", shop, *(f"/good/{n}.jpg" for n in range(10)))
    shards(urls, out := tmp_path / "out")
    assert {path.removeprefix(shop.url): why for path, why in rejected(out).values()} == {
        "/good/2.jpg": "robots.txt disallows",
        "/good/4.jpg": "robots tag noai",
    }
    assert "/good/2.jpg" not in shop.asked
    assert shop.most_running <= 6
    assert len(inside(out)) == 8


def test_rows_come_into_the_catalogue_only_where_asked(shop: FaultyServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l", shop, "/good/1.jpg", "/good/2.jpg", "/nothing")
    shards(urls, tmp_path / "a", "-d", str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()
    assert not list(tmp_path.rglob("catalog.sqlite"))
    shards(urls, out := tmp_path / "b", "-d", str(tmp_path / "d"), "--catalogue")
    with Dataset.open(tmp_path / "d") as dataset:
        taken = {image.sha256 for image in dataset.images.each()}
        assert taken == {sha256_of(data) for _, data, _ in inside(out)}
        assert [r.reason for r in dataset.rejections.each()] == ["http 404"]
        for image in dataset.images.each():
            assert dataset.image_path(image.sha256, image.format).is_file()


def test_a_limit_counts_the_pictures_of_all_runs(shop: FaultyServer, tmp_path: Path) -> None:
    paths = ["/good/1.jpg", "/nothing", "/twin/1.jpg", *(f"/good/{n}.jpg" for n in range(2, 30))]
    urls = write_list(tmp_path / "l", shop, *paths)
    shards(urls, out := tmp_path / "out", "--limit", "5")
    assert_each_once(out, range(1, 6))
    asked = len(shop.asked)
    shards(urls, out, "--limit", "5")
    assert len(shop.asked) == asked
    shown = shards(urls, out, "--limit", "8", "--simulate")
    assert (shown.json["candidates"], len(shop.asked)) == (3, asked)
    shards(urls, out, "--limit", "8")
    assert_each_once(out, range(1, 9))


def test_what_cannot_be_is_said_with_the_mend(shop: FaultyServer, tmp_path: Path) -> None:
    urls = write_list(tmp_path / "l", shop, "/good/1.jpg")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    wrong = [
        (("--shards", mine), 3, "name a new folder"),
        (("--shards", "s3://bucket/x"), 2, "written into a folder"),
        (("--format", "parquet"), 2, "add --shards OUT"),
        (("--shards", tmp_path / "x", "--on", "ray://h:1"), 2, "leave --on out"),
        (("--shards", tmp_path / "x", "--shard-size", "1XB"), 2, "500MB"),
    ]
    for options, code, words in wrong:
        done = run_here("harvest.cli", "urls", urls, *options, cwd=tmp_path)
        assert (done.code, words in done.stderr) == (code, True), done.stderr
    assert (mine / "letter.txt").read_text() == "dear"
    assert not (tmp_path / "x").exists()
    shards(urls, out := tmp_path / "out")
    urls.write_text(urls.read_text() + f"{shop.url}/good/2.jpg\n")
    other = run_here("harvest.cli", *line_for(urls, out), cwd=tmp_path)
    assert (other.code, "begun with other lists" in other.stderr) == (3, True), other.stderr
