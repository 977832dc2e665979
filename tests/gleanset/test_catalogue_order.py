"""Defined orders under every filter, ids that are never reused, and contradictions."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from catalogue_rows import add_image, add_sample, cut, sha
from dataset_consistency import complaints

from gleanset import Dataset, Origin
from gleanset.db.classes import Placement, Placements
from gleanset.db.connection import CATALOGUE, Connection
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance, find_contradictions
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.sorting import SampleTiles
from gleanset.db.views import (
    DUPLICATES,
    EVERYWHERE,
    ORDERS,
    PLACES,
    OrderedSamples,
    SampleFilter,
)
from pipeline.listing import KINDS, list_records

FILMS = {"f1": "b.mkv", "f2": "a.mkv"}


@dataclass(frozen=True)
class Face:
    """The expected fields of a sample."""

    id: int
    image: int
    source: str
    film: str | None
    time: float | None
    scene: int | None
    post: str | None
    proposed: tuple[str, float] | None


class RandomFaces:
    """40 images with two faces each, from films, posts and files."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        dice = random.Random(5)
        self.faces: dict[int, Face] = {}
        raw: dict[str, tuple[int, Origin, tuple[str, float] | None]] = {}
        for number in range(40):
            film = dice.choice(["f1", "f2", None])
            scene = dice.randrange(6) if film else None
            seconds = dice.random() * 600 if film else None
            post = f"p{dice.randrange(5)}" if not film and dice.random() < 0.7 else None
            source = "video" if film else dice.choice(["bing", "pixiv"])
            origin = Origin(
                source,
                f"{number}",
                video=film,
                time=seconds,
                scene=scene,
                post=post,
                title="t",
            )
            add_image(dataset, number, origin)
            cuts = [cut(number, x, dice.choice((0.1, 0.5, 0.9))) for x in range(2)]
            dataset.faces.replace(sha(number), "test", "", cuts, cut="margin=0")
            for crop in cuts:
                says = (
                    (dice.choice(["cat", "dog"]), dice.random())
                    if dice.random() < 0.8
                    else None
                )
                raw[crop.key] = (number, origin, says)
        named = zip(list(raw)[:2], ("cat", "dog"), strict=True)
        dataset.journal.apply(
            "Classes", [Choice(key, "label", name) for key, name in named]
        )
        standings = [
            PrelabelledSample(key, position, (Proposal(*says),) if says else ())
            for position, (key, (_, _, says)) in enumerate(raw.items())
        ]
        Proposals(dataset.db).replace(standings, {})
        rows = SampleTiles(dataset.db).get_ids(raw)
        for key, (image, o, says) in raw.items():
            self.faces[rows[key]] = Face(
                rows[key], image, o.source, o.video, o.time, o.scene, o.post, says
            )
        for sha256, name in FILMS.items():
            dataset.db.execute(
                "INSERT INTO video(sha256, name, settings, frames) VALUES(?,?,'',1)",
                (sha256, name),
            )


@pytest.fixture(scope="module")
def random_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomFaces]:
    with Dataset.create(tmp_path_factory.mktemp("ordering") / "d") as dataset:
        yield RandomFaces(dataset)


def key_of(face: Face, order: str) -> tuple[object, ...]:
    """Return the sort key of a face, independent of the SQL."""
    last = (face.image, face.id)
    if order == "proposal":
        name, confidence = face.proposed or ("~", 0.0)
        return (name, -confidence, *last)
    if order == "time":
        film = FILMS[face.film] if face.film else "~"
        return (film, face.time or 0, *last)
    if order == "source":
        return (face.source, *last)
    return last  # all faces have the same size


@pytest.mark.parametrize("order", ORDERS)
def test_orders_equal_python_sort(random_faces: RandomFaces, order: str) -> None:
    result = OrderedSamples(random_faces.dataset.db).list_rows(EVERYWHERE, order=order)
    expected = sorted(random_faces.faces.values(), key=lambda face: key_of(face, order))  # type: ignore[arg-type,return-value]
    assert list(result.ids) == [face.id for face in expected]
    assert sum(count for _, count in result.sections) == len(random_faces.faces)
    titles = [title for title, _ in result.sections]
    assert len(titles) == len(set(titles))
    if order == "time":
        assert titles == ["a.mkv", "b.mkv", None]
    if order == "proposal":
        assert titles == ["cat", "dog", None]


def test_filters_equal_brute_force(random_faces: RandomFaces) -> None:
    result = OrderedSamples(random_faces.dataset.db)
    faces = random_faces.faces.values()
    cases: list[tuple[SampleFilter, set[int]]] = [
        (SampleFilter(source="bing"), {f.id for f in faces if f.source == "bing"}),
        (SampleFilter(video="f2"), {f.id for f in faces if f.film == "f2"}),
    ]
    for sample_filter, ids in cases:
        assert (
            set(result.list_rows(EVERYWHERE, sample_filter=sample_filter).ids) == ids
        ), sample_filter
        assert result.count(EVERYWHERE, sample_filter=sample_filter) == len(ids), (
            sample_filter
        )


