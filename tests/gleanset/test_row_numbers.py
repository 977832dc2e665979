"""Row ids are never reused, so a reference keeps its meaning."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from catalogue_rows import add_sample, sha

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.maintenance import Maintenance
from gleanset.db.sorting import SampleTiles
from pipeline.listing import KINDS, list_records


def test_ids_of_referenced_rows_are_not_reused(dataset: Dataset) -> None:
    for number in range(3):
        add_sample(dataset, number)
    tables = dataset.db.fetch_all("SELECT name, sql FROM sqlite_master WHERE type='table'")
    sql_by_table = {row["name"]: row["sql"] for row in tables}
    pointed = {
        row["table"]
        for name in sql_by_table
        for row in dataset.db.fetch_all(f"PRAGMA foreign_key_list({name})")
        if row["to"] == "id"
    } | {"decision"}
    assert pointed >= {"image", "face", "class", "sample", "step"}
    assert [name for name in sorted(pointed) if "AUTOINCREMENT" not in sql_by_table[name]] == []
    before = {name: dataset.db.fetch_int(f"SELECT max(id) FROM {name}") for name in pointed}
    Maintenance(dataset.db).forget(sha(2), "asked to")
    add_sample(dataset, 3)
    for name in ("image", "sample", "face"):
        assert dataset.db.fetch_int(f"SELECT max(id) FROM {name}") > before[name]


RENAMED = {
    "presorted": "prelabelled",
    "presort": "prelabeling",
    "doubt": "label_issue",
    "peek": "split_evaluation",
    "aside": "placement",
}


def everything(catalogue: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(catalogue)) as file:
        tables = file.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        return {
            RENAMED.get(name, name): file.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for (name,) in tables
            if name != "migration"
        }


def test_upgraded_catalogue_is_listed_and_undone(oldest: Path) -> None:
    before = everything(oldest)
    (oldest.parent / "dataset.toml").touch()
    with Dataset.open(oldest.parent) as upgraded:
        assert Maintenance(upgraded.db).check_integrity() == []
        assert upgraded.db.fetch_int("PRAGMA foreign_keys") == 1
        steps = [step.name for step in SampleTiles(upgraded.db).list_steps()]
        assert steps == ["Label", "Reject", "Undo: Reject", "Later", 'Rename "A to B" to C']
        listed = {kind: len(list(list_records(upgraded, kind, ()))) for kind in KINDS}
        assert (listed["images"], listed["samples"], listed["decisions"]) == (4, 4, 6)
        assert upgraded.journal.undo().name == 'Rename "A to B" to C'
        assert upgraded.journal.undo().restored == 3
    after = everything(oldest.with_name("catalog.sqlite.before-0031-plain-columns"))
    assert after == before


def test_upgrade_keeps_all_rows(oldest: Path) -> None:
    before = everything(oldest)
    Connection(oldest).close()
    after = everything(oldest)
    assert after.keys() == before.keys()
    assert all(len(before[name]) == len(after[name]) for name in after)
    # Values that name columns and commands are renamed with them.
    renamed = {name for name in after if before[name] != after[name]}
    assert renamed == {"change", "split_evaluation", "rejection"}
    assert "moment" in {row[2] for row in before["change"]} - {row[2] for row in after["change"]}
