"""Snapshots: created, listed, restored, removed; refused or killed halfway; gc with them."""

import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from catalogue_rows import add_image, add_sample, sha
from drawn_dataset import put_whole
from tools_for_tests import ROOT, Ran, pixels, run_here

from gleanset import Box, Dataset
from gleanset.db.images import Images
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import REMOVAL, Claim, Reports
from gleanset.db.snapshots import Snapshots
from gleanset.errors import CatalogueCorrupt, DatasetBusy, DiskFull, UsageError
from gleanset.records import Measured, Origin
from pipeline.maintenance import removals
from pipeline.maintenance.check_files import collect_garbage
from pipeline.maintenance.snapshots import create_snapshot, restore_snapshot


def label(dataset: Dataset, name: str, *keys: str) -> None:
    dataset.journal.apply(f"to {name}", [Choice(key, "label", name) for key in keys])


def labels(root: Path) -> list[str | None]:
    with Dataset.open(root) as dataset:
        return [sample.label for sample in dataset.samples.iter_by_key()]


@pytest.fixture
def keys(dataset: Dataset) -> list[str]:
    """Return four samples, two labelled cat, with snapshot v1."""
    keys = sorted(add_sample(dataset, number) for number in range(4))
    label(dataset, "cat", *keys[:2])
    create_snapshot(dataset, "v1", "as the folders say")
    return keys


def test_snapshot_stores_date_note_and_counts(
    dataset: Dataset, keys: list[str]
) -> None:
    label(dataset, "owl", *keys)
    create_snapshot(dataset, "v2")
    first, second = Snapshots(dataset.root).iterate()
    counts = (first.images, first.labelled)
    assert (first.name, first.note, counts) == ("v1", "as the folders say", (4, 2))
    assert (second.name, second.labelled, second.classes) == ("v2", 4, 2)
    assert first.at <= second.at
    files = sorted(path.name for path in (dataset.root / "snapshots").iterdir())
    assert files == ["v1.sqlite", "v2.sqlite"]
    assert dataset.db.fetch_int("SELECT count(*) FROM snapshot") == 0


def test_restore_keeps_present_catalogue_as_snapshot(
    dataset: Dataset, keys: list[str]
) -> None:
    label(dataset, "owl", *keys)
    backup = restore_snapshot(dataset, "v1")
    assert labels(dataset.root) == ["cat", "cat", None, None]
    assert backup.before.startswith("before-restore-20")
    with Dataset.open(dataset.root) as reopened:
        assert reopened.db.fetch_value("PRAGMA journal_mode") == "wal"
        assert reopened.classes.list_names() == ["cat"]
        restore_snapshot(reopened, backup.before)
    assert labels(dataset.root) == ["owl"] * 4
    # Both snapshots remain, and the replaced catalogue is the third.
    assert {"v1", backup.before} < set(Snapshots(dataset.root).list_names())
    assert len(Snapshots(dataset.root).list_names()) == 3


