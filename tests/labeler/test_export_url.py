"""Exporting to URLs: an S3 server, memory, and local folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import _registry as drivers
from labelled_images import encoded, picture, put
from s3_server import NEEDS_SWIFT, FaultyServer, error, filesystem
from tools_for_tests import run_here

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, NeedsLogin, UsageError
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.upload import export_to_url

SHARDS = ExportOptions(format="webdataset", shard_size="3")
MARKER = ".gleanset-export.json"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled") / "dataset"
    with Dataset.create(root) as made:
        for number in range(8):
            label, split = ("花", "rei")[number % 2], ("train", "test")[number % 4 == 3]
            put(made, encoded(picture(number)), f"{number}", label=label, split=split)
    return root


@pytest.fixture(autouse=True)
def _without_retry_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeler.export.upload._PAUSES_SECONDS", (0.0, 0.0))


def read_remote_files(url: str, driver: Any = None) -> dict[str, bytes]:
    driver = driver or filesystem()
    root = driver._strip_protocol(url)
    paths = driver.find(root)
    return {path.removeprefix(root).lstrip("/"): driver.cat_file(path) for path in paths}


def read_files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def uploaded_names(server: FaultyServer) -> list[str]:
    paths = (path.partition("?")[0] for method, path in server.asked if method == "PUT")
    return [path.rpartition("/")[2] for path in paths]


@NEEDS_SWIFT
def test_shards_are_uploaded_once(
    labelled: Path, bucket: str, faulty: FaultyServer, tmp_path: Path
) -> None:
    with Dataset.open(labelled) as dataset:
        counts = export_to_url(dataset, bucket, SHARDS, workers=1)
        expected = export(dataset, tmp_path / "here", SHARDS, workers=1)
        assert {**counts, "to": ""} == {
            **expected,
            "to": "",
            "sent": len(read_remote_files(bucket)) - 2,
        }
        assert read_remote_files(bucket) == read_files(tmp_path / "here")
        # The files that mark it as complete are sent last.
        assert uploaded_names(faulty)[-2:] == ["manifest.json", MARKER]
        faulty.asked.clear()
        assert export_to_url(dataset, bucket, SHARDS, workers=1)["sent"] == 0
        assert set(uploaded_names(faulty)) == {"manifest.json", MARKER}
        # A damaged file is sent again.
        filesystem().pipe_file(f"{bucket}/train-000000.tar", b"something else")
        assert export_to_url(dataset, bucket, SHARDS, workers=1)["sent"] == 1
        assert read_remote_files(bucket) == read_files(tmp_path / "here")


@NEEDS_SWIFT
def test_interrupted_upload_is_resumed(
    labelled: Path, bucket: str, faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.rule = lambda method, path: (
        error(403, "AccessDenied") if method == "PUT" and "train-000001.tar" in path else None
    )
    with Dataset.open(labelled) as dataset:
        with pytest.raises(NeedsLogin):
            export_to_url(dataset, bucket, SHARDS, workers=1)
        assert "manifest.json" not in read_remote_files(bucket)
        assert b'"begun": true' in read_remote_files(bucket)[MARKER]
        assert "train-000000.tar" in read_remote_files(bucket)
        faulty.rule = lambda method, path: None
        faulty.asked.clear()
        export_to_url(dataset, bucket, SHARDS, workers=1)
        assert "train-000000.tar" not in uploaded_names(faulty)
        assert "train-000001.tar" in uploaded_names(faulty)
        export(dataset, tmp_path / "here", SHARDS, workers=1)
    assert read_remote_files(bucket) == read_files(tmp_path / "here")


@NEEDS_SWIFT
@pytest.mark.parametrize("fault", ["503", "damage", "reset"])
def test_temporary_faults_are_retried(
    fault: str, labelled: Path, bucket: str, faulty: FaultyServer, tmp_path: Path
) -> None:
    """Every third upload fails: server busy, data damaged, or connection lost."""
    numbers = iter(range(10_000))
    faulty.fault = lambda method, path: (
        fault if method == "PUT" and ".tar" in path and next(numbers) % 3 == 0 else ""
    )
    with Dataset.open(labelled) as dataset:
        export_to_url(dataset, bucket, SHARDS, workers=1)
        export(dataset, tmp_path / "here", SHARDS, workers=1)
    assert read_remote_files(bucket) == read_files(tmp_path / "here")


@NEEDS_SWIFT
def test_tree_replaces_previous_export(labelled: Path, bucket: str, tmp_path: Path) -> None:
    ran = run_here("labeler.cli", "export", bucket, "--size", "8x8", "-d", labelled, "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json["to"] == bucket
    options = ExportOptions(format="yolo-detect", strip_metadata=True)
    with Dataset.open(labelled) as dataset:
        export(dataset, tmp_path / "tree", ExportOptions(size="8x8"), workers=1)
        assert read_remote_files(bucket) == read_files(tmp_path / "tree")
        export_to_url(dataset, bucket, options, workers=1)
        export(dataset, tmp_path / "boxes", options, workers=1)
    assert read_remote_files(bucket) == read_files(tmp_path / "boxes")


@NEEDS_SWIFT
def test_missing_bucket_and_wrong_key_have_hints(
    labelled: Path, s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dataset.open(labelled) as dataset:
        with pytest.raises(InputUnusable, match="no such bucket"):
            export_to_url(dataset, "s3://not-there-at-all/x", SHARDS, workers=1)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(NeedsLogin, match="AWS_ACCESS_KEY_ID"):
            export_to_url(dataset, bucket, SHARDS, workers=1)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/not/there")
        with pytest.raises(NeedsLogin, match="aws configure"):
            export_to_url(dataset, bucket, SHARDS, workers=1)


def test_other_fsspec_drivers(labelled: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    with Dataset.open(labelled) as dataset:
        export(dataset, tmp_path / "here", SHARDS, workers=1)
        export_to_url(dataset, "memory://somewhere/shards", SHARDS, workers=1)
        assert read_remote_files("memory://somewhere/shards", memory) == read_files(
            tmp_path / "here"
        )
        export_to_url(dataset, f"file://{tmp_path}/there", SHARDS, workers=1)
        assert read_files(tmp_path / "there") == read_files(tmp_path / "here")
        # There are no checksums, and an equal size is not sufficient.
        shard = next((tmp_path / "there").glob("*.tar"))
        shard.write_bytes(bytes(shard.stat().st_size))
        assert export_to_url(dataset, f"file://{tmp_path}/there", SHARDS, workers=1)["sent"] == 1
        assert read_files(tmp_path / "there") == read_files(tmp_path / "here")
        with pytest.raises(UsageError, match="nothing can be linked"):
            export_to_url(dataset, "memory://somewhere/tree", ExportOptions(link=True))


def test_foreign_files_raise_error(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "mine.txt").write_text("mine")
    with Dataset.open(labelled) as dataset, pytest.raises(InputUnusable, match=r"as mine\.txt"):
        export_to_url(dataset, f"file://{tmp_path}/tree", SHARDS, workers=1)
    ran = run_here("labeler.cli", "export", f"file://{tmp_path}/tree", "-s", "-d", labelled)
    assert "not from an export" in ran.stderr
    assert read_files(tmp_path / "tree") == {"mine.txt": b"mine"}


def test_missing_driver_and_unknown_scheme_have_hints(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, driver in (("gs", "gcsfs"), ("s3", "s3fs")):
        monkeypatch.setitem(sys.modules, driver, None)
        monkeypatch.delitem(drivers, scheme, raising=False)
    with Dataset.open(labelled) as dataset:
        with pytest.raises(MissingComponent, match="such as gcsfs"):
            export_to_url(dataset, "gs://bucket/x", SHARDS)
        with pytest.raises(MissingComponent, match=r"pip install .*\[s3\]"):
            export_to_url(dataset, "s3://bucket/x", SHARDS)
        with pytest.raises(UsageError, match="wonder"):
            export_to_url(dataset, "wonder://bucket/x", SHARDS)
