"""Gallery pages: selection, privacy, and the page in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labelled_images import encoded, picture, put, run_labeler
from PIL import Image, ImageDraw, ImageFilter
from tools_for_tests import CHROMIUM, needs_chromium, run_here

from gleanset import Dataset, Origin
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.errors import InputUnusable, UsageError
from gleanset.work.progress import Progress
from labeler.gallery.writing import (
    MARKS,
    GallerySelection,
    group_samples,
    select_samples,
    write_gallery,
)
from labeler.quality.assessment import assess_quality
from labeler.quality.flags import FLAGS
from labeler.requests import GalleryRequest

HOSTILE = "</script><script>document.title='broken in'</script>"
ODD = "O'Hara & ${rei}; }--"
SECRET = "taken-at-home"


@pytest.fixture(scope="module")
def sorted_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Two classes with hostile names and titles, a duplicate and a label issue."""
    exif = Image.Exif()
    exif[0x010E] = SECRET
    root = tmp_path_factory.mktemp("gallery") / "dataset"
    with Dataset.create(root) as new_dataset:
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
            put(new_dataset, data, str(number), label=ODD, split="test", origin=origin)
        for number in range(5):
            put(new_dataset, encoded(picture(50 + number)), f"r{number}", label="rei")
        put(new_dataset, encoded(picture(50).resize((90, 60)), quality=60), "copy", label="rei")
        done = run_labeler("dedup", "-d", root, "--workers", "1", "--json")
        assert done.json["set_aside"] == 1
        key = next(
            s.key for s in new_dataset.samples.iter_by_key() if s.label == "rei" and not s.group
        )
        LabelIssues(new_dataset.db).replace([LabelIssue(key, "rei", ODD, 0.93, 0.9, "run")])
        yield new_dataset


def select(dataset: Dataset, **options: Any) -> GallerySelection:
    request = GalleryRequest(**options)
    return select_samples(dataset, group_samples(dataset, request), request)


def read_page_data(page: str) -> dict[str, Any]:
    results = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page)
    assert results
    result: dict[str, Any] = json.loads(results[1])
    return result


def test_label_issues_are_selected(sorted_faces: Dataset) -> None:
    choice = select(sorted_faces, limit=4)
    marks = dict.fromkeys(MARKS, 0)
    assert choice.counts == {
        ODD: (7, marks),
        "rei": (5, marks | {"issue": 1, "duplicate": 1}),
    }
    assert [entry.label for entry in choice.entries] == [ODD, ODD, "rei", "rei"]
    assert sum("issue" in entry.flags for entry in choice.entries) == 1
    assert len(select(sorted_faces).entries) == 12


