"""Boxes in exports and imports; an export read back by an import."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from labelled_images import export_once, picture, put, run_export, run_import
from PIL import Image
from tools_for_tests import encode, exif_orientation, write_pictures

from gleanset import Box, Dataset, Origin
from gleanset.credit import clean_credit_text
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, Unreadable
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.xmp import read_face_regions
from gleanset.labelled_images import FRACTIONS, convert_box, is_same_shape
from labeler.export.formats import FORMATS
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export

SIZE = (120, 80)
CAT = "猫 - 'a' #1, [b]"
LEFT = Box(10, 10, 30, 30)
RIGHT = Box(70, 20, 24, 36)


@pytest.fixture
def mixed_images(empty: Dataset) -> Dataset:
    """A dataset of images with two, one and no faces, two of them with equal names."""
    put(empty, encode(picture(0)), "two.jpg", [LEFT, RIGHT])
    put(empty, encode(picture(1), "PNG"), "two.png", [RIGHT], label=CAT, split="val")
    put(empty, encode(picture(2)), "whole.jpg", split="test")
    put(empty, encode(picture(3)), "same (1).jpg", [LEFT])
    origin = Origin("folder", "other", title="same (1).png")
    put(empty, encode(picture(4), "PNG"), "", [RIGHT], origin=origin, label=CAT)
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
        names = {
            category["id"]: category["name"] for category in document["categories"]
        }
        for annotation in document["annotations"]:
            boxes[
                file.stem, names[annotation["category_id"]], Box(*annotation["bbox"])
            ] += 1
    return boxes


READ = {"yolo-detect": yolo_boxes, "coco": coco_boxes}


@pytest.mark.parametrize("format_", READ)
def test_boxes_are_read_back(
    mixed_images: Dataset, tmp_path: Path, format_: str
) -> None:
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
    originals = {
        path.read_bytes() for path in (mixed_images.root / "images").rglob("*.*")
    }
    out = [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.suffix in (".jpg", ".png")
    ]
    assert {path.read_bytes() for path in out} == originals
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "- object-detection" in card
    assert "6 samples in 5 images" in card


@pytest.mark.parametrize("format_", READ)
def test_image_with_undecided_face_is_left_out(
    mixed_images: Dataset, tmp_path: Path, format_: str
) -> None:
    _, undecided = put(mixed_images, encode(picture(8)), "eight.jpg", [LEFT, RIGHT])
    mixed_images.journal.apply("Back into the queue", [Choice(undecided, "add")])
    result = run_export(mixed_images, tmp_path / "out", format=format_)
    assert result["exported"] == 6
    assert "1 image with an undecided face left out" in result["notes"][0]
    # A rejected face is not missing.
    mixed_images.journal.apply("Reject", [Choice(undecided, "reject")])
    decided = run_export(mixed_images, tmp_path / "out", format=format_)
    assert (decided["exported"], "notes" in decided) == (7, False)


def test_queued_whole_image_is_not_missing_face(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "a.jpg", [LEFT])
    (queued,) = put(empty, encode(picture(0)), "a.jpg")
    empty.journal.apply("Back into the queue", [Choice(queued, "add")])
    assert run_export(empty, tmp_path / "out", format="coco")["exported"] == 1


def test_duplicate_keeps_its_box(empty: Dataset, tmp_path: Path) -> None:
    """A duplicate is not a sample, but its face is in the image."""
    keys = put(empty, encode(picture(0)), "a.jpg", [LEFT, RIGHT])
    (best,) = put(empty, encode(picture(1)), "b.jpg", [LEFT])
    empty.journal.apply("Back into the queue", [Choice(keys[1], "add")])
    with empty.db.transaction():
        empty.db.execute(
            "UPDATE sample SET duplicate_set='g' WHERE key IN (?,?)", (keys[1], best)
        )
        empty.db.execute("UPDATE sample SET kept=0 WHERE key=?", (keys[1],))
    result = run_export(empty, tmp_path / "out", format="coco")
    assert coco_boxes(tmp_path / "out") == {
        ("train", "hana", LEFT): 2,
        ("train", "hana", RIGHT): 1,
    }
    assert "notes" not in result


def test_box_is_clipped_to_image(empty: Dataset, tmp_path: Path) -> None:
    """Ultralytics drops images with boxes outside of them."""
    put(empty, encode(picture(0)), "a.jpg", [LEFT])
    with empty.db.transaction():
        empty.db.execute("UPDATE face SET w=200, h=200")
    run_export(empty, tmp_path / "out", format="coco")
    # The detected box identifies the sample, so the exported one is changed.
    (box,) = (box for _, _, box in coco_boxes(tmp_path / "out"))
    assert box.x + box.width <= SIZE[0]
    assert box.y + box.height <= SIZE[1]


def test_ultralytics_caches_are_replaced(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "a.jpg", [LEFT])
    out = tmp_path / "out"
    run_export(empty, out, format="yolo-detect")
    (out / "labels" / "train.cache").write_bytes(b"numpy")
    run_export(empty, out, format="yolo-detect")
    (out / "labels" / "mine.cache").write_bytes(b"mine")
    with pytest.raises(InputUnusable, match=r"mine\.cache"):
        run_export(empty, out, format="yolo-detect")


STORED = (100, 20, 40, 60)


def turned(orientation: int, size: tuple[int, int] = (200, 160)) -> DecodedImage:
    """Return a dark image with a red rectangle at STORED, before EXIF turns it."""
    image = Image.new("RGB", (200, 160), (20, 20, 20))
    x, y, width, height = STORED
    image.paste((250, 30, 30), (x, y, x + width, y + height))
    exif = exif_orientation(orientation)
    return decode(encode(image.resize(size), exif=exif, quality=95))


def red_share(image: DecodedImage, box: Box) -> float:
    part = image.pixels.crop((box.x, box.y, box.x + box.width, box.y + box.height))
    colours = np.asarray(part).astype(int)
    return float(((colours[..., 0] > 150) & (colours[..., 1] < 90)).mean())


@pytest.mark.parametrize("size", [(200, 160), (100, 80), (67, 54), (400, 320)])
def test_box_follows_scaling(size: tuple[int, int]) -> None:
    image = turned(1, size)
    box = convert_box(STORED, (200, 160), image)
    assert red_share(image, box) > 0.85
    assert box.width * box.height == pytest.approx(2400 * (size[0] / 200) ** 2, rel=0.1)


def test_box_of_upright_image_is_unchanged() -> None:
    """As annotation tools that turn images write it."""
    image = turned(6)
    assert convert_box((10, 20, 30, 40), (160, 200), image) == Box(10, 20, 30, 40)
    assert convert_box((5, 10, 15, 20), (80, 100), image) == Box(10, 20, 30, 40)
    assert convert_box((0.25, 0.1, 0.5, 0.2), FRACTIONS, image) == Box(40, 20, 80, 40)
    assert convert_box((10.4, 20, 30, 40), None, image) == Box(10, 20, 30, 40)


@pytest.mark.parametrize("frame", [(200, 200), (160, 90), (1000, 100)])
def test_other_aspect_ratio_raises_error(frame: tuple[float, float]) -> None:
    with pytest.raises(Unreadable, match="another size than annotated"):
        convert_box((1, 1, 9, 9), frame, turned(1))
    with pytest.raises(Unreadable, match="box outside"):
        convert_box((300, 300, 9, 9), (200, 160), turned(1))


@pytest.mark.parametrize("size", [(4000, 2996), (2996, 4000), (1999, 1001)])
@pytest.mark.parametrize("factor", [2, 3, 7, 10, 40])
def test_sizes_of_a_reduced_image_are_of_one_shape(
    size: tuple[int, int], factor: int
) -> None:
    """As programs write that mark boxes on a smaller copy, whose sides they round."""
    for rounded in (math.floor, round, math.ceil):
        small = [rounded(side / factor) for side in size]
        assert is_same_shape(small, size)
        assert is_same_shape(size, small)
    small[0] += 5
    assert not is_same_shape(small, size)
    assert not is_same_shape(size, small)


def test_card_counts_samples_where_images_have_several(
    empty: Dataset, tmp_path: Path
) -> None:
    boxes = [Box(5, 5, 40, 40), Box(60, 20, 40, 40)]
    put(empty, encode(picture(0)), "a.jpg", boxes)
    run_export(empty, tmp_path / "out", format="coco")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "2 of 2 samples have no known licence." in card
    assert "Samples per class: 2 to 2." in card


NAMES = (
    "Hatsune, Miku",
    "quo'te\"d",
    "'=1+1",
    "=SUM(A1)",
    "-x",
    ".hidden",
    "a  b",
    "a\u3000b",
    "עברית \u202eabc",
    "👩\u200d🚀🎉",
    "con",
    "lpt1.x",
    "ends with dot.",
    "x" * 95,
    "あ" * 95,
    "Case",
    "cASE",
    "cafe\u0301",
    "café!",
    "train",
    "val",
    "images",
    "labels",
    "123",
    "0",
    "null",
    "100%",
    "%2e%2e",
    "#hash; semi",
    "README.md",
    "metadata.parquet",
    "it's [x] {y} & z",
    "a: b, - c",
    "line\u2028break\u0085x",
    "_1",
)
IMPORTABLE = (
    "imagefolder",
    "csv",
    "captions",
    "yolo-classify",
    "huggingface",
    "coco",
    "yolo-detect",
)
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """A dataset with an image and a class for each name; every third image has a face."""
    with Dataset.create(tmp_path_factory.mktemp("source") / "dataset") as dataset:
        for number, name in enumerate(NAMES):
            label = "".join(
                c for c in name if c not in '"\\/:*?<>|\u0085\u2028\u202e'
            ).lstrip(".")
            origin = Origin(
                "folder",
                f"/pictures/{number}",
                title=f"{name}.jpg",
                path=f"/pictures/{number}",
                original_path=f"folder {number}/{name}.jpg",
                author=clean_credit_text(f"by {name}"),
                licence="CC-BY-4.0" if number % 2 else None,
                page_url=f"https://example.org/{number}",
            )
            boxes = [Box(10, 10, 30, 30)] if number % 3 == 0 else []
            data = encode(picture(number), "PNG" if number % 2 else "JPEG")
            put(
                dataset,
                data,
                name,
                boxes,
                label=label,
                split=SPLITS[number % 3],
                origin=origin,
            )
        yield dataset


@pytest.fixture(scope="module")
def exported(
    source: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return a function that exports the dataset once in each format."""
    return export_once(source, tmp_path_factory.mktemp("exported"))


