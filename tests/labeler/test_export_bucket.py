"""Exports into a bucket of a real S3 server: the same bytes as in a folder, each sent once."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_pictures import encoded, picture, put
from s3_server import NEEDS_SWIFT, FaultyServer, error
from tools_for_tests import run_here

from gleanset import Dataset
from gleanset.errors import DiskFull, InputUnusable, UsageError
from gleanset.files.s3 import Bucket
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.to_bucket import export_anywhere

pytestmark = NEEDS_SWIFT

SHARDS = ExportOptions(format="webdataset", shard_size="3")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bucket") / "dataset"
    with Dataset.create(root) as made:
        for number in range(8):
            label, split = ("花", "rei")[number % 2], ("train", "test")[number % 4 == 3]
            put(made, encoded(picture(number)), f"{number}", label=label, split=split)
    return root


def stored(place: Bucket) -> dict[str, bytes]:
    return {one.key: place.get(one.key)[0] for one in place.each()}


def written(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def sent(server: FaultyServer) -> list[str]:
    return [path.rpartition("/")[2] for method, path in server.asked if method == "PUT"]


def test_shards_are_those_of_a_folder_and_sent_once(
    labelled: Path, bucket: Bucket, faulty: FaultyServer, tmp_path: Path
) -> None:
    with Dataset.open(labelled) as dataset:
        told = export_anywhere(dataset, bucket, SHARDS, workers=1)
        own = export(dataset, tmp_path / "here", SHARDS, workers=1)
        assert {**told, "to": ""} == {**own, "to": ""}
        assert stored(bucket) == written(tmp_path / "here")
        # What makes it count comes last.
        assert sent(faulty)[-2:] == ["manifest.json", ".gleanset-export.json"]
        faulty.asked.clear()
        export_anywhere(dataset, bucket, SHARDS, workers=1)
        assert not [name for name in sent(faulty) if name.endswith(".tar")]
        assert stored(bucket) == written(tmp_path / "here")
        # One that was spoilt is sent again.
        bucket.put("train-000000.tar", b"something else")
        export_anywhere(dataset, bucket, SHARDS, workers=1)
        assert stored(bucket) == written(tmp_path / "here")


def test_shards_of_an_export_that_was_stopped_are_kept(
    labelled: Path, bucket: Bucket, faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.rule = lambda method, path: (
        error(507, "InsufficientStorage")
        if method == "PUT" and path.endswith("train-000001.tar")
        else None
    )
    with Dataset.open(labelled) as dataset:
        with pytest.raises(DiskFull):
            export_anywhere(dataset, bucket, SHARDS, workers=1)
        assert "manifest.json" not in stored(bucket)
        assert "train-000000.tar" in stored(bucket)
        faulty.rule = lambda method, path: None
        faulty.asked.clear()
        export_anywhere(dataset, bucket, SHARDS, workers=1)
        assert "train-000000.tar" not in sent(faulty)
        assert "train-000001.tar" in sent(faulty)
        export(dataset, tmp_path / "here", SHARDS, workers=1)
    assert stored(bucket) == written(tmp_path / "here")


def test_a_tree_is_that_of_a_folder_and_goes_with_what_is_left_out(
    labelled: Path, bucket: Bucket, faulty: FaultyServer, tmp_path: Path
) -> None:
    address = f"{bucket.address}/tree"
    ran = run_here("labeler.cli", "export", address, "--size", "8x8", "-d", labelled, "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json["to"] == address
    with Dataset.open(labelled) as dataset:
        export(dataset, tmp_path / "here", ExportOptions(size="8x8"), workers=1)
        assert stored(bucket.below("tree")) == written(tmp_path / "here")
        faulty.asked.clear()
        export_anywhere(dataset, bucket.below("tree"), ExportOptions(size="8x8"), workers=1)
        assert set(sent(faulty)) <= {".gleanset-export.json"}


def test_pictures_with_boxes_go_into_a_bucket(
    labelled: Path, bucket: Bucket, tmp_path: Path
) -> None:
    options = ExportOptions(format="yolo-detect", strip_metadata=True)
    with Dataset.open(labelled) as dataset:
        export_anywhere(dataset, bucket, options, workers=1)
        export(dataset, tmp_path / "here", options, workers=1)
        assert stored(bucket) == written(tmp_path / "here")
        with pytest.raises(UsageError, match="linked into a bucket"):
            export_anywhere(dataset, bucket, ExportOptions(link=True), workers=1)


def test_objects_of_others_are_left_alone(labelled: Path, bucket: Bucket) -> None:
    bucket.put("tree/mine.txt", b"mine")
    bucket.put("tree-2/other.txt", b"beside")
    refused = pytest.raises(InputUnusable, match=r"not from an export, such as mine\.txt")
    with Dataset.open(labelled) as dataset, refused:
        export_anywhere(dataset, bucket.below("tree"), SHARDS, workers=1)
    assert stored(bucket) == {"tree/mine.txt": b"mine", "tree-2/other.txt": b"beside"}


def test_without_a_place_it_goes_among_the_exports(labelled: Path, bucket: Bucket) -> None:
    settings = labelled / "dataset.toml"
    before = settings.read_text()
    settings.write_text(f'{before}\n[store]\nexports = "{bucket.address}/exports"\n')
    try:
        ran = run_here("labeler.cli", "export", "--format", "csv", "-d", labelled, "--json")
    finally:
        settings.write_text(before)
    assert ran.json["to"] == f"{bucket.address}/exports/csv"
    assert "samples.csv" in stored(bucket.below("exports/csv"))
