"""The gallery: what it shows, that it gives nothing away, and that it works in a real browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from labelled_pictures import encoded, picture, put
from PIL import Image, ImageDraw, ImageFilter
from tools_for_tests import run_here

from gleanset import Dataset, Origin
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.errors import InputUnusable, UsageError
from gleanset.work.progress import Progress
from labeler.gallery.request import GalleryRequest
from labeler.gallery.selection import (
    MARKS,
    GallerySelection,
    divide_limit,
    group_samples,
    select_samples,
)
from labeler.gallery.writing import write_gallery
from labeler.quality.assessment import assess_quality
from labeler.quality.flags import FLAGS

Labeler = Callable[..., subprocess.CompletedProcess[str]]
CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><script>document.title='broken in'</script>"
ODD = "O'Hara & ${rei}; }--"
"""A class may be called so; titles may be anything."""
SECRET = "taken-at-home"


@pytest.fixture(scope="module")
def sorted_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Seven pictures of a class with an odd name and hostile titles, five of another, a copy of
    one, and a label issue.
    """
    exif = Image.Exif()
    exif[0x010E] = SECRET
    root = tmp_path_factory.mktemp("gallery") / "dataset"
    with Dataset.create(root) as made:
        for number in range(7):
            origin = Origin(
                "folder",
                f"/home/somebody/{number}",
                path=f"/home/somebody/{number}.jpg",
                title=HOSTILE,
                page_url="javascript:alert(1)" if number else "https://example.org/a?b=<c>",
                author="Ada",
            )
            data = encoded(picture(number, (200, 160)), exif=exif)
            put(made, data, str(number), label=ODD, split="test", origin=origin)
        for number in range(5):
            put(made, encoded(picture(50 + number)), f"r{number}", label="rei")
        put(made, encoded(picture(50).resize((90, 60)), quality=60), "copy", label="rei")
        done = run_here("labeler.cli", "dedup", "-d", root, "--workers", "1", "--json", cwd=root)
        assert json.loads(done.stdout)["set_aside"] == 1
        one = next(s.key for s in made.samples.iter_by_key() if s.label == "rei" and not s.group)
        LabelIssues(made.db).replace([LabelIssue(one, "rei", ODD, 0.93, 0.9, "run")])
        yield made


def chosen(dataset: Dataset, **asked: Any) -> GallerySelection:
    request = GalleryRequest(**asked)
    return select_samples(dataset, group_samples(dataset, request), request)


def facts_of(page: str) -> dict[str, Any]:
    results = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page)
    assert results
    result: dict[str, Any] = json.loads(results[1])
    return result


def test_shares_are_fair_and_use_what_small_classes_leave() -> None:
    assert divide_limit({"a": 100, "b": 3, "c": 100}, 43) == {"a": 20, "b": 3, "c": 20}
    assert divide_limit({"a": 2, "b": 3}, 2000) == {"a": 2, "b": 3}
    assert sum(divide_limit({str(n): 9 for n in range(7)}, 20).values()) == 20


def test_what_is_marked_is_shown_first(sorted_faces: Dataset) -> None:
    choice = chosen(sorted_faces, limit=4)
    marks = dict.fromkeys(MARKS, 0)
    assert choice.counts == {
        ODD: (7, marks),
        "rei": (5, marks | {"issue": 1, "duplicate": 1}),
    }
    assert [entry.label for entry in choice.entries] == [ODD, ODD, "rei", "rei"]
    assert sum("issue" in one.flags for one in choice.entries) == 1
    assert len(chosen(sorted_faces).entries) == 12