def facts(dataset: Dataset, *, boxes: bool = False) -> dict[str, tuple[object, ...]]:
    """Return the label, split and credit of each sample by title, and its box if required."""
    result = {}
    for sample in dataset.samples.iter_by_key():
        image = dataset.images.get(sample.image)
        [face] = dataset.faces.list_in_image(sample.image)
        origin = max(image.origins, key=lambda origin: origin.author or "")
        credit = (origin.original_path, origin.author, origin.licence, origin.page_url)
        box = face.face.box if boxes else None
        result[str(origin.title)] = (sample.split, sample.label, box, *credit)
    assert len(result) == dataset.samples.count()
    return result


def facts_without_split(
    dataset: Dataset, *, boxes: bool = False
) -> dict[str, tuple[object, ...]]:
    return {title: values[1:] for title, values in facts(dataset, boxes=boxes).items()}


@pytest.mark.parametrize("form", IMPORTABLE)
def test_export_round_trip(
    source: Dataset, exported: Callable[[str], Path], empty: Dataset, form: str
) -> None:
    result = run_import(empty, exported(form))
    assert (result["added"], result["rejected"], result["disputed"]) == (
        len(NAMES),
        0,
        0,
    )
    has_boxes = FORMATS[form].layout == "whole"
    assert facts_without_split(empty, boxes=has_boxes) == facts_without_split(
        source, boxes=has_boxes
    )
    if not has_boxes:
        second = run_import(source, exported(form))
        assert (second["relabelled"], second["unchanged"]) == (0, len(NAMES))


