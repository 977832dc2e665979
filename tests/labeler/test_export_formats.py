"""Every export format is read back by its tool and matches the catalogue; captions."""

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from labelled_images import export_once, picture, put, run_export, run_labeler
from PIL import Image, ImageChops
from tools_for_tests import encode

from gleanset import Box, Dataset, Origin
from gleanset.errors import InputUnusable, UsageError
from gleanset.settings import CropSettings
from labeler.export.descriptions import CROISSANT
from labeler.export.formats import FORMATS
from labeler.export.options import ExportOptions, parse_size
from labeler.export.rows import escape_formula

SPLITS = ("train", "val", "test")
TEXTS = (".csv", ".json", ".jsonl", ".md", ".txt", ".yaml")
IMAGE_FORMATS = [name for name in FORMATS if name != "clips"]
KINDS_OF_RECORDS = ("parquet", "webdataset", "coco")
"""A format of each kind of records in `croissant.json`."""
LICENCES = ("CC-BY-4.0", "all rights reserved", None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Two classes in three splits, faces and whole images, several licences."""
    with Dataset.create(tmp_path_factory.mktemp("formats") / "dataset") as made:
        for number in range(9):
            boxes = [Box(10, 10, 30, 30), Box(70, 20, 30, 30)] if number % 2 else []
            origin = Origin(
                "flickr",
                f"f{number}",
                url=f"http://h/{number}.jpg",
                title=f"№ {number}.jpg",
                author="=cmd|' /C calc'!A0",
                licence=LICENCES[number % 3],
                page_url=f"http://h/p/{number}",
                path=f"/in/{number}.jpg",
                original_path=f"in/{number}.jpg",
            )
            put(
                made,
                encode(picture(number)),
                "",
                boxes,
                label=("花", "rei")[number // 3 % 2],
                split=SPLITS[number % 3],
                origin=origin,
            )
        yield made


def expected_counts(dataset: Dataset) -> Counter[tuple[str, str]]:
    return Counter(
        (str(s.split), str(s.label)) for s in dataset.samples.iter_in_splits()
    )


@pytest.fixture(scope="module")
def exported(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return a function that exports the dataset once in each format."""
    return export_once(dataset, tmp_path_factory.mktemp("exported"))


def classes_of_coco(read: Any) -> Counter[str]:
    names = {row["id"]: row["name"] for row in read.dataset["categories"]}
    return Counter(names[row["category_id"]] for row in read.dataset["annotations"])


def classes_of_shards(read: Any) -> Counter[str]:
    names = Path("classes.txt").read_text(encoding="utf-8").split()
    rows = list(read)
    assert all(
        row["jpg"].width and row["json"]["label"] == names[row["cls"]] for row in rows
    )
    return Counter(names[row["cls"]] for row in rows)


def classes_of_rows(read: Any) -> Counter[str]:
    assert all(row["image"].size == (row["width"], row["height"]) for row in read)
    assert set(map(read.features["label"].int2str, read["label"])) == set(read["class"])
    return Counter(read["class"])


SLOW_READERS = ("imagefolder", "huggingface")
"""torchvision takes 8 s to load; a table of `datasets` is read with `parquet`, too."""
READERS: dict[str, tuple[str, Callable[[Any], Counter[str]]]] = {
    "imagefolder": (
        "torchvision",
        lambda read: Counter(read.classes[y] for _, y in read),
    ),
    "csv": ("pandas", lambda read: Counter(read["label"])),
    "huggingface": ("datasets", classes_of_rows),
    "parquet": ("datasets", classes_of_rows),
    "webdataset": ("webdataset", classes_of_shards),
    "coco": ("pycocotools", classes_of_coco),
    "captions": (
        "pathlib",
        lambda read: Counter(text.partition(",")[0] for _, text in read),
    ),
}


# Readers do not close their files.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(
    "format_",
    [
        pytest.param(name, marks=pytest.mark.long if name in SLOW_READERS else [])
        for name in IMAGE_FORMATS
        if name in READERS or not name.startswith(("yolo", "captions", "xmp"))
    ],
)
def test_code_of_card_reads_export(
    dataset: Dataset,
    exported: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    library, classes = READERS[format_]
    pytest.importorskip(library)
    if library == "datasets":
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    out = exported(format_)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "license: other" in card
    assert ("class_label:" in card) == bool(FORMATS[format_].data_files)
    (lines,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(out)
    names: dict[str, Any] = {}
    exec(lines, names)
    result = Counter(
        {("train", label): n for label, n in classes(names["train"]).items()}
    )
    assert result == Counter(
        {row: n for row, n in expected_counts(dataset).items() if row[0] == "train"}
    )


def test_csv_lists_images_and_escapes_formulas(
    dataset: Dataset, exported: Callable[[str], Path]
) -> None:
    out = exported("csv")
    for name in ("samples.csv", "LICENSES.csv"):
        text = (out / name).read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == expected_counts(dataset).total()
        for row in rows:
            path = row.get("path") or row["file"]
            assert (out / path).is_file()
            assert row["author"].startswith("'=cmd")
    assert escape_formula("") == ""


@pytest.mark.parametrize("format_", IMAGE_FORMATS)
def test_croissant_and_licences_match_dataset(
    dataset: Dataset, exported: Callable[[str], Path], format_: str
) -> None:
    out = exported(format_)
    result = json.loads((out / CROISSANT).read_text(encoding="utf-8"))
    assert [record["name"] for record in result["recordSet"]] == ["images"]
    assert result["license"] == ["CC-BY-4.0", "all rights reserved"]
    files = {record["@id"]: record for record in result["distribution"]}
    for name, record in files.items():
        if "sha256" in record:
            data = (out / record["contentUrl"]).read_bytes()
            assert record["sha256"] == hashlib.sha256(data).hexdigest(), name
    assert result["rai:dataCollection"] == f"flickr: {expected_counts(dataset).total()}"
    with (out / "LICENSES.csv").open(encoding="utf-8", newline="") as file:
        paths = {row["original_path"] for row in csv.DictReader(file)}
    assert paths == {f"in/{number}.jpg" for number in range(9)}
    texts = [file for file in out.rglob("*") if file.suffix in TEXTS]
    assert not [file.name for file in texts if b"\r" in file.read_bytes()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "format_",
    [
        pytest.param(name, marks=[] if name in KINDS_OF_RECORDS else pytest.mark.long)
        for name in IMAGE_FORMATS
    ],
)
def test_mlcroissant_reads_every_format(
    dataset: Dataset,
    exported: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    # By default files extracted from a tar are reused for the next one of that name.
    extract = import_module("mlcroissant._src.operation_graph.operations.extract")
    monkeypatch.setattr(
        extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "unpacked")
    )
    read = mlcroissant.Dataset(str(exported(format_) / CROISSANT))
    assert read.metadata.issues.errors == set()
    rows = [
        {name.removeprefix("images/"): value for name, value in row.items()}
        for row in read.records("images")
    ]
    result = Counter((row["split"].decode(), row["label"].decode()) for row in rows)
    if FORMATS[format_].layout == "whole":
        samples = {
            (s.image, str(s.split), str(s.label))
            for s in dataset.samples.iter_in_splits()
        }
        assert result == Counter((split, label) for _, split, label in samples)
    else:
        assert result == expected_counts(dataset)
    assert all(row["image"].width > 1 for row in rows)
    licences = {(row["licence"] or b"").decode() for row in rows}
    assert licences == {licence or "" for licence in LICENCES}
    assert {row["source"] for row in rows} == {b"flickr"}
    assert all(row["page"].startswith(b"http://h/p/") for row in rows)


def test_card_lists_detector_settings(empty: Dataset, tmp_path: Path) -> None:
    empty.settings = msgspec.structs.replace(
        empty.settings, crop=CropSettings(detector="animeface", margin=2.0)
    )
    for number in range(6):
        origin = Origin("flickr", str(number))
        put(empty, encode(picture(number)), "", [Box(10, 10, 30, 30)], origin=origin)
    with empty.db.transaction():
        empty.db.execute(
            "INSERT OR REPLACE INTO scan(image, detector, settings, cut, at) "
            "SELECT id, 'animeface', iif(id = 1, 'threshold=0.5', 'threshold=0.9'), "
            "'margin=0.8 square', '' FROM image"
        )
        # Not found by the latest search.
        empty.db.execute("UPDATE sample SET face = NULL WHERE image = 6")
    run_export(empty, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert (
        "- 4 faces found by animeface (threshold=0.9), cropped with margin=0.8 square\n"
        in card
    )
    assert (
        "- 1 face found by animeface (threshold=0.5), cropped with margin=0.8 square\n"
        in card
    )
    assert "- 1 face found by animeface (unknown settings), cropped with" in card
    assert "margin 2" not in card


def test_licence_filter(dataset: Dataset, tmp_path: Path) -> None:
    results = run_export(dataset, tmp_path / "out", licences=("cc-*",))
    result = (tmp_path / "out" / "LICENSES.csv").read_text(encoding="utf-8")
    assert results["exported"] == sum(
        "CC-BY-4.0" in str(dataset.images.get(s.image))
        for s in dataset.samples.iter_in_splits()
    )
    assert "all rights" not in result
    with pytest.raises(InputUnusable, match="gpl"):
        run_export(dataset, tmp_path / "none", licences=("gpl*",))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_size_fit_and_grayscale(dataset: Dataset, tmp_path: Path, fit: str) -> None:
    run_export(
        dataset, tmp_path / "out", size="30x20", fit=fit, grayscale=True, file="png"
    )
    paths = list((tmp_path / "out").rglob("*.png"))
    assert len(paths) == expected_counts(dataset).total()
    for path in paths:
        with Image.open(path) as image:
            assert (image.size, image.mode, image.format) == ((30, 20), "L", "PNG")
            if fit == "pad" and "_" in path.stem.removeprefix("flickr-"):
                assert np.asarray(image)[0, 0] == 255 or image.size[0] == image.size[1]


def test_conflicting_options_raise_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="boxes refer"):
        ExportOptions(format="coco", size="3x3")
    conflicts: list[tuple[str, dict[str, Any]]] = [
        ("only unchanged", {"link": True, "file": "jpeg"}),
        ("packs images", {"link": True, "format": "parquet"}),
        ("has no shards", {"shard_size": "2"}),
    ]
    for problem, options in conflicts:
        with pytest.raises(UsageError, match=problem):
            ExportOptions(**options)
    assert parse_size("300") == (300, 300)
    for wrong in ("0x3", "a", "3x", "99999"):
        with pytest.raises(UsageError):
            parse_size(wrong)


@pytest.fixture
def labelled(empty: Dataset) -> Dataset:
    """A dataset with two images of hana, one of them with tags, and one of rei."""
    for number, (name, tags) in enumerate(
        (("hana", ("smile", "rain")), ("hana", ()), ("rei", ()))
    ):
        origin = Origin("pixiv", f"{number}:0", tags=tags)
        put(empty, encode(picture(number)), "", label=name, origin=origin)
    return empty


def export(dataset: Dataset, out: Path, *options: str) -> dict[str, str]:
    run_labeler("export", out, *options, "-d", dataset.root, "--json").checked()
    return {
        path.relative_to(out).as_posix(): path.read_text().strip()
        for path in out.rglob("*.txt")
    }


def test_captions_follow_template(labelled: Dataset, tmp_path: Path) -> None:
    texts = export(labelled, tmp_path / "plain", "--format", "captions")
    assert sorted(texts.values()) == ["hana", "hana, smile, rain", "rei"]
    assert {path.split("/")[1] for path in texts} == {"hana", "rei"}
    for path in texts:
        assert [*(tmp_path / "plain" / path).parent.glob(f"{Path(path).stem}.[jp]*g")]
    options = ("--format", "captions", "--caption", "art of {class}; {tags}")
    assert (
        "art of hana; smile, rain"
        in export(labelled, tmp_path / "other", *options).values()
    )


def test_braces_in_captions_stay(labelled: Dataset, tmp_path: Path) -> None:
    template = "{{tags}} of {class}, {tags} {{{title}}}"
    options = ("--format", "captions", "--caption", template)
    texts = export(labelled, tmp_path / "out", *options).values()
    # Two of the images have no tags, and none has a title.
    assert {"{tags} of rei {}", "{tags} of hana, smile, rain {}"} <= {*texts}


def test_edited_captions_and_cards_are_not_overwritten(
    labelled: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "my out"
    words = ("export", out, "--format", "captions", "-d", labelled.root)
    assert run_labeler(*words).code == 0
    assert run_labeler(*words).code == 0
    caption = next(out.rglob("*.txt"))
    for edited in (caption, out / "README.md"):
        before = edited.read_text(encoding="utf-8")
        edited.write_text("girl in the rain", encoding="utf-8")
        name = edited.relative_to(out).as_posix()
        run_labeler(*words).refused(3, f"files that were edited, such as {name}")
        assert edited.read_text(encoding="utf-8") == "girl in the rain"
        edited.write_text(before, encoding="utf-8")
    assert run_labeler(*words).code == 0
    (out / "new.txt").write_text("mine", encoding="utf-8")
    run_labeler(*words).refused(3, f"labeler import '{out}'")


def test_half_bodies_are_cropped_from_originals(empty: Dataset, tmp_path: Path) -> None:
    original = picture(0, (800, 600))
    put(empty, encode(original, "PNG"), "a.png", [Box(400, 100, 80, 60)])
    put(empty, encode(picture(1, (300, 200))), "b.jpg", label="rei")
    words = (
        "--format",
        "captions",
        "--crop",
        "half-body",
        "--file",
        "png",
        "--no-split",
    )
    export(empty, tmp_path / "out", *words)
    with Image.open(tmp_path / "out" / "hana" / "a_1.png") as half:
        assert (
            ImageChops.difference(half, original.crop((280, 36, 600, 436))).getbbox()
            is None
        )
    with Image.open(tmp_path / "out" / "rei" / "b.png") as whole:
        assert whole.size == (300, 200)
    printed = run_labeler("export", tmp_path / "again", *words, "-d", empty.root).stdout
    assert "1 image without a face exported whole, not as a half body" in printed
    coco = ("--format", "coco", "--crop", "half-body", "-d", empty.root)
    run_labeler("export", tmp_path / "coco", *coco).refused(2, "leave out --crop")


@pytest.mark.parametrize(
    "template",
    [
        "{nobody}",
        "{class",
        "{class.__init__}",
        "{class:d}",
        "{class:>9}",
        "{class!r}",
        "{tags:{class}}",
        "two\nlines",
    ],
)
def test_invalid_template_raises_error(
    labelled: Dataset, tmp_path: Path, template: str
) -> None:
    words = ("--format", "captions", "--caption", template, "-d", labelled.root)
    run_labeler("export", tmp_path / "out", *words).refused(2, "caption")
