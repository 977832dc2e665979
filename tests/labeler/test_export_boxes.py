"""Exporting whole images with all their boxes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from labelled_images import encoded, picture, put, run_export
from PIL import Image

from gleanset import Box, Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable
from labeler.export.options import BOX_FORMATS

SIZE = (120, 80)
CAT = "猫 - 'a' #1, [b]"
LEFT, RIGHT = Box(10, 10, 30, 30), Box(70, 20, 24, 36)


@pytest.fixture
def mixed_images(empty: Dataset) -> Dataset:
    """A dataset of images with two, one and no faces, two of them with equal names."""
    put(empty, encoded(picture(0)), "two.jpg", [LEFT, RIGHT])
    put(empty, encoded(picture(1), "PNG"), "two.png", [RIGHT], label=CAT, split="val")
    put(empty, encoded(picture(2)), "whole.jpg", split="test")
    put(empty, encoded(picture(3)), "same (1).jpg", [LEFT])
    origin = Origin("folder", "other", title="same (1).png")
    put(empty, encoded(picture(4), "PNG"), "", [RIGHT], origin=origin, label=CAT)
    return empty


def yolo_boxes(out: Path) -> Counter[tuple[str, str, Box]]:
    """Read the label file of each image, which Ultralytics finds by its path."""
    data = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    boxes: Counter[tuple[str, str, Box]] = Counter()
    for split in ("train", "val", "test"):
        for path in (out / data[split]).iterdir():
            labels = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
            with Image.open(path) as image:
                assert image.size == SIZE
            for line in labels.read_text(encoding="utf-8").splitlines():
                number, *parts = line.split()
                x, y, width, height = map(float, parts)
                assert all(0 <= part <= 1 for part in (x, y, width, height))
                box = Box(
                    round((x - width / 2) * SIZE[0]),
                    round((y - height / 2) * SIZE[1]),
                    round(width * SIZE[0]),
                    round(height * SIZE[1]),
                )
                boxes[split, data["names"][int(number)], box] += 1
    return boxes


def coco_boxes(out: Path) -> Counter[tuple[str, str, Box]]:
    boxes: Counter[tuple[str, str, Box]] = Counter()
    for file in (out / "annotations").iterdir():
        document = json.loads(file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in document["categories"]}
        for annotation in document["annotations"]:
            boxes[file.stem, names[annotation["category_id"]], Box(*annotation["bbox"])] += 1
    return boxes


READ = {"yolo-detect": yolo_boxes, "coco": coco_boxes}


@pytest.mark.parametrize("format_", READ)
def test_boxes_are_read_back(mixed_images: Dataset, tmp_path: Path, format_: str) -> None:
    result = run_export(mixed_images, tmp_path / "out", format=format_)
    assert READ[format_](tmp_path / "out") == {
        ("train", "hana", LEFT): 2,
        ("train", "hana", RIGHT): 1,
        ("train", CAT, RIGHT): 1,
        ("val", CAT, RIGHT): 1,
        ("test", "hana", Box(0, 0, *SIZE)): 1,
    }
    assert (result["exported"], result["images"]) == (6, 5)
    assert "notes" not in result
    originals = {path.read_bytes() for path in (mixed_images.root / "images").rglob("*.*")}
    out = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".jpg", ".png")]
    assert {path.read_bytes() for path in out} == originals
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "- object-detection" in card
    assert "6 samples in 5 images" in card


def test_names_with_equal_stems_keep_their_boxes(mixed_images: Dataset, tmp_path: Path) -> None:
    run_export(mixed_images, tmp_path / "out", format="yolo-detect")
    stems = [path.stem for path in (tmp_path / "out/images/train").iterdir()]
    assert len(stems) == len(set(stems)) == 3
    assert {path.stem for path in (tmp_path / "out/labels/train").iterdir()} == set(stems)


@pytest.mark.parametrize("format_", BOX_FORMATS)
def test_image_with_undecided_face_is_left_out(
    mixed_images: Dataset, tmp_path: Path, format_: str
) -> None:
    _, undecided = put(mixed_images, encoded(picture(8)), "eight.jpg", [LEFT, RIGHT])
    mixed_images.journal.apply("Back into the queue", [Choice(undecided, "add")])
    result = run_export(mixed_images, tmp_path / "out", format=format_)
    assert result["exported"] == 6
    assert "1 image has an undecided face: left out" in result["notes"][0]
    taken = run_export(mixed_images, tmp_path / "all", format=format_, undecided=True)
    assert (taken["exported"], taken["images"]) == (7, 6)
    assert "exported without its box" in taken["notes"][0]
    # A rejected face is not missing.
    mixed_images.journal.apply("Reject", [Choice(undecided, "reject")])
    decided = run_export(mixed_images, tmp_path / "out", format=format_)
    assert (decided["exported"], "notes" in decided) == (7, False)


def test_queued_whole_image_is_not_missing_face(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg", [LEFT])
    (queued,) = put(empty, encoded(picture(0)), "a.jpg")
    empty.journal.apply("Back into the queue", [Choice(queued, "add")])
    assert run_export(empty, tmp_path / "out", format="coco")["exported"] == 1


def test_duplicate_keeps_its_box(empty: Dataset, tmp_path: Path) -> None:
    """A duplicate is not a sample, but its face is in the image."""
    keys = put(empty, encoded(picture(0)), "a.jpg", [LEFT, RIGHT])
    (best,) = put(empty, encoded(picture(1)), "b.jpg", [LEFT])
    empty.journal.apply("Back into the queue", [Choice(keys[1], "add")])
    with empty.db.transaction():
        empty.db.execute("UPDATE sample SET duplicate_set='g' WHERE key IN (?,?)", (keys[1], best))
        empty.db.execute("UPDATE sample SET kept=0 WHERE key=?", (keys[1],))
    result = run_export(empty, tmp_path / "out", format="coco")
    assert coco_boxes(tmp_path / "out") == {("train", "hana", LEFT): 2, ("train", "hana", RIGHT): 1}
    assert "notes" not in result


def test_box_is_clipped_to_image(empty: Dataset, tmp_path: Path) -> None:
    """Ultralytics drops images with boxes outside of them."""
    put(empty, encoded(picture(0)), "a.jpg", [LEFT])
    with empty.db.transaction():
        empty.db.execute("UPDATE face SET w=200, h=200")
    run_export(empty, tmp_path / "out", format="coco")
    # The detected box identifies the sample, so the exported one is changed.
    (box,) = (box for _, _, box in coco_boxes(tmp_path / "out"))
    assert box.x + box.width <= SIZE[0]
    assert box.y + box.height <= SIZE[1]


def test_ultralytics_caches_are_replaced(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg", [LEFT])
    out = tmp_path / "out"
    run_export(empty, out, format="yolo-detect")
    (out / "labels" / "train.cache").write_bytes(b"numpy")
    run_export(empty, out, format="yolo-detect")
    (out / "labels" / "mine.cache").write_bytes(b"mine")
    with pytest.raises(InputUnusable, match=r"mine\.cache"):
        run_export(empty, out, format="yolo-detect")