def test_part_of_export_keeps_classes_and_credit(
    source: Dataset, exported: Callable[[str], Path], empty: Dataset
) -> None:
    train = exported("imagefolder") / "train"
    run_import(empty, train)
    in_train = {
        title for title, (split, *_) in facts(source).items() if split == "train"
    }
    all_facts = facts_without_split(source)
    assert facts_without_split(empty) == {title: all_facts[title] for title in in_train}


def test_format_without_import_raises_error(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "a.jpg")
    run_export(empty, tmp_path / "out", format="webdataset")
    with pytest.raises(InputUnusable, match="webdataset"):
        run_import(empty, tmp_path / "out")


@pytest.mark.parametrize("level", [None, 1])
def test_moved_images_keep_their_credit(
    empty: Dataset, tmp_path: Path, level: int | None
) -> None:
    for number, name in enumerate(("hana", "rei")):
        origin = Origin("folder", name, title=f"{name}.jpg", author=name, licence="CC0")
        put(empty, encode(picture(number)), name, label=name, origin=origin)
    out = tmp_path / "out"
    run_export(empty, out)
    next((out / "train" / "hana").iterdir()).rename(
        out / "train" / "rei" / "renamed.jpg"
    )
    with Dataset.create(tmp_path / "other") as other:
        run_import(other, out, class_level=level)
        origins = [
            origin for image in other.images.iterate() for origin in image.origins
        ]
        assert {(o.author, o.licence, o.title) for o in origins} == {
            ("hana", "CC0", "hana.jpg"),
            ("rei", "CC0", "rei.jpg"),
        }
        assert {sample.label for sample in other.samples.iter_by_key()} == {"rei"}


