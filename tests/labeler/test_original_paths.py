"""The path that a file came with is kept, listed and exported, and cards say how to read that."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from labelled_pictures import encoded, picture

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


def put(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(seed)))


def paths(dataset: Dataset) -> set[str]:
    return {str(line["original_path"]) for line in list_records(dataset, "samples", ())}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Twelve pictures of two classes, some deeper."""
    for number in range(12):
        put(tmp_path / "tree" / ("cat", "owl")[number % 2] / f"d{number % 3}" / "x y.jpg", number)
        put(tmp_path / "tree" / ("cat", "owl")[number % 2] / f"{number}.jpg", number + 20)
    return tmp_path / "tree"


def test_it_is_kept_however_a_file_comes(empty: Dataset, tree: Path, tmp_path: Path) -> None:
    import_labelled(empty, ImportRequest(path=str(tree), workers=1))
    assert {"cat/d0/x y.jpg", "owl/3.jpg"} < paths(empty)
    (line,) = list_records(empty, "samples", ("original_path=owl/3.jpg",))
    assert line["path"] == str(tree / "owl" / "3.jpg")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("in/deep/z.jpg", encoded(picture(200)))
    put(tmp_path / "loose" / "s" / "l.jpg", 201)
    put(tmp_path / "one.jpg", 202)
    places = (tmp_path / "a.zip", tmp_path / "loose", tmp_path / "one.jpg")
    FolderRequest(path=tuple(map(str, places)), workers=1).run(empty)
    result = {o.original_path for image in empty.images.iterate() for o in image.origins}
    assert {"in/deep/z.jpg", "s/l.jpg", "one.jpg"} < result


def test_a_name_stands_for_a_path_that_was_not_kept() -> None:
    old = Origin("import", "/a/b.jpg", path="/a/b.jpg", title="b.jpg")
    new = Origin("folder", "/c/a/b.jpg", path="/c/a/b.jpg", title="b.jpg", original_path="a/b.jpg")
    frame = Origin("video", "v@1", path="/v.mkv", video="v", title="v.mkv")
    web = Origin("bing", "1", url="https://x.example/1.jpg", title="an owl")
    assert original_path([old]) == "b.jpg"
    assert original_path([web, old, new]) == "a/b.jpg"
    assert original_path([frame, web]) == ""


@pytest.fixture
def split(empty: Dataset, tree: Path) -> Dataset:
    import_labelled(empty, ImportRequest(path=str(tree), workers=1))
    apply_split(empty, plan_split(empty, empty.settings.split))
    return empty


def test_every_licence_table_has_it(split: Dataset, tmp_path: Path) -> None:
    for name in FORMATS:
        out = tmp_path / name
        export(split, out, ExportOptions(format=name), workers=1)
        with (out / "LICENSES.csv").open(encoding="utf-8", newline="") as file:
            assert {row["original_path"] for row in csv.DictReader(file)} == paths(split), name
