"""snapshot, diff and restore by the real commands: shown, killed, and named by exports."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from drawn_dataset import put_whole
from tools_for_tests import Ran, pixels, run_here

from curation.snapshots import difference, take_snapshot
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.restoring import cut_short
from gleanset.records import Measured, Origin
from labeler.sorting.session import SortingSession
from pipeline.maintenance.gc import collect
from pipeline.status import next_step


def house(root: Path, *words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words, "-d", root)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, split and labelled, and kept as v1."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    with Dataset.create(root) as dataset:
        keys = [put_whole(dataset, pixels(seed), str(seed)) for seed in range(8)]
        labels = [Choice(key, "label", ("hana", "rei")[n % 2]) for n, key in enumerate(keys)]
        dataset.journal.step("Label", labels)
        parts = ("train", "train", "val", "test")
        splits = {key: (key, parts[n // 2]) for n, key in enumerate(keys)}
        dataset.samples.set_splits(splits, "by hand")
        take_snapshot(dataset, "v1", "by number")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "dataset")
    return tmp_path / "dataset"


def keys(root: Path) -> list[str]:
    with Dataset.open(root) as dataset:
        return [sample.key for sample in dataset.samples.by_key()]


def relabel(root: Path, label: str, number: int) -> None:
    with Dataset.open(root) as dataset:
        chosen = [sample.key for sample in dataset.samples.by_key()][:number]
        dataset.journal.step("again", [Choice(key, "label", label) for key in chosen])


def test_snapshots_are_listed_and_removed(root: Path) -> None:
    shown = house(root, "snapshot").stdout.splitlines()
    assert [line.split() for line in shown[:1]] == [
        ["name", "time", "(UTC)", "images", "labelled", "note"]
    ]
    assert shown[1].startswith("v1 ")
    assert shown[1].endswith("by number")
    assert shown[2] == "now: v1"
    relabel(root, "hana", 8)
    assert house(root, "snapshot", "v2", "--json").json["labelled"] == 8
    told = house(root, "snapshot", "--json").json
    assert [one["snapshot"] for one in told["snapshots"]] == ["v1", "v2"]
    assert told["now"] == {"name": "v2"}
    lines = house(root, "list", "snapshots", "--where", "name=v1").stdout.splitlines()
    assert [json.loads(line)["note"] for line in lines] == ["by number"]
    assert house(root, "snapshot", "--remove", "v1", "--json").json == {"removed": "v1"}
    missing = house(root, "diff", "v1")
    assert (missing.code, "no snapshot 'v1'" in missing.stderr) == (2, True)
    assert house(root, "snapshot", "--remove").code == 2


def test_a_difference_fits_a_terminal_and_is_json(root: Path) -> None:
    relabel(root, "とても長い名前のキャラクターのクラス名はここで切られるはずです", 5)
    shown = house(root, "diff", "v1", "--limit", "2").stdout.splitlines()
    assert shown[0] == "from v1 to now"
    assert any(line.endswith("and 3 more (--limit)") for line in shown)
    # Letters of two columns count twice.
    assert all(len(line) + sum(ord(c) > 0x3000 for c in line) <= 80 for line in shown)
    told = house(root, "diff", "v1", "--limit", "2", "--json").json
    assert told["labels"]["changed"] == 5
    assert sum(move["samples"] for move in told["labels"]["moves"]) == 5
    assert [len(one["sample"]) for one in told["labels"]["samples"]] == [32, 32]
    assert (told["same"], told["from"], told["to"]) == (False, "v1", "now")
    assert house(root, "diff", "v1", "v1").stdout == "from v1 to v1: nothing differs\n"


def test_restoring_is_simulated_done_and_undone(root: Path) -> None:
    relabel(root, "yuki", 3)
    house(root, "snapshot", "v2")
    told = house(root, "restore", "v1", "--simulate", "--json").json
    assert (told["would_change"], told["difference"]["labels"]["changed"]) == (3, 3)
    shown = house(root, "restore", "v1", "--simulate")
    assert "yuki -> hana" in shown.stdout
    assert not house(root, "diff", "v2", "--json").json["labels"]["changed"]
    done = house(root, "restore", "v1")
    assert done.stdout.splitlines() == [
        "restored: v1",
        "changed: 3",
        "notes:",
        "  labeler undo takes this back",
    ]
    assert not done.stderr
    assert house(root, "diff", "v1", "--json").json["same"]
    assert house(root, "restore", "v1", "--json").json == {"restored": "v1", "changed": 0}
    assert "Restore snapshot v1" in run_here("labeler.cli", "undo", "-d", root).stdout
    assert house(root, "diff", "v2", "--json").json["same"]
    again = house(root, "restore", "nothing")
    assert (again.code, "no snapshot" in again.stderr) == (2, True)


def test_a_simulation_lists_as_many_as_are_asked_for(root: Path) -> None:
    relabel(root, "yuki", 5)
    for limit, named in (("0", 0), ("2", 2), ("9", 5)):
        told = house(root, "restore", "v1", "--simulate", "--limit", limit, "--json").json
        assert len(told["difference"]["labels"]["samples"]) == named
        assert told["would_change"] == 5


def test_an_undo_counts_labels_and_splits_that_it_puts_back(root: Path) -> None:
    relabel(root, "yuki", 2)
    with Dataset.open(root) as dataset:
        found = list(dataset.samples.by_key())
        dataset.samples.set_splits({one.key: (one.key, "test") for one in found}, "by hand")
    moved = sum(one.split != "test" for one in found)
    done = house(root, "restore", "v1", "--json").json
    undone = run_here("labeler.cli", "undo", "-d", root, "--json").json
    assert undone["restored"] == done["changed"]
    assert 2 < undone["splits_put_back"] == moved
    assert undone["changed_since"] == 0
    with Dataset.open(root) as dataset:
        assert {sample.split for sample in dataset.samples.by_key()} == {"test"}
    relabel(root, "mio", 2)
    undone = run_here("labeler.cli", "undo", "-d", root, "--json").json
    assert (undone["restored"], "splits_put_back" in undone) == (2, False)


def test_settings_are_left_unless_asked_for(root: Path) -> None:
    (root / "dataset.toml").write_text("[crop]\nmargin = 0.5\n")
    left = house(root, "restore", "v1")
    assert "crop.margin differ" in left.stdout
    assert "0.5" in (root / "dataset.toml").read_text()
    shown = house(root, "restore", "v1", "--settings", "--simulate").stdout
    assert "crop.margin: 0.5 -> 0.3" in shown
    told = house(root, "restore", "v1", "--settings", "--json").json
    assert "no undo puts back" in told.pop("notes")[0]
    assert told == {
        "restored": "v1",
        "changed": 0,
        "settings_before": "dataset.toml.before-v1",
    }
    assert house(root, "diff", "v1", "--json").json["same"]


def test_what_was_forgotten_stays_away_and_gc_keeps_the_rest(root: Path) -> None:
    relabel(root, "yuki", 8)
    with Dataset.open(root) as dataset:
        first = next(dataset.images.each()).sha256
    house(root, "forget", "--image", first, "-y")
    before = sorted((root / "images").glob("*/*"))
    with Dataset.open(root) as dataset:
        collect(dataset, 0.0, simulate=False, show=lambda path: None)
    assert sorted((root / "images").glob("*/*")) == before
    assert len(before) == 7
    done = house(root, "restore", "v1", "--json").json
    assert done["changed"] == 7
    told = house(root, "diff", "v1", "--json").json
    assert told["pictures"]["forgotten"] == 1
    assert not told["labels"]["changed"]
    assert len(keys(root)) == 7
    for check in (("verify",), ("status",), ("report",)):
        assert house(root, *check).code == 0
    found = house(root, "verify", "--json").json
    assert (found["orphan_rows"], found["sound"]) == (0, 7)


def test_a_merge_leaves_our_snapshots_and_takes_none(root: Path, tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "other") as other:
        take_snapshot(other, "empty")
    assert house(tmp_path / "other", "merge", root, "-q").code == 0
    told = house(tmp_path / "other", "snapshot", "--json").json
    assert [one["snapshot"] for one in told["snapshots"]] == ["empty"]
    assert told["now"] == {"name": "empty", "samples": 8, "classes": 2}
    house(tmp_path / "other", "restore", "empty")
    assert house(tmp_path / "other", "status", "--json").json["samples"] == {"queue": 8}
    run_here("labeler.cli", "undo", "-d", tmp_path / "other")
    assert house(tmp_path / "other", "status", "--json").json["samples"] == {"labelled": 8}


def test_an_export_says_which_snapshot_it_is_of(root: Path, tmp_path: Path) -> None:
    run_here("labeler.cli", "export", tmp_path / "tree", "-d", root)
    assert "- snapshot: v1\n" in (tmp_path / "tree" / "README.md").read_text()
    relabel(root, "yuki", 2)
    shards = ("--format", "webdataset", "--shard-size", "1MB")
    done = run_here("labeler.cli", "export", tmp_path / "shards", *shards, "-d", root)
    assert done.code == 0, done.stderr
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert manifest["snapshot"] == {"name": "v1", "samples": 2, "classes": 1}
    card = (tmp_path / "shards" / "README.md").read_text()
    assert "- snapshot: v1, but for 2 samples, 1 class changed since\n" in card


def test_an_open_window_sees_it_and_one_opened_later_takes_it_back(root: Path) -> None:
    relabel(root, "yuki", 3)
    with Dataset.open(root) as here:
        session = SortingSession(here)
        assert not session.poll()
        assert house(root, "restore", "v1").code == 0
        assert session.poll()
        assert {row.name for row in session.progress().counts.classes} == {"hana", "rei"}
        undo = session.history.undoable()
        assert undo is None or undo.operation.kind != "restore", "left to who restored"
    with Dataset.open(root) as later:
        done = SortingSession(later).undo()
        assert done.name == "Restore snapshot v1: 3 changed"
        assert "yuki" in later.classes.names()


def test_killed_while_it_restores_it_is_as_before_or_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    with Dataset.create(root) as dataset:
        all_keys = many_samples(dataset, 1500)
        for name in ("v1", "v2"):
            dataset.journal.step(name, [Choice(key, "label", name) for key in all_keys])
            take_snapshot(dataset, name)
    # The last one has time to come to its end.
    for after in (0.0, 0.03, 60):
        kill_restoring(root, "v1", after)
        with Dataset.open(root) as dataset:
            begun = cut_short(dataset.db)
            there = [name for name in ("v1", "v2") if difference(dataset, name).empty]
            advised = next_step(dataset)
        assert begun or len(there) == 1
        if begun:
            assert advised == f"gleanset restore v1 -d {root}"
        if there != ["v1"]:
            assert house(root, "restore", "v1").code == 0
        with Dataset.open(root) as dataset:
            assert difference(dataset, "v1").empty
            # One step, whether it was cut short or not.
            assert dataset.journal.undo().restored == 1500
            assert difference(dataset, "v2").empty


def many_samples(dataset: Dataset, number: int) -> list[str]:
    """Rows alone: one image without a file, and so many samples of it."""
    dataset.images.add(Measured("f" * 64, "JPEG", 1, 1, 1, 1, 1, 0, 0.0), Origin("test", "1"))
    with dataset.db.write():
        dataset.db.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?) "
            "INSERT INTO sample(key, image, detector, x, y, w, h, phash, sharpness) "
            "SELECT printf('%032x', i), 1, 'whole', 0, 0, 1, 1, 0, 0.0 FROM n",
            (number,),
        )
    return [sample.key for sample in dataset.samples.by_key()]


def kill_restoring(root: Path, name: str, after: float) -> None:
    """Restore in a process that is killed so many seconds after it began."""
    code = (
        "import sys; from gleanset import Dataset; from curation.snapshots import restore; "
        "d = Dataset.open(sys.argv[1]); print(flush=True); restore(d, sys.argv[2])"
    )
    line = [sys.executable, "-c", code, str(root), name]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.send_signal(signal.SIGKILL)
