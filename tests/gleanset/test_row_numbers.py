"""Row numbers, never reused: a reference to a row never means another one later."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from catalogue_rows import add_sample, sha
from tools_for_tests import FORMER_SCHEMA

from gleanset import Dataset
from gleanset.db.classes import Change, Changes
from gleanset.db.connection import Connection
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.proposals import Prelabeling, PrelabelledSample, Proposals
from gleanset.db.reports import REFUSED, REMOVAL, WRONG_ANSWER, Reports
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.sorting import SampleTiles
from pipeline.listing import KINDS, list_records


def test_a_doubt_ends_with_a_decision_that_comes_after_a_take_down(dataset: Dataset) -> None:
    keys = [add_sample(dataset, number) for number in range(3)]
    dataset.journal.apply("Label", [Choice(key, "label", "cat") for key in keys])
    dataset.journal.apply("Again", [Choice(keys[2], "label", "cat")])
    doubts = LabelIssues(dataset.db)
    dataset.journal.apply("Owl", [Choice(keys[0], "label", "owl")])
    dataset.journal.undo()
    doubts.replace([LabelIssue(key, "cat", "owl", 0.9, 0.5, "run") for key in keys])
    Maintenance(dataset.db).forget(sha(2), "asked to")
    Maintenance(dataset.db).forget(sha(0), "asked to")
    assert doubts.count() == 1
    dataset.journal.apply("Looked", [Choice(keys[1], "label", "cat")])
    assert doubts.count() == 0


def test_a_redo_marks_no_sample_that_came_after_a_take_down(dataset: Dataset) -> None:
    add_sample(dataset, 0)
    key = add_sample(dataset, 1)
    changes, tiles = Changes(dataset.db), SampleTiles(dataset.db)
    with dataset.db.transaction():
        step = dataset.journal.apply("Later", [])
        changes.apply(step, [Change("mark", tiles.get_ids([key])[key], "later")])
    dataset.journal.undo()
    Maintenance(dataset.db).forget(sha(1), "asked to")
    other = add_sample(dataset, 2)
    assert dataset.journal.undo(step + 1).changed_since == 0
    assert list(tiles.get_marks([other]).values()) == [None]


def test_no_row_that_others_point_to_gets_a_number_again(dataset: Dataset) -> None:
    for number in range(3):
        add_sample(dataset, number)
    tables = dataset.db.fetch_all("SELECT name, sql FROM sqlite_master WHERE type='table'")
    made = {row["name"]: row["sql"] for row in tables}
    pointed = {
        row["table"]
        for name in made
        for row in dataset.db.fetch_all(f"PRAGMA foreign_key_list({name})")
        if row["to"] == "id"
    } | {"decision"}
    assert pointed >= {"image", "face", "class", "sample", "step"}
    assert [name for name in sorted(pointed) if "AUTOINCREMENT" not in made[name]] == []
    before = {name: dataset.db.fetch_int(f"SELECT max(id) FROM {name}") for name in pointed}
    Maintenance(dataset.db).forget(sha(2), "asked to")
    add_sample(dataset, 3)
    for name in ("image", "sample", "face"):
        assert dataset.db.fetch_int(f"SELECT max(id) FROM {name}") > before[name]


RENAMED = {
    "look": "sample_hash",
    "mark": "sorting_note",
    "standing": "prelabelled",
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


def test_an_older_catalogue_keeps_all_its_rows_and_lists(oldest: Path) -> None:
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
    after = everything(oldest.with_name("catalog.sqlite.before-0022-plain-names"))
    assert after == before


def test_an_upgrade_loses_no_row(oldest: Path) -> None:
    before = everything(oldest)
    Connection(oldest).close()
    after = everything(oldest)
    # The kind of a step says what it did, classes and presorts lost unused columns, samples have an
    # optional track, pairs have a relation, text is no longer measured, snapshots are files, checks
    # and gestures are no longer counted, and requests to remove an image are reports.
    changed = {"pair", "step", "class", "sample", "prelabeling", "prelabelled", "quality"}
    of_snapshots = {"snapshot", "sqlite_sequence", "run"}
    gone = {"snapped", "checked", "effort", "takedown"}
    assert after.keys() == (before.keys() | {"track"}) - gone
    assert {name for name in after if before.get(name) != after[name]} - {"track"} == (
        changed | of_snapshots | {"report"}
    )
    assert len(after["report"]) == len(before["report"]) + len(before["takedown"])
    assert all(len(before[name]) == len(after[name]) for name in changed)


TAKEDOWNS_BEFORE = f"""{FORMER_SCHEMA}
DROP TABLE report;
CREATE TABLE report(id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    sha256 TEXT NOT NULL, format TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, w INTEGER NOT NULL, h INTEGER NOT NULL,
    claimed TEXT NOT NULL, run TEXT NOT NULL, answer TEXT, confidence REAL,
    note TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT 'pending',
    UNIQUE(sha256, x, y, w, h, claimed));