def test_best_samples_come_first(empty: Dataset) -> None:
    def face(side: int) -> Image.Image:
        image = Image.new("RGB", (side, side), "orange")
        ImageDraw.Draw(image).rectangle((side // 4, side // 4, side // 2, side // 2), "black")
        return image

    for number in range(4):
        put(empty, encoded(face(100 + number)), f"r{number}", label="hana")
    put(empty, encoded(face(104).filter(ImageFilter.GaussianBlur(5))), "blurred", label="hana")
    put(empty, encoded(face(40)), "tiny", label="hana")
    with pytest.raises(UsageError):
        select(empty, names=("rei",))
    assess_quality(empty, workers=1)
    order = [entry.sample.box.width for entry in select(empty).entries]
    assert set(order[:4]) == {100, 101, 102, 103}


def test_page_is_self_contained_and_private(sorted_faces: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    summary = write_gallery(sorted_faces, out, GalleryRequest(), Progress())
    page = out.read_text()
    assert (summary["shown"], summary["of"], summary["unreadable"]) == (12, 12, 0)
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
    result = read_page_data(page)
    assert {entry["name"] for entry in result["classes"]} == {ODD, "rei"}
    assert {entry.get("page") for entry in result["samples"]} == {
        None,
        "https://example.org/a?b=<c>",
    }
    assert "/home/somebody" not in page
    images = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(images) == 12
    for image in map(base64.b64decode, images):
        assert SECRET.encode() not in image
        with Image.open(io.BytesIO(image)) as opened:
            assert not opened.getexif()
            assert max(opened.size) == 96


def test_only_galleries_are_replaced(sorted_faces: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "shown.html"
    words = ("gallery", out, "-d", sorted_faces.root, "--json")
    result = run_labeler(*words, "--limit", "4").json
    assert (result["shown"], result["of"], result["classes"]) == (4, 12, 2)
    counted = run_here("pipeline.cli", "status", "--json", "-d", sorted_faces.root).json["labels"]
    assert sum(counted.values()) == result["of"]
    result = run_labeler(*words).json
    assert result["shown"] == 12
    assert result["megabytes"] == round(out.stat().st_size / 1e6, 2)
    assert result["marked"]["duplicate"] == 1, "duplicates are not counted"
    for name, message in (("own.html", "not a gallery"), ("folder", "an HTML file")):
        (tmp_path / name).write_text("<p>mine")
        with pytest.raises((InputUnusable, UsageError), match=message):
            write_gallery(sorted_faces, tmp_path / name, GalleryRequest(), Progress())
        assert (tmp_path / name).read_text() == "<p>mine"
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.slow
@needs_chromium
def test_gallery_in_browser(sorted_faces: Dataset, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    write_gallery(sorted_faces, tmp_path / "a.html", GalleryRequest(), Progress())
    problems: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 320, "height": 700}, locale="en")
        page.set_default_timeout(120_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda request: problems.append(request.url) if "http" in request.url else 0
        )
        page.goto(f"file://{tmp_path}/a.html")
        page.locator("#classes .face").nth(11).wait_for()
        assert page.evaluate("document.querySelector('.picture').naturalWidth") == 96
        check_page(page)
        browser.close()
    assert problems == []


def check_page(page: Any) -> None:
    faces = page.locator("#classes .face")
    assert faces.count() == 12
    assert page.title() == "dataset"
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    # Marks are buttons that filter. Label issues come first.
    first = page.locator("#classes section").nth(1).locator(".face").first
    assert "label issue" in (first.get_attribute("aria-label") or "")
    page.click("#marked [data-mark=duplicate]")
    assert faces.count() == 1, "only the best copy"
    assert page.inner_text("#count") == "1 match"
    page.click("#classes [data-mark=issue]")
    assert faces.count() == 1
    page.click("#classes [data-mark=issue]")
    assert faces.count() == 12
    assert page.evaluate("document.activeElement.dataset.mark") == "issue"
    # Filters.
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
    # Keyboard.
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


def test_page_texts_are_translated() -> None:
    folder = Path(__file__).parents[2] / "labeler" / "gallery"
    words = (folder / "js" / "words.js").read_text()
    chinese, japanese = words.split("  ja: {")
    texts = [(folder / "page.html.jinja").read_text()]
    texts += [path.read_text() for path in (folder / "js").glob("*.js") if path.stem != "words"]
    used_texts = {
        *re.findall(r'words\("([^"]+)"', "".join(texts)),
        *re.findall(r'data-(?:words|label|hint)="([^"{]+)"', texts[0]),
        *re.findall(r'\["([A-Z][\w ]+)", ', "".join(texts)),
        *(flag.name.replace("_", " ") for flag in FLAGS if flag.name not in MARKS),
        *("label issue", "has copies", "train", "val", "test"),
        *("person", "model", "weak label", "import"),
        *("Class", "Flags", "Split", "Source", "Labelled by"),
        *re.findall(r'"((?:All )?\{[^"]+ samples [^"]+)"', "".join(texts)),
        *("Class", "Cluster"),
    }
    assert len(used_texts) > 30
    for text in used_texts:
        assert f'"{text}":' in chinese, text
        assert f'"{text}":' in japanese, text
