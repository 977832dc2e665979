"""Numbers of rows are given once: what points to a row never means another one later."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalogue_rows import add_sample, sha

from gleanset import Dataset
from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.migrations import MIGRATIONS
from gleanset.db.runs import Doubt, Doubts
from gleanset.db.sorting import SampleTiles
from pipeline.listing import KINDS, listing

NAMES = [name for name, _ in MIGRATIONS]
PLACE = NAMES.index("0014-numbers-once")
BEFORE, AFTER = MIGRATIONS[:PLACE], MIGRATIONS[: PLACE + 1]


def test_a_doubt_ends_with_a_decision_that_comes_after_a_take_down(dataset: Dataset) -> None:
    keys = [add_sample(dataset, number) for number in range(3)]
    dataset.journal.step("Label", [Choice(key, "label", "cat") for key in keys])
    dataset.journal.step("Again", [Choice(keys[2], "label", "cat")])
    doubts = Doubts(dataset.db)
    dataset.journal.step("Owl", [Choice(keys[0], "label", "owl")])
    dataset.journal.undo()
    doubts.replace([Doubt(key, "cat", "owl", 0.9, 0.5, "run") for key in keys])
    Maintenance(dataset.db).forget(sha(2), "asked to")
    Maintenance(dataset.db).forget(sha(0), "asked to")
    assert doubts.count() == 1
    dataset.journal.step("Looked", [Choice(keys[1], "label", "cat")])
    assert doubts.count() == 0


def test_a_redo_marks_no_sample_that_came_after_a_take_down(dataset: Dataset) -> None:
    add_sample(dataset, 0)
    key = add_sample(dataset, 1)
    changes, tiles = Changes(dataset.db), SampleTiles(dataset.db)
    with dataset.db.write():
        step = dataset.journal.step("Later", [])
        changes.make(step, [Change("mark", tiles.rows_of([key])[key], "later")])
    dataset.journal.undo()
    Maintenance(dataset.db).forget(sha(1), "asked to")
    other = add_sample(dataset, 2)
    assert dataset.journal.undo(step + 1).changed_since == 0
    assert list(tiles.marks([other]).values()) == [None]


def test_no_row_that_others_point_to_gets_a_number_again(dataset: Dataset) -> None:
    for number in range(3):
        add_sample(dataset, number)
    tables = dataset.db.rows("SELECT name, sql FROM sqlite_master WHERE type='table'")
    made = {row["name"]: row["sql"] for row in tables}
    pointed = {
        row["table"]
        for name in made
        for row in dataset.db.rows(f"PRAGMA foreign_key_list({name})")
        if row["to"] == "id"
    } | {"decision"}
    assert pointed >= {"image", "face", "class", "sample", "step"}
    assert [name for name in sorted(pointed) if "AUTOINCREMENT" not in made[name]] == []
    before = {name: dataset.db.number(f"SELECT max(id) FROM {name}") for name in pointed}
    Maintenance(dataset.db).forget(sha(2), "asked to")
    add_sample(dataset, 3)
    for name in ("image", "sample", "face"):
        assert dataset.db.number(f"SELECT max(id) FROM {name}") > before[name]


def older(dataset: Dataset, root: Path) -> None:
    """The rows of a dataset in a catalogue of the time before numbers were given once."""
    root.mkdir()
    (root / "dataset.toml").write_bytes((dataset.root / "dataset.toml").read_bytes())
    old = Connection(root / "catalog.sqlite", create=True, migrations=BEFORE)
    old.attach(dataset.db.path, "new")
    with old.write():
        for name in tables(old):
            columns = ",".join(row["name"] for row in old.rows(f"PRAGMA main.table_info({name})"))
            old.run(f"INSERT INTO main.{name}({columns}) SELECT {columns} FROM new.{name}")
    old.detach("new")
    old.close()


def tables(db: Connection) -> list[str]:
    rows = db.rows(
        "SELECT name FROM main.sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%' "
        "AND name<>'migration' ORDER BY name='image' DESC, name='class' DESC, name='face' DESC, "
        "name='sample' DESC, name='step' DESC"
    )
    return [row[0] for row in rows]


def everything(db: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted(map(tuple, db.rows(f"SELECT * FROM {name}")), key=repr) for name in tables(db)
    }


def indices(db: Connection) -> list[str]:
    return [
        row[0]
        for row in db.rows(
            "SELECT sql FROM sqlite_master WHERE type='index' AND sql IS NOT NULL ORDER BY name"
        )
    ]


@pytest.fixture
def used(dataset: Dataset) -> Dataset:
    """Four samples with labels, undone steps, marks, doubts, a lost face and a split."""
    keys = [add_sample(dataset, number) for number in range(4)]
    dataset.journal.step("Label", [Choice(key, "label", f"c{n % 2}") for n, key in enumerate(keys)])
    dataset.journal.step("Reject", [Choice(keys[3], "reject")])
    dataset.journal.undo()
    dataset.faces.record(sha(3), "test", "again", [])
    with dataset.db.write():
        step = dataset.journal.step("Later", [])
        Changes(dataset.db).make(step, [Change("mark", 4, "later"), Change("merged", 2, 1)])
    Doubts(dataset.db).replace([Doubt(key, "c0", "c1", 0.9, 0.5, "run") for key in keys])
    dataset.samples.set_splits({keys[0]: ("m", "train"), keys[1]: ("n", "test")}, "seed 0")
    return dataset


def test_an_older_catalogue_keeps_all_its_rows_indices_and_lists(
    used: Dataset, tmp_path: Path
) -> None:
    older(used, tmp_path / "old")
    before = Connection(tmp_path / "old" / "catalog.sqlite", migrations=BEFORE)
    rows, had = everything(before), indices(before)
    before.close()
    after = Connection(tmp_path / "old" / "catalog.sqlite", migrations=AFTER)
    assert (everything(after), indices(after)) == (rows, had)
    after.close()
    with Dataset.open(tmp_path / "old") as upgraded:
        assert Maintenance(upgraded.db).damage() == []
        assert upgraded.db.number("SELECT size FROM sample") == 10
        assert upgraded.db.number("PRAGMA foreign_keys") == 1
        for kind in KINDS:
            assert list(listing(upgraded, kind, ())) == list(listing(used, kind, ())), kind


def test_an_older_catalogue_gives_no_number_that_a_doubt_or_a_change_still_holds(
    used: Dataset, tmp_path: Path
) -> None:
    older(used, tmp_path / "old")
    old = Connection(tmp_path / "old" / "catalog.sqlite", migrations=BEFORE)
    with old.write():
        old.run("UPDATE doubt SET seen=70")
        old.run("INSERT INTO change(step, what, item) VALUES(1, 'mark', 80)")
    old.close()
    with Dataset.open(tmp_path / "old") as upgraded:
        key = add_sample(upgraded, 9)
        assert SampleTiles(upgraded.db).rows_of([key])[key] > 80
        upgraded.journal.step("Looked", [Choice(add_sample(upgraded, 0), "label", "c0")])
        assert upgraded.db.number("SELECT max(id) FROM decision") > 70
        assert upgraded.db.rows("SELECT id FROM change WHERE item=80") == []
