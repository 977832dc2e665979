"""The drawn sample is reproducible, and its site behaves as listed."""

import json
from collections.abc import Iterator
from http.client import IncompleteRead
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from lxml import html
from PIL import Image, ImageChops, ImageStat

from pipeline.demo import (
    SampleSite,
    SearchResult,
    read_listing,
    to_json,
)
from tools.sample.make import draw_image, draw_selftest, plan_images, plan_listing

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "datasets" / "sample"


@pytest.fixture(scope="module")
def site() -> Iterator[SampleSite]:
    with SampleSite(SAMPLE) as site:
        yield site


def get(address: str) -> bytes:
    with urlopen(address, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def search(site: SampleSite, query: str, first: int = 1) -> list[dict[str, str]]:
    page = get(f"{site.address}/images/async?q={query}&first={first}&count=35&async=1")
    return [json.loads(m) for m in html.fromstring(page).xpath("//a[@class='iusc']/@m")]


def difference(a: Image.Image, b: Image.Image) -> float:
    """Return the mean absolute difference of two images, 0..255."""
    return max(ImageStat.Stat(ImageChops.difference(a.convert("RGB"), b)).mean)


def find_result(fault: str = "none", variant: str = "plain") -> SearchResult:
    listing = read_listing(SAMPLE)
    results = [result for matches in listing.values() for result in matches]
    return next(r for r in results if (r.fault, r.variant) == (fault, variant))


def test_committed_sample_is_reproducible() -> None:
    pictures = plan_images()
    assert (SAMPLE / "site.json").read_text(encoding="utf-8") == to_json(
        plan_listing(pictures)
    )
    files = {path.name for path in (SAMPLE / "pictures").iterdir()}
    assert files == {plan.file for plan in pictures}
    truth = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))["pictures"]
    for plan in (pictures[0], pictures[-1]):
        drawn, boxes = draw_image(plan)
        with Image.open(SAMPLE / "pictures" / plan.file) as committed:
            assert difference(committed, drawn) < 3
        assert [face["character"] for face in truth[plan.file]] == list(plan.names)
        assert [face["box"] for face in truth[plan.file]] == [
            list(box) for box in boxes
        ]


def test_committed_selftest_face_is_reproducible() -> None:
    drawn, _ = draw_selftest()
    path = ROOT / "facecrop" / "detectors" / "selftest.png"
    assert path.stat().st_size < 25_000
    with Image.open(path) as committed:
        assert difference(committed, drawn) < 4


def test_search_repeats_last_page(site: SampleSite) -> None:
    listed = read_listing(SAMPLE)["rei"]
    first = search(site, "rei")
    second = search(site, "Rei+anime", first=36)
    assert (len(first), len(second)) == (35, len(listed) - 35)
    assert [m["murl"] for m in first + second] == [
        site.address + r.path for r in listed
    ]
    assert search(site, "rei", first=71) == second


def test_broken_results_fail_as_listed(site: SampleSite) -> None:
    for fault, status in (("missing", 404), ("forbidden", 403)):
        with pytest.raises(HTTPError) as caught:
            get(site.address + find_result(fault).path)
        assert caught.value.code == status
        caught.value.close()
    assert get(site.address + find_result("empty").path) == b""
    assert get(site.address + find_result("page").path).startswith(b"<!DOCTYPE html>")
    with (
        pytest.raises(OSError),
        Image.open(BytesIO(get(site.address + find_result("cut").path))) as image,
    ):
        image.load()
    with pytest.raises(IncompleteRead):
        get(site.address + find_result("dropped").path)
