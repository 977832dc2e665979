"""Runs in a bucket of a real S3 server: sent when they changed, fetched whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from s3_server import NEEDS_SWIFT, FaultyServer

from gleanset import Dataset
from gleanset.errors import Unreachable
from gleanset.files.s3 import Bucket
from gleanset.published import publish_if_changed
from gleanset.settings import Settings, StoreSettings

pytestmark = NEEDS_SWIFT

FILES = {"weights.safetensors": b"w" * 3000, "metrics.json": b"{}", "log/events": b"e"}


@pytest.fixture
def root(bucket: Bucket, tmp_path: Path) -> Path:
    """A dataset with one run; its runs lie in a bucket."""
    store = StoreSettings(runs=f"{bucket.address}/runs")
    with Dataset.create(tmp_path / "driven", Settings(store=store)) as dataset:
        for name, data in {**FILES, "checkpoint/state": b"half"}.items():
            path = dataset.runs_folder / "one" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return tmp_path / "driven"


def test_a_run_is_sent_once_and_fetched_where_it_is_not(root: Path, bucket: Bucket) -> None:
    publish_if_changed(root)
    assert {one.key for one in bucket.each()} == {f"runs/one/{name}" for name in FILES}
    first = {one.key: one.changed for one in bucket.each()}
    publish_if_changed(root)
    assert {one.key: one.changed for one in bucket.each()} == first
    (root / "runs" / "one" / "metrics.json").write_bytes(b'{"accuracy": 1}')
    publish_if_changed(root)
    shutil.rmtree(root / "runs")
    with Dataset.open(root) as dataset:
        folder = dataset.run_at_hand("one")
        files = [path for path in folder.rglob("*") if path.is_file()]
        there = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        assert there == {**FILES, "metrics.json": b'{"accuracy": 1}'}
        assert not dataset.run_at_hand("two").exists()


def test_wrong_bytes_make_no_run(root: Path, bucket: Bucket, faulty: FaultyServer) -> None:
    publish_if_changed(root)
    shutil.rmtree(root / "runs")
    facts = bucket.facts("runs/one/metrics.json")
    assert facts is not None
    headers = {
        "ETag": f'"{facts.etag}"',
        "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
        "x-amz-meta-sha256": facts.sha256,
    }
    faulty.rule = lambda method, path: (
        (200, headers, b"old") if method == "GET" and path.endswith("metrics.json") else None
    )
    with Dataset.open(root) as dataset:
        with pytest.raises(Unreachable, match="has other bytes than were written"):
            dataset.run_at_hand("one")
        faulty.rule = lambda method, path: None
        assert (dataset.run_at_hand("one") / "metrics.json").read_bytes() == b"{}"