def test_coco_licences_are_imported(empty: Dataset, tmp_path: Path) -> None:
    Image.new("RGB", (96, 96), "red").save(tmp_path / "x.jpg")
    licence = {"id": 4, "name": "Attribution", "url": "https://example.org/by/2.0/"}
    image = {
        "id": 1,
        "file_name": "x.jpg",
        "license": 4,
        "flickr_url": "https://example.org/x",
    }
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 9, 40, 40]}
    categories = [{"id": 1, "name": "hana"}]
    document = {"images": [image], "annotations": [box], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(document | {"licenses": [licence]}))
    run_import(empty, tmp_path)
    [origin] = next(iter(empty.images.iterate())).origins
    assert origin.licence == "Attribution (https://example.org/by/2.0/)"
    assert origin.page_url == "https://example.org/x"


def test_damaged_marker_is_ignored(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "a.jpg")
    out = tmp_path / "out"
    run_export(empty, out)
    marker = out / ".gleanset-export.json"
    marker_facts = json.loads(marker.read_text())
    for entries in ([1], {"a": 1}, {"train/hana/a.jpg": {"label": 3}}):
        marker.write_text(json.dumps(marker_facts | {"images": entries}))
        with Dataset.create(tmp_path / f"other{len(str(entries))}") as other:
            assert run_import(other, out)["added"] == 1


def test_unsplit_class_folders_round_trip(empty: Dataset, tmp_path: Path) -> None:
    names = ("hana/img0.jpg", "rei/img0.jpg", "hana/img1.jpg", "test class/img1.jpg")
    run_import(empty, write_pictures(tmp_path / "inbox", names))
    out = tmp_path / "out"
    done = run_export(empty, out, no_split=True, link=True)
    assert done["exported"] == 4
    assert "splits" not in done
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"hana", "rei", "test class"}
    assert all(path.stat().st_nlink > 1 for path in out.rglob("*.jpg"))
    card = (out / "README.md").read_text()
    assert "| class | all |" in card
    assert 'ImageFolder(".")' in card
    assert run_import(empty, out)["unchanged"] == 4
    shutil.move(next((out / "test class").glob("*")), out / "rei")
    assert run_import(empty, out)["relabelled"] == 1
    with pytest.raises(InputUnusable, match="no labelled sample has a split"):
        plan_export(empty, ExportOptions())


def test_sidecars_have_the_named_faces_of_each_image(
    mixed_images: Dataset, tmp_path: Path
) -> None:
    """Also of images in which another face is undecided."""
    dataset = mixed_images
    put(dataset, encode(picture(5)), "one of two.jpg", [LEFT, RIGHT], label=CAT)
    undecided = next(
        sample.key
        for sample in dataset.samples.iter_by_key()
        if sample.label == CAT and sample.box.x > 40 and sample.split == "train"
    )
    dataset.journal.apply("clear", [Choice(undecided, "clear")])
    out = tmp_path / "out"
    result = run_export(dataset, out, format="xmp", no_split=True)
    sidecars = {}
    for path in sorted((out / "images").glob("*.xmp")):
        assert path.with_suffix("").is_file()
        regions = read_face_regions(path.read_bytes())
        assert regions.size == {"width": "120", "height": "80"}
        faces = []
        for name, (x, y, width, height) in regions.faces:
            corners = (x - width / 2) * 120, (y - height / 2) * 80
            box = Box(*map(round, (*corners, width * 120, height * 80)))
            faces.append((name, box))
        sidecars[path.name] = faces
    assert sidecars["one of two.jpg.xmp"] == [(CAT, LEFT)]
    assert sorted(box for _, box in sidecars["two.jpg.xmp"]) == [LEFT, RIGHT]
    assert sidecars["whole.jpg.xmp"] == []
    assert len(sidecars) == result["images"] == 6

    # A sidecar that a photo program changed is not overwritten.
    (out / "images/two.jpg.xmp").write_text("changed")
    with pytest.raises(InputUnusable, match=r"edited, such as images/two\.jpg\.xmp"):
        run_export(dataset, out, format="xmp", no_split=True)


def test_images_without_a_split_are_left_out_for_their_licence(
    tmp_path: Path, empty: Dataset
) -> None:
    faces = [Box(10, 10, 30, 30)]
    for number, licence in enumerate(("cc-by", None)):
        origin = Origin("folder", str(number), title=f"{number}.jpg", licence=licence)
        put(empty, encode(picture(number)), "", faces, origin=origin)
    empty.samples.set_splits({})
    options = {"format": "xmp", "no_split": True, "licences": ("cc-*",)}
    result = run_export(empty, tmp_path / "out", **options)
    assert result["exported"] == 1
    assert result["left_out"] == {"of another licence": 1}
