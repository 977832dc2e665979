"""The original paths of files are recorded, listed and exported."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from labelled_images import encoded, picture

from gleanset import Dataset, Origin
from harvest.request import FolderRequest
from labeler.export.formats import FORMATS
from labeler.export.item import original_path
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest
from labeler.splits.plan import apply_split, plan_split
from pipeline.listing import list_records


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(seed)))


def list_original_paths(dataset: Dataset) -> set[str]:
    return {str(line["original_path"]) for line in list_records(dataset, "samples", ())}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """24 images of two classes at two depths."""
    for number in range(12):
        write_image(
            tmp_path / "tree" / ("cat", "owl")[number % 2] / f"d{number % 3}" / "x y.jpg", number
        )
        write_image(tmp_path / "tree" / ("cat", "owl")[number % 2] / f"{number}.jpg", number + 20)
    return tmp_path / "tree"


def test_original_path_is_recorded_for_all_inputs(
    empty: Dataset, tree: Path, tmp_path: Path
) -> None:
    import_labelled(empty, ImportRequest(path=str(tree), workers=1))
    assert {"cat/d0/x y.jpg", "owl/3.jpg"} < list_original_paths(empty)
    (line,) = list_records(empty, "samples", ("original_path=owl/3.jpg",))
    assert line["path"] == str(tree / "owl" / "3.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("in/deep/z.jpg", encoded(picture(200)))
    write_image(tmp_path / "loose" / "s" / "l.jpg", 201)
    write_image(tmp_path / "one.jpg", 202)
    inputs = (tmp_path / "a.zip", tmp_path / "loose", tmp_path / "one.jpg")
    FolderRequest(path=tuple(map(str, inputs)), workers=1).run(empty)
    result = {o.original_path for image in empty.images.iterate() for o in image.origins}
    assert {"in/deep/z.jpg", "s/l.jpg", "one.jpg"} < result


def test_title_replaces_missing_original_path() -> None:
    old = Origin("import", "/a/b.jpg", path="/a/b.jpg", title="b.jpg")
    new = Origin("folder", "/c/a/b.jpg", path="/c/a/b.jpg", title="b.jpg", original_path="a/b.jpg")
    frame = Origin("video", "v@1", path="/v.mkv", video="v", title="v.mkv")
    web = Origin("bing", "1", url="https://x.example/1.jpg", title="an owl")
    assert original_path([old]) == "b.jpg"
    assert original_path([web, old, new]) == "a/b.jpg"
    assert original_path([frame, web]) == ""


@pytest.fixture
def split_tree(empty: Dataset, tree: Path) -> Dataset:
    import_labelled(empty, ImportRequest(path=str(tree), workers=1))
    apply_split(empty, plan_split(empty, empty.settings.split))
    return empty


def test_licence_tables_contain_original_path(split_tree: Dataset, tmp_path: Path) -> None:
    for name in FORMATS:
        out = tmp_path / name
        export(split_tree, out, ExportOptions(format=name), workers=1)
        with (out / "LICENSES.csv").open(encoding="utf-8", newline="") as file:
            assert {row["original_path"] for row in csv.DictReader(file)} == list_original_paths(
                split_tree
            ), name