def test_places_and_classes_are_disjoint(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Dataset.create(tmp_path_factory.mktemp("places") / "d") as dataset:
        random_faces = RandomFaces(dataset)
        result = OrderedSamples(dataset.db)
        db = dataset.db
        parts = {place: list(result.list_rows(place).ids) for place in PLACES}
        classes = {
            name: list(result.list_rows(EVERYWHERE, label=name).ids)
            for name in ("cat", "dog")
        }
        assert [len(ids) for ids in classes.values()] == [1, 1]
        everything = sorted(
            row_id for ids in (*parts.values(), *classes.values()) for row_id in ids
        )
        assert everything == sorted(random_faces.faces)
        with db.transaction():
            step = dataset.journal.apply("Mark duplicate", [])
            duplicate = parts["queue"][0]
            Placements(db).apply(step, [Placement(duplicate, False, "g", "a copy")])
        assert list(result.list_rows(DUPLICATES).ids) == [duplicate]
        assert (result.count(DUPLICATES), result.count("queue")) == (
            1,
            len(parts["queue"]) - 1,
        )


@pytest.mark.parametrize("kind", ["a model", "pixels", "zoom"])
def test_verdict_of_person_overrides_others(dataset: Dataset, kind: str) -> None:
    for number in range(2):
        add_image(dataset, number)
        dataset.faces.replace(sha(number), "test", "", [cut(number)])
    with dataset.db.transaction():
        for message, verdict in (("person", "not"), (kind, "same")):
            dataset.db.execute(
                "INSERT INTO pair(a,b,kind,verdict) VALUES(1,2,?,?)", (message, verdict)
            )
    pairs = Pairs(dataset.db)
    assert pairs.get_verdicts() == pairs.get_possible_duplicates() == {(1, 2): False}
    assert pairs.get_verdict(1, 2) == "not"


def test_ids_of_referenced_rows_are_not_reused(dataset: Dataset) -> None:
    for number in range(3):
        add_sample(dataset, number)
    tables = dataset.db.fetch_all(
        "SELECT name, sql FROM sqlite_master WHERE type='table'"
    )
    sql_by_table = {row["name"]: row["sql"] for row in tables}
    pointed = {
        row["table"]
        for name in sql_by_table
        for row in dataset.db.fetch_all(f"PRAGMA foreign_key_list({name})")
        if row["to"] == "id"
    } | {"decision"}
    assert pointed >= {"image", "face", "class", "sample", "step"}
    assert [
        name for name in sorted(pointed) if "AUTOINCREMENT" not in sql_by_table[name]
    ] == []
    before = {
        name: dataset.db.fetch_int(f"SELECT max(id) FROM {name}") for name in pointed
    }
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
        tables = file.execute(
            "SELECT name FROM sqlite_master WHERE type='table'"
        ).fetchall()
        return {
            RENAMED.get(name, name): file.execute(
                f"SELECT * FROM {name} ORDER BY 1, 2"
            ).fetchall()
            for (name,) in tables
            if name != "migration"
        }


def test_upgraded_catalogue_is_listed_and_undone(oldest: Path) -> None:
    before = everything(oldest)
    (oldest.parent / "dataset.toml").touch()
    with Dataset.open(oldest.parent) as upgraded:
        assert Maintenance(upgraded.db).check_integrity() == []
        assert upgraded.db.fetch_int("PRAGMA foreign_keys") == 1
        steps = [
            step.operation.text() for step in SampleTiles(upgraded.db).list_steps()
        ]
        assert steps == [
            "Label",
            "Reject",
            "Undo: Reject",
            "Later",
            'Rename "A to B" to C',
        ]
        listed = {kind: len(list(list_records(upgraded, kind, ()))) for kind in KINDS}
        assert (listed["images"], listed["samples"], listed["decisions"]) == (4, 4, 6)
        assert upgraded.journal.undo().name == 'Rename "A to B" to C'
        assert upgraded.journal.undo().restored == 3
    backup = everything(oldest.with_name("catalog.sqlite.before-0031-plain-columns"))
    assert backup == before


def test_upgrade_keeps_all_rows(oldest: Path) -> None:
    before = everything(oldest)
    Connection(oldest).close()
    after = everything(oldest)
    assert before.keys() - after.keys() == {"balance", "balance_plan"}
    assert after.keys() - before.keys() == {"collection", "handed_page"}
    kept = before.keys() & after.keys()
    assert all(len(before[name]) == len(after[name]) for name in kept)
    # Up to the first column that was added or dropped.
    columns = {
        "origin": 20,
        "sample": 18,
        "class": 2,
        "step": 4,
        "sorting_note": 3,
        "label_issue": 7,
        "pair": 8,
        "placement": 7,
    }
    for name, number in columns.items():
        before[name] = [row[:number] for row in before[name]]
        after[name] = [row[:number] for row in after[name]]
    # Values that name columns and commands are renamed with them.
    renamed = {name for name in kept if before[name] != after[name]}
    assert renamed == {"change", "split_evaluation", "rejection", "split_plan"}
    assert "moment" in {row[2] for row in before["change"]} - {
        row[2] for row in after["change"]
    }


def test_upgrade_drops_changes_that_no_version_makes(oldest: Path) -> None:
    (oldest.parent / "dataset.toml").touch()
    with closing(sqlite3.connect(oldest)) as file:
        file.executescript(
            "INSERT INTO step(at, who, kind, arguments) VALUES('now', 'Ann', 'same-person', "
            "'{\"count\":2}'), ('now', 'Ann', 'take-down', '{\"count\":1}');"
            "INSERT INTO change(step, what, item, before, after) "
            "SELECT max(id) - 1, 'bond', 1, NULL, 1 FROM step;"
        )
    with Dataset.open(oldest.parent) as upgraded:
        # What was removed for good is not undone.
        undone = upgraded.journal.undo()
        assert (undone.operation.kind, undone.changed_since) == ("same-person", 0)
        assert Maintenance(upgraded.db).check_integrity() == []


def get_findings(dataset: Dataset) -> dict[str, int]:
    return {
        name: finding.cases
        for name, finding in find_contradictions(dataset.db).items()
        if finding.cases
    }


def change(dataset: Dataset, sql: str, *values: object) -> None:
    with dataset.db.transaction():
        dataset.db.execute(sql, values)


def add_hinted(dataset: Dataset, number: int, *hints: str) -> str:
    """Add a sample whose image has these weak labels."""
    origins = [Origin("test", f"{number}-{hint}", hint=hint) for hint in hints]
    return add_sample(dataset, number, *origins)


def two_copies(dataset: Dataset) -> list[str]:
    """Add two samples of one duplicate set with different weak labels."""
    keys = [add_hinted(dataset, 1, "hana"), add_hinted(dataset, 2, "rei")]
    change(dataset, "UPDATE sample SET duplicate_set=?", min(keys))
    return keys


@pytest.mark.damages("a row that points to nothing is what is looked for")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sample SET status='labelled'",
        "INSERT INTO sorting_note(sample, mark) VALUES(77, 'later')",
        "INSERT INTO change(step, what, item) SELECT max(id), 'name', 9 FROM step",
        "DELETE FROM origin WHERE image=1",
        "INSERT INTO tombstone SELECT sha256, 'asked to' FROM image WHERE id=1",
        "UPDATE face SET image=2",
    ],
)
def test_orphan_rows_are_reported(dataset: Dataset, statement: str) -> None:
    add_sample(dataset, 1)
    add_image(dataset, 2)
    dataset.journal.apply("Rename", [])
    dataset.db.execute("PRAGMA foreign_keys=OFF")
    change(dataset, statement)
    assert get_findings(dataset) == {"orphan_rows": 1}


