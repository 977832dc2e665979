"""Exporting to URLs: an S3 server, memory, and local folders."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import _registry as drivers
from labelled_images import encoded, picture, put, run_labeler
from s3_server import NEEDS_SWIFT, FaultyServer, filesystem

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, NeedsLogin, UsageError
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.upload import export_to_url

SHARDS = ExportOptions(format="webdataset", shard_size="2")
MARKER = ".gleanset-export.json"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(tmp_path_factory.mktemp("labelled") / "dataset") as made:
        for number in range(5):
            label, split = ("花", "rei")[number % 2], ("train", "test")[number == 3]
            put(made, encoded(picture(number)), f"{number}", label=label, split=split)
        yield made


@pytest.fixture(scope="module")
def local_shards(labelled: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of an export to a folder."""
    out = tmp_path_factory.mktemp("local") / "out"
    export(labelled, out, SHARDS, workers=1)
    return read_files(out)


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
    labelled: Dataset, local_shards: dict[str, bytes], bucket: str, faulty: FaultyServer
) -> None:
    counts = export_to_url(labelled, bucket, SHARDS, workers=1)
    assert (counts["to"], counts["exported"], counts["shards"]) == (bucket, 5, 3)
    assert counts["sent"] == len(local_shards) - 2
    assert read_remote_files(bucket) == local_shards
    # The files that mark it as complete are sent last.
    assert uploaded_names(faulty)[-2:] == ["manifest.json", MARKER]
    faulty.asked.clear()
    assert export_to_url(labelled, bucket, SHARDS, workers=1)["sent"] == 0
    assert set(uploaded_names(faulty)) == {"manifest.json", MARKER}
    # A damaged file is sent again.
    filesystem().pipe_file(f"{bucket}/train-000000.tar", b"something else")
    assert export_to_url(labelled, bucket, SHARDS, workers=1)["sent"] == 1
    assert read_remote_files(bucket) == local_shards


@NEEDS_SWIFT
def test_interrupted_upload_is_resumed(
    labelled: Dataset, local_shards: dict[str, bytes], bucket: str, faulty: FaultyServer
) -> None:
    faulty.fault = lambda method, path: (
        "403" if method == "PUT" and "train-000001.tar" in path else ""
    )
    with pytest.raises(NeedsLogin):
        export_to_url(labelled, bucket, SHARDS, workers=1)
    remote_files = read_remote_files(bucket)
    assert "manifest.json" not in remote_files
    assert b'"begun": true' in remote_files[MARKER]
    assert "train-000000.tar" in remote_files
    faulty.fault = lambda method, path: ""
    faulty.asked.clear()
    export_to_url(labelled, bucket, SHARDS, workers=1)
    assert "train-000000.tar" not in uploaded_names(faulty)
    assert "train-000001.tar" in uploaded_names(faulty)
    assert read_remote_files(bucket) == local_shards


@NEEDS_SWIFT
def test_temporary_faults_are_retried(
    labelled: Dataset, local_shards: dict[str, bytes], bucket: str, faulty: FaultyServer
) -> None:
    """The first uploads fail: server busy, data damaged, and connection lost."""
    faults = iter(("503", "damage", "reset"))
    faulty.fault = lambda method, path: (
        next(faults, "") if method == "PUT" and ".tar" in path else ""
    )
    export_to_url(labelled, bucket, SHARDS, workers=1)
    assert read_remote_files(bucket) == local_shards
    assert next(faults, "") == ""


@NEEDS_SWIFT
def test_tree_replaces_previous_export(labelled: Dataset, bucket: str, tmp_path: Path) -> None:
    words = ("export", bucket, "--size", "8x8", "-d", labelled.root, "--json")
    ran = run_labeler(*words)
    assert ran.code == 0, ran.stderr
    assert ran.json["to"] == bucket
    export(labelled, tmp_path / "tree", ExportOptions(size="8x8"), workers=1)
    assert read_remote_files(bucket) == read_files(tmp_path / "tree")
    options = ExportOptions(format="yolo-detect", strip_metadata=True)
    export_to_url(labelled, bucket, options, workers=1)
    export(labelled, tmp_path / "boxes", options, workers=1)
    assert read_remote_files(bucket) == read_files(tmp_path / "boxes")


@NEEDS_SWIFT
def test_missing_bucket_and_wrong_key_have_hints(
    labelled: Dataset, s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputUnusable, match="no such bucket"):
        export_to_url(labelled, "s3://not-there-at-all/x", SHARDS, workers=1)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(NeedsLogin, match="AWS_ACCESS_KEY_ID"):
        export_to_url(labelled, bucket, SHARDS, workers=1)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/not/there")
    with pytest.raises(NeedsLogin, match="aws configure"):
        export_to_url(labelled, bucket, SHARDS, workers=1)


def test_other_fsspec_drivers(
    labelled: Dataset, local_shards: dict[str, bytes], tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    export_to_url(labelled, "memory://somewhere/shards", SHARDS, workers=1)
    assert read_remote_files("memory://somewhere/shards", memory) == local_shards
    export_to_url(labelled, f"file://{tmp_path}/out", SHARDS, workers=1)
    assert read_files(tmp_path / "out") == local_shards
    # There are no checksums, and an equal size is not sufficient.
    shard = next((tmp_path / "out").glob("*.tar"))
    shard.write_bytes(bytes(shard.stat().st_size))
    assert export_to_url(labelled, f"file://{tmp_path}/out", SHARDS, workers=1)["sent"] == 1
    assert read_files(tmp_path / "out") == local_shards
    with pytest.raises(UsageError, match="nothing can be linked"):
        export_to_url(labelled, "memory://somewhere/tree", ExportOptions(link=True))


def test_foreign_files_raise_error(labelled: Dataset, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "mine.txt").write_text("mine")
    with pytest.raises(InputUnusable, match=r"as mine\.txt"):
        export_to_url(labelled, f"file://{tmp_path}/tree", SHARDS, workers=1)
    ran = run_labeler("export", f"file://{tmp_path}/tree", "-s", "-d", labelled.root)
    assert "not from an export" in ran.stderr
    assert read_files(tmp_path / "tree") == {"mine.txt": b"mine"}


def test_missing_driver_and_unknown_scheme_have_hints(
    labelled: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, driver in (("gs", "gcsfs"), ("s3", "s3fs")):
        monkeypatch.setitem(sys.modules, driver, None)
        monkeypatch.delitem(drivers, scheme, raising=False)
    with pytest.raises(MissingComponent, match="such as gcsfs"):
        export_to_url(labelled, "gs://bucket/x", SHARDS)
    with pytest.raises(MissingComponent, match=r"pip install .*\[s3\]"):
        export_to_url(labelled, "s3://bucket/x", SHARDS)
    with pytest.raises(UsageError, match="wonder"):
        export_to_url(labelled, "wonder://bucket/x", SHARDS)
