"""Captions next to images."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_images import encoded, picture, put, run_labeler
from onnx import TensorProto, helper
from PIL import Image, ImageChops
from publisher import Hub

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


TAGGER = f"hub:{Hub.repository}/wd/model.onnx"


def publish_tagger(hub: Hub, table: str) -> None:
    """Publish a network whose probabilities are the mean blue, green and red."""
    mean = helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0)
    scaled = helper.make_node("Div", ["mean", "full"], ["tags"])
    graph = helper.make_graph(
        [mean, scaled],
        "tagger",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8, 3])],
        [helper.make_tensor_value_info("tags", TensorProto.FLOAT, ["batch", 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("full", TensorProto.FLOAT, [1], [255.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    commit = hub.commit(wd_model=model.SerializeToString())
    hub.commits[commit]["wd/selected_tags.csv"] = table.encode()


TABLE = "tag_id,name,category,count\n1,blue_sky,0,9\n2,hana_(show),4,9\n3,red_theme,0,9\n"


def test_tagger_adds_tags_to_captions(empty: Dataset, tmp_path: Path, hub: Hub) -> None:
    publish_tagger(hub, TABLE)
    for name, color in (("red", (255, 200, 0)), ("blue", (90, 255, 255)), ("dark", (0, 0, 9))):
        put(empty, encoded(Image.new("RGB", (40, 40), color), "PNG"), f"{name}.png", label=name)
    words = ("--format", "captions", "--no-split", "--tagger", TAGGER)
    expected = {
        "red/red.txt": "red, red theme",
        "blue/blue.txt": "blue, blue sky, red theme",
        "dark/dark.txt": "dark",
    }
    assert export(empty, tmp_path / "out", *words) == expected
    # The commit is pinned, and the tags are in the cache.
    publish_tagger(hub, TABLE.replace("red_theme", "other"))
    (cache,) = (empty.cache / "tags").iterdir()
    lines = cache.read_text()
    cache.write_text(f'{lines}\n["cut o')
    put(empty, encoded(Image.new("RGB", (40, 40), (0, 0, 255)), "PNG"), "sky.png", label="sky")
    for _ in range(2):
        tags = export(empty, tmp_path / "out", *words)
        assert tags == expected | {"sky/sky.txt": "sky, blue sky"}
    assert cache.read_text().startswith(lines)
    assert len(cache.read_text().splitlines()) == len(lines.splitlines()) + 2


@pytest.mark.parametrize("table", ["", "name,category\nsky,0\n", "one\ntwo\nthree\nfour\n"])
def test_unsuitable_tagger_raises_error(
    labelled: Dataset, tmp_path: Path, hub: Hub, table: str
) -> None:
    publish_tagger(hub, table)
    words = ("--format", "captions", "--tagger", TAGGER, "-d", labelled.root)
    done = run_labeler("export", tmp_path / "out", *words)
    assert done.code == 2
    assert "hint: use a WD tagger" in done.stderr
    assert not (tmp_path / "out").exists()


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