def test_of_a_class_the_best_stand_in_front(empty: Dataset) -> None:
    def face(side: int) -> Image.Image:
        image = Image.new("RGB", (side, side), "orange")
        ImageDraw.Draw(image).rectangle((side // 4, side // 4, side // 2, side // 2), "black")
        return image

    for number in range(4):
        put(empty, encoded(face(100 + number)), f"r{number}", label="hana")
    put(empty, encoded(face(104).filter(ImageFilter.GaussianBlur(5))), "blurred", label="hana")
    put(empty, encoded(face(40)), "tiny", label="hana")
    with pytest.raises(UsageError):
        chosen(empty, names=("rei",))
    assess_quality(empty, workers=1)
    order = [entry.sample.box.width for entry in chosen(empty).entries]
    assert set(order[:4]) == {100, 101, 102, 103}


def test_the_page_allows_its_own_script_alone_and_gives_nothing_away(
    sorted_faces: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "a.html"
    made = write_gallery(sorted_faces, out, GalleryRequest(), Progress())
    page = out.read_text()
    assert (made["shown"], made["of"], made["unreadable"]) == (12, 12, 0)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    allowed = policy[1].replace("&#39;", "'")
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed
    assert "unsafe" not in allowed
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "broken in" not in re.sub(r'<script type="application/json".*?</script>', "", page)
    result = facts_of(page)
    assert {one["name"] for one in result["classes"]} == {ODD, "rei"}
    assert {one.get("page") for one in result["samples"]} == {None, "https://example.org/a?b=<c>"}
    assert "/home/somebody" not in page
    sheets = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    (sheet,) = (base64.b64decode(sheet) for sheet in sheets)
    assert SECRET.encode() not in sheet
    with Image.open(io.BytesIO(sheet)) as opened:
        assert not opened.getexif()
        assert opened.size == (12 * 96, 96)


def test_a_gallery_is_replaced_and_nothing_of_a_persons_own(
    sorted_faces: Dataset, labeler: Labeler, tmp_path: Path
) -> None:
    out = tmp_path / "shown.html"
    words = ("gallery", out, "-d", sorted_faces.root, "--json")
    result = json.loads(labeler(*words, "--limit", "4").stdout)
    assert (result["shown"], result["of"], result["classes"]) == (4, 12, 2)
    counted = run_here("pipeline.cli", "status", "--json", "-d", sorted_faces.root).json["labels"]
    assert sum(counted.values()) == result["of"]
    result = json.loads(labeler(*words).stdout)
    assert result["shown"] == 12
    assert result["megabytes"] == round(out.stat().st_size / 1e6, 2)
    assert result["marked"]["duplicate"] == 1, "the copy itself is not counted"
    for own, why in (("own.html", "not a gallery"), ("folder", "an HTML file")):
        (tmp_path / own).write_text("<p>mine")
        with pytest.raises((InputUnusable, UsageError), match=why):
            write_gallery(sorted_faces, tmp_path / own, GalleryRequest(), Progress())
        assert (tmp_path / own).read_text() == "<p>mine"
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright")
def test_a_person_walks_through_it_in_a_browser(sorted_faces: Dataset, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    write_gallery(sorted_faces, tmp_path / "a.html", GalleryRequest(), Progress())
    text: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 320, "height": 700}, locale="en")
        page.set_default_timeout(120_000)  # a busy machine
        page.on("console", lambda message: text.append(message.text))
        page.on("pageerror", lambda error: text.append(str(error)))
        page.on("request", lambda asked: text.append(asked.url) if "http" in asked.url else 0)
        page.goto(f"file://{tmp_path}/a.html")
        page.locator("#classes .face").nth(11).wait_for()
        assert page.evaluate("document.querySelector('#sheets img').naturalWidth") == 12 * 96
        _walk(page)
        browser.close()
    assert text == []


def _walk(page: Any) -> None:
    faces = page.locator("#classes .face")
    assert faces.count() == 12
    assert page.title() == "dataset"
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    # A mark is a button: what has it, and all again. Label issues are first.
    first = page.locator("#classes section").nth(1).locator(".face").first
    assert "label issue" in (first.get_attribute("aria-label") or "")
    page.click("#marked [data-mark=duplicate]")
    assert faces.count() == 1, "the one kept"
    assert page.inner_text("#count") == "1 match"
    page.click("#classes [data-mark=issue]")
    assert faces.count() == 1
    page.click("#classes [data-mark=issue]")
    assert faces.count() == 12
    assert page.evaluate("document.activeElement.dataset.mark") == "issue"
    # By filters.
    page.click("#more")
    page.select_option("#flag", "issue")
    assert faces.count() == 1
    assert faces.first.get_attribute("aria-label") == "rei, train, label issue"
    faces.first.click()
    assert ODD in page.inner_text("#look-marks")
    assert "93 %" in page.inner_text("#look-marks")
    page.keyboard.press("Escape")
    page.click("#clear")
    page.fill("#text", "ada")
    assert faces.count() == 7
    page.fill("#text", "")
    # By keyboard, from face to face and into one.
    faces.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#look').open")
    assert page.inner_text("#look-name") == ODD
    assert HOSTILE in page.inner_text("#look-facts")
    page.keyboard.press("Escape")
    page.select_option("#language", "ja")
    assert page.inner_text("#more").strip() == "絞り込み"
    assert page.evaluate("document.documentElement.lang") == "ja"


def test_every_text_of_the_page_is_in_every_language() -> None:
    folder = Path(__file__).parents[2] / "labeler" / "gallery"
    words = (folder / "js" / "words.js").read_text()
    chinese, japanese = words.split("  ja: {")
    texts = [(folder / "page.html.jinja").read_text()]
    texts += [path.read_text() for path in (folder / "js").glob("*.js") if path.stem != "words"]
    asked = {
        *re.findall(r'words\("([^"]+)"', "".join(texts)),
        *re.findall(r'data-(?:words|label|hint)="([^"{]+)"', texts[0]),
        *re.findall(r'\["([A-Z][\w ]+)", ', "".join(texts)),
        *(flag.name.replace("_", " ") for flag in FLAGS if flag.name not in MARKS),
        *("label issue", "has copies", "train", "val", "test"),
        *("person", "model", "hint", "import", "Class", "Marked", "Split", "Source", "Decided by"),
        *re.findall(r'"((?:All )?\{[^"]+ samples [^"]+)"', "".join(texts)),
        *("Class", "Cluster"),
    }
    assert len(asked) > 30
    for text in asked:
        assert f'"{text}":' in chinese, text
        assert f'"{text}":' in japanese, text
