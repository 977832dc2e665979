"""The timeline page at phone width in a real browser."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from gleanset.html.thumbnails import Thumbnail
from pipeline.episodes.timeline import PersonOnScreen, Segment, VideoTimeline, timeline_page

CHROMIUM = shutil.which("chromium")
WIDTH = 390
NAMES = ("Hana", "Toyama Rin the elder sister of the student council", "x" * 100)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
CUT_OFF = f"""[...document.querySelectorAll('.page *')].filter((element) => {{
  const box = element.getBoundingClientRect();
  const clips = getComputedStyle(element).overflowX !== 'visible';
  return clips && element.scrollWidth > element.clientWidth + 1
    || box.right > {WIDTH} || box.left < 0;
}}).map((element) => element.outerHTML)"""


def make_timeline(title: str, seconds: float) -> VideoTimeline:
    begins = range(0, int(seconds) - 20, 400)
    spans = [Segment(float(begin), begin + 20.0, ("t",)) for begin in begins]
    face = Thumbnail(PIXEL, 48, 48)
    people = [PersonOnScreen(name, "named", spans, face) for name in NAMES]
    people.append(PersonOnScreen(None, "left out", spans[-1:], None))
    return VideoTimeline(title, seconds, people)


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright")
def test_timeline_fits_phone_screen(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    long_name = "[Group] Title_of_the_episode_" * 5 + ".mkv"
    timelines = [make_timeline(long_name, 7200), make_timeline("b.mp4", 61.5)]
    (tmp_path / "timeline.html").write_text(timeline_page("my dataset", timelines), "utf-8")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 844})
        page.set_default_timeout(120_000)  # a busy machine
        page.goto(f"file://{tmp_path}/timeline.html")
        assert page.evaluate("document.documentElement.scrollWidth") == WIDTH
        assert page.evaluate(CUT_OFF) == []
        assert page.locator(".who bdi").all_inner_texts()[:3] == list(NAMES)
        # Bars are as wide as the page, and ticks do not overlap.
        assert page.locator(".track").first.bounding_box()["width"] > WIDTH * 0.8  # type: ignore[index]
        for scale in page.locator(".scale").all():
            boxes = [tick.bounding_box() for tick in scale.locator("span").all()]
            shown = [box for box in boxes if box]
            assert len(shown) > 1
            for left, right in pairwise(shown):
                assert left["x"] + left["width"] <= right["x"]
        browser.close()
