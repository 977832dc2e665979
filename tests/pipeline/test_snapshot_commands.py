"""snapshot and restore by the real commands, and what gc and merge make of snapshots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from drawn_dataset import put_whole
from tools_for_tests import Ran, pixels, run_here

from curation.snapshots import create_snapshot
from gleanset import Dataset
from gleanset.db.journal import Choice
from labeler.sorting.session import SortingSession
from pipeline.maintenance.gc import collect_garbage


def house(root: Path, *words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words, "-d", root)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight labelled images, kept as v1."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    with Dataset.create(root) as dataset:
        keys = [put_whole(dataset, pixels(seed), str(seed)) for seed in range(8)]
        labels = [Choice(key, "label", ("hana", "rei")[n % 2]) for n, key in enumerate(keys)]
        dataset.journal.apply("Label", labels)
        create_snapshot(dataset, "v1", "by number")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "dataset")
    return tmp_path / "dataset"


def relabel(root: Path, label: str, number: int) -> None:
    with Dataset.open(root) as dataset:
        chosen = [sample.key for sample in dataset.samples.iter_by_key()][:number]
        dataset.journal.apply("again", [Choice(key, "label", label) for key in chosen])


def labels(root: Path) -> dict[str, int]:
    labels: dict[str, int] = house(root, "status", "--json").json["labels"]
    return labels


def test_snapshots_are_listed_and_removed(root: Path) -> None:
    (shown,) = house(root, "snapshot").stdout.splitlines()
    assert shown.startswith("v1  20")
    assert shown.endswith(" UTC  8 images, 8 labelled  by number")
    assert house(root, "snapshot", "v2", "--json").json["labelled"] == 8
    result = house(root, "snapshot", "--json").json
    assert [one["snapshot"] for one in result["snapshots"]] == ["v1", "v2"]
    lines = house(root, "list", "snapshots", "--where", "name=v1").stdout.splitlines()
    assert [json.loads(line)["note"] for line in lines] == ["by number"]
    assert house(root, "snapshot", "--remove", "v1", "--json").json == {"removed": "v1"}
    missing = house(root, "restore", "v1")
    assert (missing.code, "no such snapshot: v1" in missing.stderr) == (2, True)
    assert house(root, "snapshot", "--remove", "v1").code == 2
    assert house(root, "snapshot", "--remove").code == 2
    house(root, "snapshot", "--remove", "v2")
    assert "gleanset snapshot NAME" in house(root, "snapshot").stdout


def test_restoring_is_simulated_done_and_taken_back(root: Path) -> None:
    relabel(root, "yuki", 3)
    result = house(root, "restore", "v1", "--simulate", "--json").json
    assert result["would_restore"]["labelled"] == 8
    assert "yuki" in labels(root)
    done = house(root, "restore", "v1", "--json").json
    assert labels(root) == {"hana": 4, "rei": 4}
    assert (done["restored"], done["undo"]) == ("v1", f"gleanset restore {done['before']}")
    assert house(root, "restore", done["before"]).code == 0
    assert labels(root)["yuki"] == 3
    assert house(root, "verify").code == 0


def test_an_open_window_is_named_as_the_reason(root: Path) -> None:
    relabel(root, "yuki", 3)
    with Dataset.open(root) as here:
        SortingSession(here)
        refused = house(root, "restore", "v1")
        assert refused.code == 3
        assert f"another program has the dataset open: {root}" in refused.stderr
    assert labels(root)["yuki"] == 3
    assert house(root, "snapshot", "--json").json["snapshots"][0]["snapshot"] == "v1"


def test_gc_keeps_what_a_snapshot_names_until_that_is_removed(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    before = sorted((root / "images").glob("*/*"))
    assert len(before) == 9
    done = house(root, "restore", "v1", "--json").json
    (root / "snapshots" / ".partial-killed").mkdir()
    (root / "snapshots" / ".partial-killed" / "catalog.sqlite").write_bytes(b"half")
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False, show=lambda path: None)
    assert sorted((root / "images").glob("*/*")) == before
    assert not (root / "snapshots" / ".partial-killed").exists()
    assert house(root, "verify", "--json").json["strays"] == 0
    house(root, "snapshot", "--remove", done["before"])
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False, show=lambda path: None)
    assert len(list((root / "images").glob("*/*"))) == 8
    assert house(root, "verify").code == 0


def test_gc_removes_nothing_while_a_snapshot_cannot_be_read(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    done = house(root, "restore", "v1", "--json").json
    (root / "snapshots" / f"{done['before']}.sqlite").write_bytes(b"damaged" * 1000)
    refused = house(root, "gc", "--older", "0h")
    assert refused.code == 3
    assert f"gleanset snapshot --remove {done['before']}" in refused.stderr
    assert len(list((root / "images").glob("*/*"))) == 9


def test_what_was_forgotten_stays_away(root: Path) -> None:
    with Dataset.open(root) as dataset:
        first = next(dataset.images.iterate()).sha256
    assert house(root, "forget", "--image", first, "-y").code == 0
    assert house(root, "restore", "v1").code == 0
    assert house(root, "status", "--json").json["images"] == 7
    assert len(list((root / "images").glob("*/*"))) == 7
    result = house(root, "verify", "--json").json
    assert (result["orphan_rows"], result["sound"]) == (0, 7)


def test_a_merge_leaves_our_snapshots_and_takes_none(root: Path, tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "other") as other:
        create_snapshot(other, "empty")
    assert house(tmp_path / "other", "merge", root, "-q").code == 0
    result = house(tmp_path / "other", "snapshot", "--json").json
    assert [one["snapshot"] for one in result["snapshots"]] == ["empty"]
    assert house(tmp_path / "other", "restore", "empty").code == 0
    assert house(tmp_path / "other", "status", "--json").json["images"] == 0


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("diff", "v1"), "sqldiff snapshots/NAME.sqlite catalog.sqlite"),
    ],
)
def test_what_is_gone_says_what_to_use(root: Path, words: tuple[str, ...], instead: str) -> None:
    refused = house(root, *words)
    assert refused.code == 2
    assert instead in refused.stderr
