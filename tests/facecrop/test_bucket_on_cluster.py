"""Nodes of a real cluster that share a bucket and no folder of the dataset."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray_nodes import NEEDS_RAY, ray_cluster
from s3_server import NEEDS_SWIFT
from tools_for_tests import run_cli

from gleanset import Dataset
from gleanset.files.s3 import Bucket

SAMPLE = Path(__file__).resolve().parents[2] / "datasets" / "sample" / "pictures"


@NEEDS_RAY
@NEEDS_SWIFT
@pytest.mark.long
def test_nodes_search_and_export_what_lies_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures" / "sora"
    pictures.mkdir(parents=True)
    for picture in sorted(SAMPLE.glob("*.jpg"))[:8]:
        (pictures / picture.name).write_bytes(picture.read_bytes())
    here, there = tmp_path / "here", tmp_path / "there"
    init = run_cli("pipeline.cli", "init", "--store", bucket.address, "-d", there)
    assert init.code == 0, init.stderr
    shards = ("--format", "webdataset", "--shard-size", "3")
    with ray_cluster(1, 1) as cluster:
        for root, out, on in (
            (here, tmp_path / "shards", ()),
            (there, f"{bucket.address}/shards", ("--on", cluster.address)),
        ):
            for words in (
                ("harvest.cli", "folder", pictures.parent, "--hints-from-folders"),
                ("facecrop.cli", "run", *on),
                ("labeler.cli", "accept-hints"),
                ("labeler.cli", "split"),
                ("labeler.cli", "export", out, *shards, *on),
            ):
                ran = run_cli(*words, "-d", root, "-q")
                assert ran.code == 0, ran.stderr
    with Dataset.open(here) as mine, Dataset.open(there) as other:
        own, found = ({one.key: one for one in d.samples.each()} for d in (mine, other))
    assert own
    assert found == own
    sent = {one.key: bucket.get(one.key)[0] for one in bucket.each("shards/")}
    tars = {
        f"shards/{path.name}": path.read_bytes() for path in (tmp_path / "shards").glob("*.tar")
    }
    assert {key: data for key, data in sent.items() if key.endswith(".tar")} == tars
    assert len(tars) > 1