CREATE INDEX report_status ON report(status, id);
CREATE TABLE takedown(id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL,
    page TEXT NOT NULL, sha256 TEXT NOT NULL, phash INTEGER, words TEXT NOT NULL,
    reason TEXT NOT NULL, contact TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending');
INSERT INTO report
    VALUES(4, 'then', 'ab', 'PNG', 0, 0, 9, 9, 'mei', 'r', NULL, NULL, '', 'pending');
INSERT INTO takedown VALUES
    (1, 'then', 'https://a.example/1', '', NULL, 'the red hat', 'it is mine', 'me@a.example',
     'pending'),
    (2, 'then', '', 'cd', -5, '', 'mine', '', 'refused');
INSERT INTO step(id, at, who, kind, arguments)
    VALUES(7, 'then', 'me', 'refuse-take-downs', '{{"count": 1}}');
INSERT INTO change(step, what, item, before, after) VALUES(7, 'takedown', 2, 'pending', 'refused');
DELETE FROM migration;
INSERT INTO migration VALUES('0028-no-checks', 'then');
"""


def test_requests_to_remove_an_image_become_reports(dataset: Dataset) -> None:
    catalogue = dataset.root / "catalog.sqlite"
    dataset.close()
    with closing(sqlite3.connect(catalogue)) as file:
        file.executescript(TAKEDOWNS_BEFORE)
    with Dataset.open(catalogue.parent) as upgraded:
        reports = Reports(upgraded.db)
        answer, waiting = reports.iterate()
        assert (answer.id, answer.claim.kind, answer.claim.claimed) == (4, WRONG_ANSWER, "mei")
        assert (waiting.id, waiting.claim.kind, waiting.claim.phash) == (5, REMOVAL, None)
        assert waiting.claim.note == "the red hat\nit is mine\nhttps://a.example/1\nme@a.example"
        (refused,) = reports.iterate(REFUSED)
        assert (refused.claim.sha256, refused.claim.phash) == ("cd", (1 << 64) - 5)
        listed = list(list_records(upgraded, "reports", ()))
        assert [line["kind"] for line in listed] == [WRONG_ANSWER, REMOVAL, REMOVAL]
        upgraded.journal.undo(7)
        assert [report.id for report in reports.iterate()] == [4, 5, 6]
        reports.add(answer.claim._replace(claimed="rin"))
        assert upgraded.db.fetch_int("SELECT max(id) FROM report") == 7, "no number is given again"


PRESORTS_BEFORE = f"""{FORMER_SCHEMA}
ALTER TABLE pair DROP COLUMN relation;
ALTER TABLE quality ADD COLUMN text REAL;
DROP TABLE presort;
DROP TABLE presorted;
CREATE TABLE presort(
    id INTEGER PRIMARY KEY, at TEXT NOT NULL,
    run TEXT,  -- of which the vectors are, if of any
    facts TEXT NOT NULL);
CREATE TABLE presorted(  -- a sample in it
    sample INTEGER PRIMARY KEY REFERENCES sample(id),
    place INTEGER NOT NULL,  -- along an order in which look-alikes are neighbours
    cluster INTEGER,  -- look-alikes of one kind
    outlier REAL,  -- 0 for a typical picture of these, 1 for an odd one
    ask INTEGER);
CREATE INDEX presorted_place ON presorted(place, sample);
INSERT INTO presort VALUES(7, 'then', NULL, '{{"known": []}}');
INSERT INTO presorted SELECT id, 3, 4, 0.25, 5 FROM sample;
ALTER TABLE run ADD COLUMN snapshot TEXT NOT NULL DEFAULT '{{}}';
DROP TABLE snapshot;
CREATE TABLE snapshot(id INTEGER PRIMARY KEY);
CREATE TABLE snapshot_sample(sample INTEGER PRIMARY KEY);
CREATE TABLE checked(sample INTEGER PRIMARY KEY);
CREATE TABLE effort(id INTEGER PRIMARY KEY);
DROP INDEX report_once;
DROP INDEX report_sha256;
CREATE TABLE takedown(id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, page TEXT, sha256 TEXT,
    phash INTEGER, words TEXT, reason TEXT, contact TEXT, status TEXT);
DELETE FROM migration;
INSERT INTO migration VALUES('0023-tracks', 'then');
"""


def test_a_former_prelabeling_is_kept_without_its_run(dataset: Dataset) -> None:
    key = add_sample(dataset, 0)
    catalogue = dataset.root / "catalog.sqlite"
    dataset.close()
    with closing(sqlite3.connect(catalogue)) as file:
        file.executescript(PRESORTS_BEFORE)
    with Dataset.open(catalogue.parent) as upgraded:
        proposals = Proposals(upgraded.db)
        assert list(proposals.iterate()) == [PrelabelledSample(key, 3, (), 4, 0.25)]
        assert proposals.get_latest() == Prelabeling(7, "then", {"known": []})