@pytest.mark.damages("a face is there twice")
def test_duplicate_faces_are_reported(dataset: Dataset) -> None:
    add_sample(dataset, 1)
    columns = "image,detector,x,y,w,h,score"
    change(dataset, f"INSERT INTO face({columns}) SELECT {columns} FROM face")
    assert get_findings(dataset) == {"duplicate_faces": 1}
    change(dataset, "UPDATE face SET gone=1 WHERE id=2")
    assert get_findings(dataset) == {}


@pytest.mark.damages("a label by hint where hints disagree")
def test_disputed_labels_are_reported_until_person_decides(dataset: Dataset) -> None:
    key, copy = two_copies(dataset)
    assert get_findings(dataset) == {}, "without a label nothing is claimed"
    dataset.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    assert get_findings(dataset) == {"disputed_labels": 1}
    assert find_contradictions(dataset.db)["disputed_labels"].examples == (
        f"{key} is hana",
    )
    dataset.journal.apply("Label", [Choice(copy, "label", "hana")])
    assert get_findings(dataset) == {}, "a person looked at a copy"
    dataset.journal.undo()
    assert get_findings(dataset) == {"disputed_labels": 1}


@pytest.mark.damages("a label by hint where hints disagree")
def test_disputed_hints_of_one_image_are_reported(dataset: Dataset) -> None:
    key = add_hinted(dataset, 1, "hana", "rei")
    dataset.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    assert get_findings(dataset) == {"disputed_labels": 1}


def test_missing_image_file_is_reported(dataset: Dataset) -> None:
    add_image(dataset, 1)
    catalogue = dataset.root / CATALOGUE
    assert complaints(catalogue) == [], "rows alone"
    (dataset.root / "images").mkdir()
    assert len(complaints(catalogue)) == 1
    (dataset.root / "images").rmdir()
