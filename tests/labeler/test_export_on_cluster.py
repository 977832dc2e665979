"""Exports on the nodes of a real cluster: byte for byte those made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_dataset import fill
from ray_nodes import NEEDS_RAY, ray_cluster
from tools_for_tests import run_cli

from gleanset import Dataset


def tree(folder: Path) -> dict[str, bytes]:
    """All files of an export by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@NEEDS_RAY
@pytest.mark.long
def test_exports_of_nodes_are_those_made_here(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 12)
    with ray_cluster(1, 1) as cluster:
        for options in ("--size 24x24", "--format webdataset --shard-size 10 --size 20x20"):
            words = ["export", *options.split(), "-d", tmp_path / "dataset"]
            here = run_cli("labeler.cli", *words, tmp_path / options / "out")
            (tmp_path / options / "out").rename(tmp_path / options / "here")
            there = run_cli(
                "labeler.cli", *words, "--on", cluster.address, tmp_path / options / "out"
            )
            assert (here.code, there.code) == (0, 0), there.stderr
            assert tree(tmp_path / options / "out") == tree(tmp_path / options / "here")
            assert len(tree(tmp_path / options / "out")) > 5
