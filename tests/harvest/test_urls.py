"""Lists of URLs with a real server that misbehaves: reasons, limits, weak labels, resuming."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Handler
from tools_for_tests import Ran, eventually, picture, run_here, start_cli

from gleanset import Dataset
from gleanset.settings import NetSettings, Settings
from harvest.downloads import DownloadRun, harvest_urls
from harvest.http import Client, DownloadLimits
from harvest.lists import read_list

QUICK = DownloadLimits(max_bytes=1_000_000, retries=1, backoff=0.01, max_wait=0.1)
GOOD = {f"/good/{n}.jpg" for n in range(12)} | {"/chunked", "/gzip-picture", "/moved-good"}
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
            h.answer(200, picture(int(name.removesuffix(".jpg"))), Content_Type="image/jpeg")
        else:
            h.answer(404, b"no")

    site.otherwise = otherwise
    site.behaviours["/moved-good"] = lambda h: h.answer(301, Location="/good/100.jpg")
    site.behaviours["/half.jpg"] = lambda h: h.answer(200, picture(7, (300, 300))[:3000])
    site.behaviours["/text.jpg"] = lambda h: h.answer(200, b"plain text", Content_Type="image/jpeg")


@pytest.fixture
def pictures(site: FaultyServer) -> FaultyServer:
    serve_images(site)
    return site


def write_list(path: Path, site: FaultyServer, *lines: str) -> Path:
    text = "\n".join(site.url + line if line.startswith("/") else line for line in lines)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def harvest(
    dataset: Dataset,
    *files: Path,
    limits: DownloadLimits = QUICK,
    **options: object,
) -> dict[str, object]:
    return harvest_urls(
        dataset,
        files,
        DownloadRun(lambda: Client(limits, allow_private=True)),
        **options,  # type: ignore[arg-type]
    )


def stored_urls(dataset: Dataset, site: FaultyServer) -> set[str]:
    return {
        str(origin.url).removeprefix(site.url)
        for image in dataset.images.iterate()
        for origin in image.origins
    }


def rejected(dataset: Dataset, site: FaultyServer) -> dict[str, str]:
    return {r.item.removeprefix(site.url): r.reason for r in dataset.rejections.iterate()}


def test_repeated_url_is_requested_once(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path
) -> None:
    often = [path for _ in range(60) for path in ("/slow-picture", "/always-500", "/nothing")]
    lines = [f"{pictures.url}{path}\tname{number}\n" for number, path in enumerate(often)]
    urls = tmp_path / "list.txt"
    urls.write_text("".join(lines))
    result = harvest(dataset, urls)
    assert pictures.hits["/slow-picture"] == pictures.hits["/nothing"] == 1
    assert pictures.hits["/always-500"] == 1 + QUICK.retries
    assert (result["added"], result["rejected"], result["known"]) == (1, 2, 177)
    hints = {origin.hint for image in dataset.images.iterate() for origin in image.origins}
    assert hints == {f"name{number}" for number in range(0, 180, 3)}


def test_mixed_list_is_imported_with_rejections(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path
) -> None:
    mixed = [path for pair in zip(sorted(GOOD), list(BAD), strict=False) for path in pair]
    rest = [path for path in [*GOOD, *BAD] if path not in mixed]
    urls = write_list(tmp_path / "list.txt", pictures, *mixed, *rest)
    result = harvest(dataset, urls)
    assert rejected(dataset, pictures) == BAD
    assert stored_urls(dataset, pictures) == GOOD
    # The chunked and the compressed image have the same bytes.
    assert (result["added"], result["duplicate"]) == (len(GOOD) - 1, 1)
    assert result["rejected"] == len(BAD)
    counts = result["reasons"]
    assert isinstance(counts, dict)
    assert sum(counts.values()) == len(BAD)
    assert_every_row_has_its_file(dataset)
    attempts = {path: pictures.hits[path] for path in BAD if path != "/loop"}
    assert attempts == {path: 1 + QUICK.retries * (path in RETRIED) for path in attempts}
    assert pictures.hits["/loop"] == 1 + QUICK.max_redirects

    for _ in range(2):
        before = {path: pictures.hits[path] for path in {*GOOD, *BAD} - TEMPORARY}
        second = harvest(dataset, urls)
        assert {path: pictures.hits[path] for path in before} == before
        assert (second["known"], second["rejected"]) == (len(before), len(TEMPORARY))
    count = len(pictures.requests)
    second = harvest(dataset, urls)
    assert len(pictures.requests) == count, "after three tries a run makes no request"
    assert second == {"added": 0, "duplicate": 0, "known": len(GOOD) + len(BAD), "rejected": 0}


@pytest.mark.parametrize("threads", [1, 8])
def test_limit_counts_distinct_images(
    dataset: Dataset, pictures: FaultyServer, tmp_path: Path, threads: int
) -> None:
    dataset.settings = Settings(net=NetSettings(threads=threads))
    paths = ["/good/1.jpg", "/nothing", "/good/1.jpg?again", "/good/2.jpg", "/html.jpg"]
    pictures.behaviours["/good/1.jpg"] = lambda h: h.answer(200, picture(1))
    urls = write_list(tmp_path / "l", pictures, *paths, *(f"/good/{n}.jpg" for n in range(3, 60)))
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
    assert dataset.images.count() == 7
    assert len(pictures.requests) == count + 2


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
    assert harvest(dataset, urls, label="other")["added"] == 4
    hints = {str(o.url)[-5]: o.hint for image in dataset.images.iterate() for o in image.origins}
    assert hints == {"1": "cat", "2": "two words", "3": "other", "4": "other"}


def test_encodings_and_line_endings(tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes("\ufeffhttp://h/1.jpg\tKatze\r\nhttp://h/ü.jpg\r\n".encode())
    result = [(c.url, c.origin.hint) for c in read_list(path, None)]
    assert result == [("http://h/1.jpg", "Katze"), ("http://h/ü.jpg", None)]
    path.write_bytes(b"http://h/\xff.jpg\thint\xfe\n")
    [odd] = read_list(path, None)
    assert (odd.url, odd.origin.hint) == ("http://h/\\xff.jpg", "hint\\xfe")


def test_invalid_urls_are_rejected(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "l").write_text("cat.jpg\nftp://h/x.jpg\nhttp://\nhttp://[::1/x\n" + "x" * 9000)
    assert harvest(dataset, tmp_path / "l")["reasons"] == {"bad url": 5}


def test_harvest_resumes_after_kill(pictures: FaultyServer, tmp_path: Path) -> None:
    slow = pictures.otherwise

    def slowly(h: Handler) -> None:
        time.sleep(0.05)
        slow(h)

    pictures.otherwise = slowly
    urls = write_list(tmp_path / "l", pictures, *(f"/good/{n}.jpg" for n in range(60)))
    line = ("urls", urls, "-d", tmp_path / "d", "--allow-private", "--json", "--limit", "40")
    process = start_cli("harvest.cli", *line)
    assert eventually(lambda: len(pictures.requests) >= 15)
    process.kill()
    process.wait()
    done: Ran = run_here("harvest.cli", *line)
    assert done.code == 0, done.stderr
    with Dataset.open(tmp_path / "d") as dataset:
        assert stored_urls(dataset, pictures) == {f"/good/{n}.jpg" for n in range(40)}
    # Only downloads in progress at the kill may be requested twice.
    assert len(pictures.requests) <= 40 + 2 * 16


def assert_every_row_has_its_file(dataset: Dataset) -> None:
    for image in dataset.images.iterate():
        assert dataset.image_path(image.sha256, image.format).stat().st_size == image.bytes
