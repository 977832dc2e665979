"""Exports with balanced classes, and sums of what is exported and left out."""

import csv
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from labelled_images import picture, put, run_export, run_import, run_labeler
from PIL import Image, ImageChops
from tools_for_tests import encode, read_files, run_here, write_pictures

from gleanset import Box, Dataset, Origin
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.images.measure import measure
from labeler.export.balance import augment_image
from labeler.export.options import ExportOptions
from labeler.export.tree import MARKER

SIZES = {"hana": 5, "rei": 2}


@pytest.fixture
def unequal(empty: Dataset) -> Dataset:
    """A dataset with 5 and 2 images in train, and one of each class in val and test."""
    number = 0
    for label, size in SIZES.items():
        for split in ("train",) * size + ("val", "test"):
            put(
                empty,
                encode(picture(number)),
                f"{number}.jpg",
                label=label,
                split=split,
            )
            number += 1
    return empty


def images_by_class(out: Path) -> dict[tuple[str, str], list[Path]]:
    """Return the images of each split and class."""
    images: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(out.rglob("*.jpg")):
        images.setdefault((path.parts[-3], path.parts[-2]), []).append(path)
    return images


def test_copies_fill_train_up_to_the_largest_class(
    unequal: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_export(unequal, out, balance="copies")
    assert result["balance"] == {
        "hana": {"before": 5, "after": 5},
        "rei": {"before": 2, "after": 5},
    }
    assert result["exported"] == 14
    images = images_by_class(out)
    assert {place: len(paths) for place, paths in images.items()} == {
        ("train", "hana"): 5,
        ("train", "rei"): 5,
        ("val", "hana"): 1,
        ("val", "rei"): 1,
        ("test", "hana"): 1,
        ("test", "rei"): 1,
    }
    names = [path.name for path in out.rglob("*-copy-*")]
    assert len(names) == 3
    contents = Counter(path.read_bytes() for path in images["train", "rei"])
    assert sorted(contents.values()) == [2, 3]
    # Each name begins with that of the image that it repeats.
    for path in images["train", "rei"]:
        original = path.with_name(f"{path.stem.partition('-')[0]}.jpg")
        assert path.read_bytes() == original.read_bytes()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "balance of train: copies were added: rei 3" in card


def test_target_is_a_minimum_for_copies_and_a_maximum_for_down(
    unequal: Dataset, tmp_path: Path
) -> None:
    def sizes(out: str, **options: object) -> list[int]:
        run_export(unequal, tmp_path / out, **options)
        images = images_by_class(tmp_path / out)
        assert len(images["test", "rei"]) == 1
        return [len(images["train", label]) for label in SIZES]

    assert sizes("a", balance="copies", target=4) == [5, 4]
    assert sizes("b", balance="copies", target=12) == [12, 12]
    assert sizes("c", balance="down") == [2, 2]
    assert sizes("d", balance="down", target=3) == [3, 2]
    result = run_export(unequal, tmp_path / "e", balance="down")
    assert result["left_out"] == {"left out by --balance down": 3}


def test_augmented_copies_are_reproducible_and_differ(
    unequal: Dataset, tmp_path: Path
) -> None:
    options = {"balance": "augment", "target": 6}
    first = run_export(unequal, tmp_path / "one", **options)
    run_export(unequal, tmp_path / "two", **options)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "two")
    run_export(unequal, tmp_path / "three", **options, seed=1)
    copies = {
        out: sorted((tmp_path / out).rglob("*-augmented-*.jpg"))
        for out in ("one", "three")
    }
    assert len(copies["one"]) == 5
    assert len({path.read_bytes() for path in copies["one"]}) == 5
    contents = {out: {p.read_bytes() for p in paths} for out, paths in copies.items()}
    assert not contents["one"] & contents["three"]
    assert {path.parts[-3] for path in copies["one"]} == {"train"}
    for path in copies["one"]:
        original = path.with_name(f"{path.stem.partition('-')[0]}.jpg")
        with Image.open(path) as image, Image.open(original) as before:
            assert image.size == before.size
            assert ImageChops.difference(image, before).getbbox() is not None
    assert first["changes"] == {
        "originals, byte for byte": 11,
        "re-encoded from JPEG to JPEG, quality 95, full colour, augmented (characters)": 5,
    }
    with (tmp_path / "one/LICENSES.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"]: row["changes"] for row in csv.DictReader(file)}
    assert sum("augmented" in changes for changes in rows.values()) == 5


@pytest.mark.parametrize("format_", ["webdataset", "csv", "captions", "yolo-classify"])
def test_other_formats_have_the_same_copies(
    unequal: Dataset, tmp_path: Path, format_: str
) -> None:
    out = tmp_path / "out"
    result = run_export(unequal, out, format=format_, balance="augment")
    assert result["splits"]["train"] == 10
    if format_ == "webdataset":
        with tarfile.open(out / "train-000000.tar") as tar:
            names = [name for name in tar.getnames() if name.endswith(".jpg")]
        manifest = json.loads((out / "train-000000.json").read_text())
        assert [row["file"] for row in manifest["images"]] == names
    else:
        names = [path.name for path in out.rglob("train/*/*.jpg")]
    assert len(set(names)) == 10
    assert sum("-augmented-" in name for name in names) == 3