def test_snapshot_includes_write_ahead_log(dataset: Dataset) -> None:
    dataset.db.fetch_int("PRAGMA wal_autocheckpoint=0")
    key = add_sample(dataset, 1)
    label(dataset, "cat", key)
    assert (dataset.root / "catalog.sqlite-wal").stat().st_size
    assert create_snapshot(dataset, "v1").labelled == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("../v1", "such"),
        ("/etc/v1", "such"),
        ("a\\b", "a_b"),
        ("", "v1"),
        ("..", "v1"),
        (".hidden", "hidden"),
        ("con", "con"),
        ("a\0b", "a_b"),
        ("-d", "for instance d"),
        ("x" * 90, "x" * 80),
        ("\udcff", "v1"),
    ],
)
def test_invalid_snapshot_name_raises_error(
    dataset: Dataset, name: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        create_snapshot(dataset, name)
    assert hint in caught.value.fix or hint == "such"
    assert list(dataset.root.rglob("*.sqlite")) == [dataset.root / "catalog.sqlite"]
    for use in (
        Snapshots(dataset.root).delete,
        lambda name: restore_snapshot(dataset, name),
    ):
        with pytest.raises(UsageError, match="no such snapshot"):
            use(name)


def test_snapshot_names_ignore_case_and_unicode_form(
    dataset: Dataset, keys: list[str]
) -> None:
    create_snapshot(dataset, "審査.e\u0301")
    assert "審査.\u00e9" in Snapshots(dataset.root).list_names()
    for name in ("v1", "V1", "審査.\u00e9"):
        with pytest.raises(UsageError, match="exists already"):
            create_snapshot(dataset, name)


def test_restore_is_refused_while_dataset_is_open(
    dataset: Dataset, keys: list[str]
) -> None:
    label(dataset, "owl", *keys)
    code = (
        "import sys; from gleanset import Dataset; d = Dataset.open(sys.argv[1]); "
        "print(flush=True); sys.stdin.read()"
    )
    line = [sys.executable, "-c", code, str(dataset.root)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.read(1)
        with pytest.raises(DatasetBusy, match="another program has the dataset open"):
            restore_snapshot(dataset, "v1")
        other.kill()
    assert labels(dataset.root) == ["owl"] * 4
    assert Snapshots(dataset.root).list_names() == ["v1"]
    with Dataset.open(dataset.root) as reopened:
        restore_snapshot(reopened, "v1")
    assert labels(dataset.root) == ["cat", "cat", None, None]


def test_removed_images_are_removed_from_snapshots(
    dataset: Dataset, keys: list[str]
) -> None:
    with Snapshots(dataset.root).open("v1") as before:
        assert Images(before).get_id(sha(1))
    plan = removals.plan_removal(dataset, [sha(1)], [], [])
    removals.remove_images(dataset, plan, "asked to")
    # Only in the catalogue, as a harvest does with opted-out images.
    dataset.remove_image(sha(2), "reserved")
    with Snapshots(dataset.root).open("v1") as after:
        assert not Images(after).get_id(sha(1))
    assert Snapshots(dataset.root).get("v1").images == 3
    data = (dataset.root / "snapshots" / "v1.sqlite").read_bytes()
    assert data.count(sha(1).encode()) == 1, "the tombstone alone"
    restore_snapshot(dataset, "v1")
    with Dataset.open(dataset.root) as restored:
        assert sorted(image.sha256 for image in restored.images.iterate()) == sorted(
            [sha(0), sha(3)]
        )
        assert restored.images.get_tombstone(sha(1)) == "asked to"
        assert restored.images.get_tombstone(sha(2)) == "reserved"
        assert Maintenance(restored.db).check_integrity() == []


def test_image_only_in_snapshot_can_be_removed(
    dataset: Dataset, keys: list[str]
) -> None:
    key = add_sample(dataset, 9)
    backup = restore_snapshot(dataset, "v1").before
    with Dataset.open(dataset.root) as fewer:
        assert not fewer.images.get_id(sha(9))
        crop = fewer.crop_path(key)
        crop.parent.mkdir(parents=True, exist_ok=True)
        crop.write_bytes(b"a crop")
        plan = removals.plan_removal(fewer, [sha(9)], [], [])
        removals.remove_images(fewer, plan, "asked to")
        assert not crop.exists()
        restore_snapshot(fewer, backup)
    with Dataset.open(dataset.root) as back:
        assert not back.images.get_id(sha(9))
        assert back.images.get_id(sha(3))


def test_restore_keeps_removal_reports_and_ids(
    dataset: Dataset, keys: list[str]
) -> None:
    add_sample(dataset, 9)
    before = dataset.db.fetch_int("SELECT max(id) FROM sample")
    box = Box(0, 0, 9, 9)
    image: dict[str, Any] = {
        "sha256": "0" * 64,
        "format": "PNG",
        "box": box,
        "run": "r",
    }
    Reports(dataset.db).add(Claim(**image, claimed="mei"))
    Reports(dataset.db).add(Claim(**image, claimed="", note="mine", kind=REMOVAL))
    backup = restore_snapshot(dataset, "v1")
    with Dataset.open(dataset.root) as restored:
        assert [report.claim.kind for report in Reports(restored.db).iterate()] == [
            REMOVAL
        ]
        add_sample(restored, 10)
        assert restored.db.fetch_int("SELECT max(id) FROM sample") > before
        restore_snapshot(restored, backup.before)
    with Dataset.open(dataset.root) as back:
        add_sample(back, 11)
        assert back.db.fetch_int("SELECT max(id) FROM sample") > before + 1


def test_full_disk_leaves_no_partial_snapshot(
    dataset: Dataset, keys: list[str]
) -> None:
    size = (dataset.root / "snapshots" / "v1.sqlite").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        with pytest.raises(DiskFull):
            create_snapshot(dataset, "v2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in (dataset.root / "snapshots").iterdir()] == [
        "v1.sqlite"
    ]
    create_snapshot(dataset, "v2")


@pytest.mark.parametrize("data", [b"no catalogue at all", b""])
def test_damaged_snapshot_is_reported_and_removable(
    dataset: Dataset, keys: list[str], data: bytes
) -> None:
    (dataset.root / "snapshots" / "v1.sqlite").write_bytes(data)
    label(dataset, "owl", *keys)
    for use in (
        lambda: restore_snapshot(dataset, "v1"),
        lambda: [*Snapshots(dataset.root).iterate()],
    ):
        with pytest.raises(CatalogueCorrupt) as caught:
            use()
        assert caught.value.fix == "delete it: gleanset snapshot --delete v1"
    assert labels(dataset.root) == ["owl"] * 4
    Snapshots(dataset.root).delete("v1")
    assert Snapshots(dataset.root).list_names() == []


def test_restore_upgrades_older_snapshot(dataset: Dataset, keys: list[str]) -> None:
    sql = ROOT / "tests" / "gleanset" / "catalogue_of_4fea4a6a.sql"
    with closing(sqlite3.connect(dataset.root / "snapshots" / "old.sqlite")) as file:
        file.executescript(sql.read_text())
    restore_snapshot(dataset, "old")
    with Dataset.open(dataset.root) as restored:
        assert Maintenance(restored.db).check_integrity() == []
        assert (restored.classes.list_names(), restored.samples.count()) == (["c0"], 4)
    assert not list((dataset.root / "snapshots").glob("*partial*"))


def many_samples(dataset: Dataset, number: int) -> list[str]:
    """Add one image without a file and `number` samples of it."""
    dataset.images.add(
        Measured("f" * 64, "JPEG", 1, 1, 1, 1, 1, 0, 0.0), Origin("test", "1")
    )
    with dataset.db.transaction():
        dataset.db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?) "
            "INSERT INTO sample(key, image, detector, x, y, w, h, phash, sharpness) "
            "SELECT printf('%032x', i), 1, 'whole', 0, 0, 1, 1, 0, 0.0 FROM n",
            (number,),
        )
    return [sample.key for sample in dataset.samples.iter_by_key()]


