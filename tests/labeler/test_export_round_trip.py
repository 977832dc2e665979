"""An export read back by an import."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from labelled_images import (
    encoded,
    picture,
    put,
    run_export,
    run_import,
    run_labeler,
    write_picture,
)
from PIL import Image as PillowImage

from gleanset import Box, Dataset, Origin
from gleanset.credit import clean_credit_text
from gleanset.errors import InputUnusable
from labeler.export.formats import FORMATS
from labeler.export.plan import plan_export

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
        yield dataset


@pytest.fixture(scope="module")
def exported(
    source: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, bool], Path]:
    """Return a function that exports the dataset once in each format."""

    @cache
    def export_source(form: str, no_split: bool) -> Path:
        out = tmp_path_factory.mktemp("exported") / form
        run_export(source, out, format=form, no_split=no_split)
        return out

    return export_source


def facts(dataset: Dataset, *, boxes: bool = False) -> dict[str, tuple[object, ...]]:
    """Return the label, split and credit of each sample by title, and its box if required."""
    result = {}
    for sample in dataset.samples.iter_by_key():
        image = dataset.images.get(sample.image)
        assert image is not None
        [face] = dataset.faces.list_in_image(sample.image)
        origin = max(image.origins, key=lambda origin: origin.author or "")
        credit = (origin.original_path, origin.author, origin.licence, origin.page_url)
        box = face.face.box if boxes else None
        result[str(origin.title)] = (sample.split, sample.label, box, *credit)
    assert len(result) == dataset.samples.count()
    return result


def facts_without_split(dataset: Dataset, *, boxes: bool = False) -> dict[str, tuple[object, ...]]:
    return {title: values[1:] for title, values in facts(dataset, boxes=boxes).items()}


@pytest.mark.parametrize("form", IMPORTABLE)
def test_export_round_trip(
    source: Dataset, exported: Callable[[str, bool], Path], empty: Dataset, form: str
) -> None:
    result = run_import(empty, exported(form, False))
    assert (result["added"], result["rejected"], result["disputed"]) == (len(NAMES), 0, 0)
    has_boxes = FORMATS[form].layout == "whole"
    assert facts_without_split(empty, boxes=has_boxes) == facts_without_split(
        source, boxes=has_boxes
    )
    if not has_boxes:
        second = run_import(source, exported(form, False))
        assert (second["relabelled"], second["unchanged"]) == (0, len(NAMES))


def test_export_without_split_round_trip(
    source: Dataset, exported: Callable[[str, bool], Path], empty: Dataset
) -> None:
    result = run_import(empty, exported("imagefolder", True))
    assert result["added"] == len(NAMES)
    assert facts_without_split(empty) == facts_without_split(source)


def test_part_of_export_keeps_classes_and_credit(
    source: Dataset, exported: Callable[[str, bool], Path], empty: Dataset
) -> None:
    train = exported("imagefolder", False) / "train"
    run_import(empty, train)
    in_train = {title for title, (split, *_) in facts(source).items() if split == "train"}
    all_facts = facts_without_split(source)
    assert facts_without_split(empty) == {title: all_facts[title] for title in in_train}


def test_format_without_import_raises_error(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    run_export(empty, tmp_path / "out", format="webdataset")
    with pytest.raises(InputUnusable, match="webdataset"):
        run_import(empty, tmp_path / "out")


def test_moved_images_keep_their_credit(empty: Dataset, tmp_path: Path) -> None:
    for number, name in enumerate(("hana", "rei")):
        origin = Origin("folder", name, title=f"{name}.jpg", author=name, licence="CC0")
        put(empty, encoded(picture(number)), name, label=name, origin=origin)
    out = tmp_path / "out"
    run_export(empty, out)
    next((out / "train" / "hana").iterdir()).rename(out / "train" / "rei" / "renamed.jpg")
    with Dataset.create(tmp_path / "other") as other:
        run_import(other, out)
        origins = [origin for image in other.images.iterate() for origin in image.origins]
        assert {(o.author, o.licence, o.title) for o in origins} == {
            ("hana", "CC0", "hana.jpg"),
            ("rei", "CC0", "rei.jpg"),
        }
        assert {sample.label for sample in other.samples.iter_by_key()} == {"rei"}


def test_coco_licences_are_imported(empty: Dataset, tmp_path: Path) -> None:
    PillowImage.new("RGB", (96, 96), "red").save(tmp_path / "x.jpg")
    licence = {"id": 4, "name": "Attribution", "url": "https://example.org/by/2.0/"}
    image = {"id": 1, "file_name": "x.jpg", "license": 4, "flickr_url": "https://example.org/x"}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 9, 40, 40]}
    categories = [{"id": 1, "name": "hana"}]
    document = {"images": [image], "annotations": [box], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(document | {"licenses": [licence]}))
    run_import(empty, tmp_path)
    [origin] = next(iter(empty.images.iterate())).origins
    assert origin.licence == "Attribution (https://example.org/by/2.0/)"
    assert origin.page_url == "https://example.org/x"


def test_damaged_marker_is_ignored(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    out = tmp_path / "out"
    run_export(empty, out)
    marker = out / ".gleanset-export.json"
    marker_facts = json.loads(marker.read_text())
    for entries in ([1], {"a": 1}, {"train/hana/a.jpg": {"label": 3}}):
        marker.write_text(json.dumps(marker_facts | {"images": entries}))
        with Dataset.create(tmp_path / f"other{len(str(entries))}") as other:
            assert run_import(other, out)["added"] == 1


def test_unsplit_class_folders_round_trip(empty: Dataset, tmp_path: Path) -> None:
    for number, label in enumerate(("hana", "rei", "hana", "test class")):
        write_picture(tmp_path / "inbox" / label / f"img{number // 2}.jpg", number)
    run_import(empty, tmp_path / "inbox")
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
        plan_export(empty)


@pytest.mark.parametrize("options", [["--no-split", "--move"], ["--undo", "-y"]])
def test_removed_options_have_hint(empty: Dataset, tmp_path: Path, options: list[str]) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    ran = run_labeler("export", tmp_path / "out", *options, "-d", empty.root)
    assert ran.code == 2
    assert "no longer exists" in ran.stderr
    assert "labeler export OUT --no-split --link" in ran.stderr
    assert not (tmp_path / "out").exists()
