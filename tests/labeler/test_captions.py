"""Captions next to images: templates, and importing edits."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_images import encoded, picture, put, run_labeler
from PIL import Image, ImageChops

from gleanset import Box, Dataset
from gleanset.records import Origin
from labeler.importing.reading import read_labelled


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
    options = ("--format", "captions-whole", "--caption", "art of {class}; {tags}")
    assert "art of hana; smile, rain" in export(labelled, tmp_path / "whole", *options).values()


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


@pytest.mark.parametrize("template", ["{nobody}", "{class", "{class.__init__}", "two\nlines"])
def test_invalid_template_raises_error(labelled: Dataset, tmp_path: Path, template: str) -> None:
    words = ("--format", "captions", "--caption", template, "-d", labelled.root)
    done = run_labeler("export", tmp_path / "out", *words)
    assert done.code == 2
    assert "caption" in done.stderr


def test_edited_captions_relabel(labelled: Dataset, tmp_path: Path) -> None:
    texts = export(labelled, out := tmp_path / "out", "--format", "captions")
    edited = next(path for path, text in texts.items() if text == "hana")
    (out / edited).write_text("rei, smiling\n")
    done = run_labeler("import", out, "-d", labelled.root, "--json")
    assert (done.json["relabelled"], done.json["unchanged"]) == (1, 2)
    labels = sorted(str(sample.label) for sample in labelled.samples.iter_by_key())
    assert labels == ["hana", "rei", "rei"]


def test_foreign_captions_are_read(tmp_path: Path) -> None:
    for number, text in enumerate(("hana, rain", "rei", None)):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(number)))
        if text is not None:
            (tmp_path / f"{number}.txt").write_text(text)
    result = read_labelled(tmp_path)
    assert result.kind == "captions"
    assert [image.labels for image in result.images] == [((None, "hana"),), ((None, "rei"),)]
    assert result.count_ignored() == {"without a caption": 1, "file with labels": 2}


@pytest.mark.parametrize("template", [None, "{class} in the rain, {tags}", "{class} {tags}"])
def test_unedited_captions_keep_labels(
    empty: Dataset, tmp_path: Path, template: str | None
) -> None:
    """Class names may contain commas and words of captions."""
    classes = ("Hatsune, Miku", "Hatsune", "Miku,", "rain", "rain, rain")
    for number, name in enumerate(classes):
        origin = Origin("folder", name, title=f"{number}.jpg", tags=("Miku", "in, out"))
        put(empty, encoded(picture(number)), f"{number}.jpg", label=name, origin=origin)
    options = () if template is None else ("--caption", template)
    out = tmp_path / "out"
    export(empty, out, "--format", "captions", *options)
    done = run_labeler("import", out, "-d", empty.root, "--json").json
    assert (done["relabelled"], done["unchanged"], done["disputed"]) == (0, 5, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hatsune, Miku, rain", "Hatsune, Miku"),
        ("Hatsune, rain", "Hatsune"),
        ("Megurine Luka, rain", "Megurine Luka"),
        ("rei", "rei"),
        ("", "rei"),
    ],
)
def test_caption_matches_longest_class(
    empty: Dataset, tmp_path: Path, text: str, expected: str
) -> None:
    for number, name in enumerate(("rei", "Hatsune", "Hatsune, Miku")):
        put(empty, encoded(picture(number)), f"{number}.jpg", label=name)
    out = tmp_path / "out"
    export(empty, out, "--format", "captions")
    next(out.rglob("rei/*.txt")).write_text(f"{text}\n")
    run_labeler("import", out, "-d", empty.root, "--json")
    labels = sorted(str(sample.label) for sample in empty.samples.iter_by_key())
    assert labels == sorted(["Hatsune", "Hatsune, Miku", expected])


def test_caption_not_in_utf8_is_disputed(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "0.jpg", label="rei")
    out = tmp_path / "out"
    export(empty, out, "--format", "captions")
    next(out.rglob("*.txt")).write_bytes("花子, rain".encode("cp932"))
    done = run_labeler("import", out, "-d", empty.root, "--json").json
    assert (done["relabelled"], done["disputed"]) == (0, 1)
    assert "not UTF-8" in done["disputed_files"]["files"][0]


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


@pytest.mark.parametrize("form", ["captions", "captions-whole"])
def test_captions_without_split(empty: Dataset, tmp_path: Path, form: str) -> None:
    for number, name in enumerate(("hana", "rei")):
        put(empty, encoded(picture(number)), f"{number}.jpg", label=name)
    empty.samples.set_splits({}, "none")
    texts = export(empty, tmp_path / "out", "--format", form)
    folders = {path.partition("/")[0] for path in texts}
    assert sorted(texts.values()) == ["hana", "rei"]
    assert folders == ({"images"} if form == "captions-whole" else {"hana", "rei"})
    assert "Not split" in (tmp_path / "out" / "README.md").read_text()