def kill_restoring(root: Path, name: str, after: float) -> None:
    """Restore in a process that is killed after `after` seconds of CPU time."""
    code = (
        "import signal, sys; from gleanset import Dataset; "
        "from pipeline.maintenance.snapshots import restore_snapshot; "
        "d = Dataset.open(sys.argv[1]); "
        "signal.setitimer(signal.ITIMER_PROF, float(sys.argv[3])); "
        "restore_snapshot(d, sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(root), name, str(after)], check=False
    )


def test_killed_restore_leaves_old_or_new_catalogue(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    with Dataset.create(root) as dataset:
        all_keys = many_samples(dataset, 800)
        for name in ("v1", "v2"):
            dataset.journal.apply(
                name, [Choice(key, "label", name) for key in all_keys]
            )
            create_snapshot(dataset, name)
    labels_seen = set()
    # The last restore has time to finish.
    for after in (0.001, 0.02, 60):
        kill_restoring(root, "v1", after)
        with Dataset.open(root) as dataset:
            assert Maintenance(dataset.db).check_integrity() == []
            (result,) = {sample.label for sample in dataset.samples.iter_by_key()}
            assert dataset.samples.count() == 800
        labels_seen.add(result)
        names = Snapshots(root).list_names()
        assert {"v1", "v2"} <= set(names)
        for name in names:
            assert Snapshots(root).get(name).labelled == 800
            if name.startswith("before"):
                Snapshots(root).delete(name)
    assert result == "v1"
    assert "v2" in labels_seen, "the first one was killed before it did anything"


def test_concurrent_snapshots_are_refused(dataset: Dataset, keys: list[str]) -> None:
    with (
        dataset.stage("snapshot"),
        pytest.raises(DatasetBusy),
        Dataset.open(dataset.root) as other,
    ):
        create_snapshot(other, "v2")
    add_image(dataset, 5)
    assert create_snapshot(dataset, "v2").images == 5


def run_gleanset(root: Path, *words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words, "-d", root)


@pytest.fixture(scope="module")
def labelled_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of eight labelled images with the snapshot v1."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    with Dataset.create(root) as dataset:
        keys = [put_whole(dataset, pixels(seed), str(seed)) for seed in range(8)]
        labels = [
            Choice(key, "label", ("hana", "rei")[n % 2]) for n, key in enumerate(keys)
        ]
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


def count_labels(root: Path) -> Any:
    return run_gleanset(root, "status", "--json").json["labels"]


def test_snapshots_are_listed_and_removed(root: Path) -> None:
    (shown,) = run_gleanset(root, "snapshot").stdout.splitlines()
    assert shown.startswith("v1  20")
    assert shown.endswith(" UTC  8 images, 8 labelled  by number")
    assert run_gleanset(root, "snapshot", "v2", "--json").json["labelled"] == 8
    result = run_gleanset(root, "snapshot", "--json").json
    assert [snapshot["snapshot"] for snapshot in result["snapshots"]] == ["v1", "v2"]
    lines = run_gleanset(
        root, "list", "snapshots", "--where", "name=v1"
    ).stdout.splitlines()
    assert [json.loads(line)["note"] for line in lines] == ["by number"]
    assert run_gleanset(root, "snapshot", "v1", "--delete", "--note", "x").code == 2
    assert run_gleanset(root, "snapshot", "--delete", "v1", "--json").json == {
        "deleted": "v1"
    }
    missing = run_gleanset(root, "restore", "v1")
    assert (missing.code, "no such snapshot: v1" in missing.stderr) == (2, True)
    assert run_gleanset(root, "snapshot", "--delete", "v1").code == 2
    assert run_gleanset(root, "snapshot", "--delete").code == 2
    run_gleanset(root, "snapshot", "--delete", "v2")
    assert "gleanset snapshot NAME" in run_gleanset(root, "snapshot").stdout


def test_restore_is_simulated_applied_and_reverted(root: Path) -> None:
    relabel(root, "yuki", 3)
    result = run_gleanset(root, "restore", "v1", "--simulate", "--json").json
    assert result["would_restore"]["labelled"] == 8
    assert "yuki" in count_labels(root)
    done = run_gleanset(root, "restore", "v1", "--json").json
    assert count_labels(root) == {"hana": 4, "rei": 4}
    assert (done["restored"], done["undo"]) == (
        "v1",
        f"gleanset restore {done['before']} -d {root}",
    )
    assert run_gleanset(root, "restore", done["before"]).code == 0
    assert (count_labels(root)["yuki"], run_gleanset(root, "verify").code) == (3, 0)


def test_gc_keeps_images_of_snapshots(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    before = sorted((root / "images").glob("*/*"))
    assert len(before) == 9
    done = run_gleanset(root, "restore", "v1", "--json").json
    (root / "snapshots" / ".partial-killed").mkdir()
    (root / "snapshots" / ".partial-killed" / "catalog.sqlite").write_bytes(b"half")
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False)
    assert sorted((root / "images").glob("*/*")) == before
    assert not (root / "snapshots" / ".partial-killed").exists()
    assert run_gleanset(root, "verify", "--json").json["unused_files"] == 0
    run_gleanset(root, "snapshot", "--delete", done["before"])
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False)
    assert len(list((root / "images").glob("*/*"))) == 8
    assert run_gleanset(root, "verify").code == 0


def test_gc_stops_at_unreadable_snapshot(root: Path) -> None:
    with Dataset.open(root) as dataset:
        put_whole(dataset, pixels(9), "9")
    done = run_gleanset(root, "restore", "v1", "--json").json
    (root / "snapshots" / f"{done['before']}.sqlite").write_bytes(b"damaged" * 1000)
    run_gleanset(root, "gc", "--older", "0h").refused(
        3, f"gleanset snapshot --delete {done['before']}"
    )
    assert len(list((root / "images").glob("*/*"))) == 9