def test_crops_and_grey_images_are_augmented(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encode(picture(0)), "a.jpg", [Box(5, 5, 40, 40), Box(60, 20, 40, 40)])
    put(empty, encode(picture(1)), "b.jpg", [Box(5, 5, 40, 40)], label="rei")
    out = tmp_path / "out"
    run_export(
        empty,
        out,
        balance="augment",
        size="32x32",
        grayscale=True,
        augmentation="photos",
    )
    (copy,) = out.rglob("*-augmented-1.jpg")
    with Image.open(copy) as image:
        assert (image.mode, image.size) == ("L", (32, 32))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (40, 30)])
def test_narrow_images_keep_their_shape(mode: str, size: tuple[int, int]) -> None:
    options = ExportOptions(balance="augment", augmentation="photos")
    copy = augment_image(Image.new(mode, size, 90), "a" * 32, 1, options)
    assert (copy.mode, copy.size) == (mode, size)


def test_simulation_prints_sizes_before_and_after(
    unequal: Dataset, tmp_path: Path
) -> None:
    words = (
        "export",
        tmp_path / "out",
        "--balance",
        "copies",
        "-d",
        unequal.root,
        "--simulate",
    )
    printed = run_labeler(*words).checked().stdout
    lines = [line.split() for line in printed.splitlines()]
    assert ["class", "before", "after"] in lines
    assert ["rei", "2", "5"] in lines
    assert run_labeler(*words, "--json").json["balance"]["rei"] == {
        "before": 2,
        "after": 5,
    }
    assert not (tmp_path / "out").exists()


def test_recipe_splits_by_number_and_exports_balanced_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", [f"cat/{n}.jpg" for n in range(12)])
    write_pictures(tmp_path / "photos", [f"owl/{n}.jpg" for n in range(6)], first=20)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "title = 'Owls'\n[[folder]]\npath = 'photos'\nhints_from_folders = true\n"
        "[crop]\ndetector = 'whole'\n"
        "[split]\nratio = '1:0:0'\ntest_per_class = 2\n"
        "[export]\nto = 'exports/balanced'\nbalance = 'augment'\ntarget = 11\n"
    )
    root = tmp_path / "owls"
    printed = run_here("pipeline.cli", "run", recipe, "--into", root).checked().stdout
    assert ["owl", "4", "11"] in [line.split() for line in printed.splitlines()]
    images = images_by_class(root / "exports/balanced")
    sizes = {place: len(paths) for place, paths in images.items()}
    assert sizes == {
        ("train", "cat"): 11,
        ("train", "owl"): 11,
        ("test", "cat"): 2,
        ("test", "owl"): 2,
    }


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--balance", "copies", "--format", "coco"), "cannot be balanced"),
        (("--balance", "down", "--format", "yolo-detect"), "cannot be balanced"),
        (("--balance", "copies", "--no-split"), "only train is balanced"),
        (("--target", "3"), "--target is the size of balanced classes"),
    ],
)
def test_impossible_balance_is_refused(
    unequal: Dataset, tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    run_labeler("export", tmp_path / "out", *words, "-d", unequal.root).refused(
        2, problem, "hint:"
    )


def test_import_ignores_copies(unequal: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(unequal, out, balance="augment")
    assert len(json.loads((out / MARKER).read_text())["copies"]) == 3
    own = run_import(unequal, out)
    assert (own["unchanged"], own["new_files"], own["gone"]) == (11, 0, 0)
    assert own["ignored_reasons"]["copy of a balanced export"] == 3
    with Dataset.create(tmp_path / "other") as other:
        result = run_import(other, out / "train")
        assert (result["added"], other.images.count()) == (7, 7)
        assert result["files"] == 10


@pytest.mark.parametrize(
    "format_", ["coco", "yolo-detect", "imagefolder", "webdataset"]
)
def test_every_input_is_exported_or_left_out(
    empty: Dataset, tmp_path: Path, format_: str
) -> None:
    """Images for formats with boxes, else samples."""
    box = [Box(10, 10, 30, 30)]
    keys = [put(empty, encode(picture(n)), f"{n}.jpg", box)[0] for n in range(10)]
    licensed = Origin("folder", "10", title="10.jpg", licence="CC0")
    put(empty, encode(picture(10)), "10.jpg", box, origin=licensed, split="val")
    _, undecided = put(
        empty, encode(picture(11)), "11.jpg", [*box, Box(60, 10, 30, 30)]
    )
    queued, rejected, unsplit, *copies = keys[:6]
    step = empty.journal.apply(
        "back", [Choice(key, "add") for key in (queued, undecided)]
    )
    rows = Pairs(empty.db).get_ids(copies)
    Placements(empty.db).apply(
        step, [Placement(row, False, keys[8], "copy") for row in rows]
    )
    empty.journal.apply("no class", [Choice(rejected, "reject")])
    splits = {
        s.key: (s.key, s.split) for s in empty.samples.iter_by_key() if s.key != unsplit
    }
    empty.samples.set_splits(splits)
    without_face = measure(encode(picture(12)))
    empty.originals(empty.cache).put(without_face.sha256, "JPEG", encode(picture(12)))
    empty.images.add(without_face, Origin("folder", "12"))

    has_boxes = format_ in ("coco", "yolo-detect")
    number_of_inputs = empty.images.count() if has_boxes else empty.samples.count()
    for licences in ((), ("cc0",)):
        result = run_export(empty, tmp_path / "out", format=format_, licences=licences)
        done = result["images" if has_boxes else "exported"]
        assert done + sum(result["left_out"].values()) == number_of_inputs
        assert result["left_out"]["duplicates"] == 3
        reason = "without a face, or not searched for faces"
        assert (result["left_out"].get(reason) or result["images_without_a_face"]) == 1
