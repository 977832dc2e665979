"""The commands snapshot and restore; gc and merge with snapshots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from drawn_dataset import put_whole
from tools_for_tests import Ran, pixels, run_here

from gleanset import Dataset
from gleanset.db.journal import Choice
from pipeline.maintenance.gc import collect_garbage
from pipeline.maintenance.snapshots import create_snapshot


def run_gleanset(root: Path, *words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words, "-d", root)


@pytest.fixture(scope="module")
def labelled_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of eight labelled images with the snapshot v1."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    with Dataset.create(root) as dataset:
        keys = [put_whole(dataset, pixels(seed), str(seed)) for seed in range(8)]
        labels = [Choice(key, "label", ("hana", "rei")[n % 2]) for n, key in enumerate(keys)]
        dataset.journal.apply("Label", labels)
        create_snapshot(dataset, "v1", "by number")
    return root


@pytest.fixture
def root(labelled_dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(labelled_dataset, tmp_path / "dataset")
    return tmp_path / "dataset"


def relabel(root: Path, label: str, number: int) -> None:
    with Dataset.open(root) as dataset:
        keys = [sample.key for sample in dataset.samples.iter_by_key()][:number]
        dataset.journal.apply("again", [Choice(key, "label", label) for key in keys])


def labels(root: Path) -> dict[str, int]:
    labels: dict[str, int] = run_gleanset(root, "status", "--json").json["labels"]
    return labels


def test_snapshots_are_listed_and_removed(root: Path) -> None:
    (shown,) = run_gleanset(root, "snapshot").stdout.splitlines()
    assert shown.startswith("v1  20")
    assert shown.endswith(" UTC  8 images, 8 labelled  by number")
    assert run_gleanset(root, "snapshot", "v2", "--json").json["labelled"] == 8
    result = run_gleanset(root, "snapshot", "--json").json
    assert [snapshot["snapshot"] for snapshot in result["snapshots"]] == ["v1", "v2"]
    lines = run_gleanset(root, "list", "snapshots", "--where", "name=v1").stdout.splitlines()
    assert [json.loads(line)["note"] for line in lines] == ["by number"]
    assert run_gleanset(root, "snapshot", "--remove", "v1", "--json").json == {"removed": "v1"}
    missing = run_gleanset(root, "restore", "v1")
    assert (missing.code, "no such snapshot: v1" in missing.stderr) == (2, True)
    assert run_gleanset(root, "snapshot", "--remove", "v1").code == 2
    assert run_gleanset(root, "snapshot", "--remove").code == 2
    run_gleanset(root, "snapshot", "--remove", "v2")
    assert "gleanset snapshot NAME" in run_gleanset(root, "snapshot").stdout


def test_restore_is_simulated_applied_and_reverted(root: Path) -> None:
    relabel(root, "yuki", 3)
    result = run_gleanset(root, "restore", "v1", "--simulate", "--json").json
    assert result["would_restore"]["labelled"] == 8
    assert "yuki" in labels(root)
    done = run_gleanset(root, "restore", "v1", "--json").json
    assert labels(root) == {"hana": 4, "rei": 4}
    assert (done["restored"], done["undo"]) == ("v1", f"gleanset restore {done['before']}")
    assert run_gleanset(root, "restore", done["before"]).code == 0
    assert labels(root)["yuki"] == 3
    assert run_gleanset(root, "verify").code == 0


def test_gc_keeps_images_of_snapshots(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    before = sorted((root / "images").glob("*/*"))
    assert len(before) == 9
    done = run_gleanset(root, "restore", "v1", "--json").json
    (root / "snapshots" / ".partial-killed").mkdir()
    (root / "snapshots" / ".partial-killed" / "catalog.sqlite").write_bytes(b"half")
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False, show=lambda path: None)
    assert sorted((root / "images").glob("*/*")) == before
    assert not (root / "snapshots" / ".partial-killed").exists()
    assert run_gleanset(root, "verify", "--json").json["strays"] == 0
    run_gleanset(root, "snapshot", "--remove", done["before"])
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False, show=lambda path: None)
    assert len(list((root / "images").glob("*/*"))) == 8
    assert run_gleanset(root, "verify").code == 0


def test_gc_stops_at_unreadable_snapshot(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    done = run_gleanset(root, "restore", "v1", "--json").json
    (root / "snapshots" / f"{done['before']}.sqlite").write_bytes(b"damaged" * 1000)
    refused = run_gleanset(root, "gc", "--older", "0h")
    assert refused.code == 3
    assert f"gleanset snapshot --remove {done['before']}" in refused.stderr
    assert len(list((root / "images").glob("*/*"))) == 9
