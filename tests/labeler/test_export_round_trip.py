"""Exports that are imported into an empty dataset, with difficult names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from labelled_images import assign, encoded, picture, put
from PIL import Image as PillowImage

from gleanset import Box, Dataset, Origin
from gleanset.credit import clean_credit_text
from gleanset.errors import InputUnusable
from labeler.export.formats import FORMATS
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest

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
Row = tuple[str | None, str | None, tuple[int, ...], object, object, object, object, object]


def fill(dataset: Dataset) -> None:
    """Add an image and a class for each name; every third image has a face."""
    for number, name in enumerate(NAMES):
        label = "".join(c for c in name if c not in '"\\/:*?<>|\u0085\u2028\u202e').lstrip(".")
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
        data = encoded(picture(number), "PNG" if number % 2 else "JPEG")
        put(dataset, data, name, boxes, label=label, split=SPLITS[number % 3], origin=origin)


def rows(dataset: Dataset, *, cut: bool) -> list[Row]:
    """Return the facts of each sample; cropped faces have no box."""
    result = []
    for sample in dataset.samples.iter_by_key():
        image = dataset.images.get(sample.image)
        assert image is not None
        [face] = dataset.faces.list_in_image(sample.image)
        o = max(image.origins, key=lambda origin: origin.author or "")
        box = (0, 0, 0, 0) if cut else tuple(face.face.box)
        credit = (o.title, o.original_path, o.author, o.licence, o.page_url)
        result.append((sample.label, sample.split, box, *credit))
    return sorted(result, key=repr)


@pytest.mark.parametrize("form", IMPORTABLE)
def test_export_round_trip(empty: Dataset, tmp_path: Path, form: str) -> None:
    fill(empty)
    export(empty, tmp_path / "out", ExportOptions(format=form), workers=1)
    with Dataset.create(tmp_path / "other") as other:
        request = ImportRequest(path=str(tmp_path / "out"), workers=1)
        result = import_labelled(other, request)
        assert (result["added"], result["rejected"], result["disputed"]) == (len(NAMES), 0, 0)
        cut = FORMATS[form].layout == "class folders"
        assert rows(other, cut=cut) == rows(empty, cut=cut)
        assert result["splits"] == {split: len(NAMES[i::3]) for i, split in enumerate(SPLITS)}
    if cut:
        again = import_labelled(empty, request)
        assert (again["relabelled"], again["unchanged"]) == (0, len(NAMES))


@pytest.mark.parametrize("form", ["imagefolder", "csv", "captions"])
def test_export_without_split_round_trip(empty: Dataset, tmp_path: Path, form: str) -> None:
    fill(empty)
    assign(empty, {})
    empty.samples.set_splits({}, "none")
    options = ExportOptions(format=form, no_split=True)
    export(empty, tmp_path / "out", options, workers=1)
    with Dataset.create(tmp_path / "other") as other:
        result = import_labelled(other, ImportRequest(path=str(tmp_path / "out"), workers=1))
        assert result["added"] == len(NAMES)
        assert rows(other, cut=True) == rows(empty, cut=True)


@pytest.mark.parametrize("form", ["captions-whole", "webdataset", "parquet"])
def test_format_without_import_raises_error(empty: Dataset, tmp_path: Path, form: str) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    export(empty, tmp_path / "out", ExportOptions(format=form), workers=1)
    request = ImportRequest(path=str(tmp_path / "out"), workers=1)
    with Dataset.create(tmp_path / "other") as other, pytest.raises(InputUnusable, match=form):
        import_labelled(other, request)


def test_moved_images_keep_their_credit(empty: Dataset, tmp_path: Path) -> None:
    for number, name in enumerate(("hana", "rei")):
        origin = Origin("folder", name, title=f"{name}.jpg", author=name, licence="CC0")
        put(empty, encoded(picture(number)), name, label=name, origin=origin)
    out = tmp_path / "out"
    export(empty, out, workers=1)
    next((out / "train" / "hana").iterdir()).rename(out / "train" / "rei" / "renamed.jpg")
    with Dataset.create(tmp_path / "other") as other:
        import_labelled(other, ImportRequest(path=str(out), workers=1))
        origins = [origin for image in other.images.iterate() for origin in image.origins]
        assert {(o.author, o.licence, o.title) for o in origins} == {
            ("hana", "CC0", "hana.jpg"),
            ("rei", "CC0", "rei.jpg"),
        }
        assert {sample.label for sample in other.samples.iter_by_key()} == {"rei"}


@pytest.mark.parametrize("form", ["imagefolder", "captions", "yolo-classify"])
def test_part_of_export_keeps_classes_and_credit(empty: Dataset, tmp_path: Path, form: str) -> None:
    fill(empty)
    export(empty, tmp_path / "out", ExportOptions(format=form), workers=1)
    with Dataset.create(tmp_path / "other") as other:
        import_labelled(other, ImportRequest(path=str(tmp_path / "out/train"), workers=1))
        of_train = [row for row in rows(empty, cut=True) if row[1] == "train"]
        assert [row[0:1] + row[3:] for row in rows(other, cut=True)] == [
            row[0:1] + row[3:] for row in of_train
        ]


def test_import_keeps_existing_split(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg", split="test")
    export(empty, tmp_path / "out", workers=1)
    with Dataset.create(tmp_path / "other") as other:
        [own_sample] = put(other, encoded(picture(1)), "b.jpg", split="val")
        result = import_labelled(other, ImportRequest(path=str(tmp_path / "out"), workers=1))
        assert result["split_folders_not_taken_over"] == {"test": 1}
        splits = {sample.key: sample.split for sample in other.samples.iter_by_key()}
        assert splits.pop(own_sample) == "val"
        assert [*splits.values()] == [None]


def test_coco_licences_are_imported(empty: Dataset, tmp_path: Path) -> None:
    PillowImage.new("RGB", (96, 96), "red").save(tmp_path / "x.jpg")
    licence = {"id": 4, "name": "Attribution", "url": "https://example.org/by/2.0/"}
    image = {"id": 1, "file_name": "x.jpg", "license": 4, "flickr_url": "https://example.org/x"}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 9, 40, 40]}
    categories = [{"id": 1, "name": "hana"}]
    document = {"images": [image], "annotations": [box], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(document | {"licenses": [licence]}))
    import_labelled(empty, ImportRequest(path=str(tmp_path), workers=1))
    [origin] = next(iter(empty.images.iterate())).origins
    assert origin.licence == "Attribution (https://example.org/by/2.0/)"
    assert origin.page_url == "https://example.org/x"


def test_damaged_marker_is_ignored(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    out = tmp_path / "out"
    export(empty, out, workers=1)
    marker = out / ".gleanset-export.json"
    result = json.loads(marker.read_text())
    for pictures in ([1], {"a": 1}, {"train/hana/a.jpg": {"label": 3}}):
        marker.write_text(json.dumps(result | {"images": pictures}))
        with Dataset.create(tmp_path / f"other{len(str(pictures))}") as other:
            assert import_labelled(other, ImportRequest(path=str(out), workers=1))["added"] == 1
