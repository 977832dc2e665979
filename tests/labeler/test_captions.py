"""Captions next to images."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_images import encoded, picture, put, run_labeler
from PIL import Image, ImageChops

from gleanset import Box, Dataset
from gleanset.records import Origin


@pytest.fixture
def labelled(empty: Dataset) -> Dataset:
    """A dataset with two images of hana, one of them with tags, and one of rei."""
    for number, (name, tags) in enumerate((("hana", ("smile", "rain")), ("hana", ()), ("rei", ()))):
        origin = Origin("pixiv", f"{number}:0", tags=tags)
        put(empty, encoded(picture(number)), "", label=name, origin=origin)
    return empty


def export(dataset: Dataset, out: Path, *options: str) -> dict[str, str]:
    done = run_labeler("export", out, *options, "-d", dataset.root, "--json")
    assert done.code == 0, done.stderr
    return {
        path.relative_to(out).as_posix(): path.read_text().strip() for path in out.rglob("*.txt")
    }


def test_captions_follow_template(labelled: Dataset, tmp_path: Path) -> None:
    texts = export(labelled, tmp_path / "plain", "--format", "captions")
    assert sorted(texts.values()) == ["hana", "hana, smile, rain", "rei"]
    assert {path.split("/")[1] for path in texts} == {"hana", "rei"}
    for path in texts:
        assert [*(tmp_path / "plain" / path).parent.glob(f"{Path(path).stem}.[jp]*g")]
    options = ("--format", "captions", "--caption", "art of {class}; {tags}")
    assert "art of hana; smile, rain" in export(labelled, tmp_path / "other", *options).values()


def test_half_bodies_are_cropped_from_originals(empty: Dataset, tmp_path: Path) -> None:
    original = picture(0, (800, 600))
    put(empty, encoded(original, "PNG"), "a.png", [Box(400, 100, 80, 60)])
    put(empty, encoded(picture(1, (300, 200))), "b.jpg", label="rei")
    words = ("--format", "captions", "--crop", "half-body", "--file", "png", "--no-split")
    export(empty, tmp_path / "out", *words)
    with Image.open(tmp_path / "out" / "hana" / "a_1.png") as half:
        assert ImageChops.difference(half, original.crop((280, 36, 600, 436))).getbbox() is None
    with Image.open(tmp_path / "out" / "rei" / "b.png") as whole:
        assert whole.size == (300, 200)
    coco = ("--format", "coco", "--crop", "half-body", "-d", empty.root)
    done = run_labeler("export", tmp_path / "coco", *coco)
    assert done.code == 2
    assert "leave out --crop" in done.stderr


@pytest.mark.parametrize("template", ["{nobody}", "{class", "{class.__init__}", "two\nlines"])
def test_invalid_template_raises_error(labelled: Dataset, tmp_path: Path, template: str) -> None:
    words = ("--format", "captions", "--caption", template, "-d", labelled.root)
    done = run_labeler("export", tmp_path / "out", *words)
    assert done.code == 2
    assert "caption" in done.stderr


def test_images_with_equal_stems_have_own_captions(empty: Dataset, tmp_path: Path) -> None:
    for number, name in enumerate(("pic.jpg", "pic.png", "PIC.webp", "pic")):
        data = encoded(picture(number), "PNG" if number % 2 else "JPEG")
        origin = Origin("folder", name, title=name)
        put(empty, data, name, origin=origin)
    texts = export(empty, tmp_path / "out", "--format", "captions", "--caption", "{class}, {title}")
    assert sorted(texts.values()) == [
        f"hana, {name}" for name in ("PIC.webp", "pic", "pic.jpg", "pic.png")
    ]
    stems = {path.stem.casefold() for path in (tmp_path / "out").rglob("*.txt")}
    assert len(stems) == 4


def test_captions_without_split(empty: Dataset, tmp_path: Path) -> None:
    for number, name in enumerate(("hana", "rei")):
        put(empty, encoded(picture(number)), f"{number}.jpg", label=name)
    empty.samples.set_splits({}, "none")
    texts = export(empty, tmp_path / "out", "--format", "captions", "--no-split")
    assert {path.partition("/")[0]: text for path, text in texts.items()} == {
        "hana": "hana",
        "rei": "rei",
    }
    assert "Not split" in (tmp_path / "out" / "README.md").read_text()
