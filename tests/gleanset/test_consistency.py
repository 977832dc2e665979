"""Contradictions in a catalogue: real ones are get_findings, apparent ones are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from catalogue_rows import add_image, add_sample, sha
from dataset_consistency import complaints

from gleanset import Dataset, Origin
from gleanset.db.connection import CATALOGUE
from gleanset.db.journal import Choice
from gleanset.db.maintenance import find_contradictions


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


def test_consistent_catalogue_has_no_findings(dataset: Dataset) -> None:
    add_hinted(dataset, 1, "hana")
    assert get_findings(dataset) == {}
    assert set(find_contradictions(dataset.db)) == {
        "orphan_rows",
        "duplicate_faces",
        "disputed_labels",
        "straddling_groups",
    }


def loose_label(dataset: Dataset, key: str) -> None:
    change(dataset, "UPDATE sample SET status='labelled' WHERE key=?", key)


def loose_reference(dataset: Dataset, key: str) -> None:
    dataset.db.execute("PRAGMA foreign_keys=OFF")
    change(dataset, "INSERT INTO sorting_note(sample, mark) VALUES(77, 'later')")


def loose_change(dataset: Dataset, key: str) -> None:
    step = dataset.journal.apply("Rename", [])
    change(dataset, "INSERT INTO change(step, what, item) VALUES(?, 'name', 9)", step)


def no_origin(dataset: Dataset, key: str) -> None:
    change(dataset, "DELETE FROM origin")


def forgotten(dataset: Dataset, key: str) -> None:
    change(dataset, "INSERT INTO tombstone VALUES(?, 'asked to')", sha(1))


def face_elsewhere(dataset: Dataset, key: str) -> None:
    add_image(dataset, 2)
    change(dataset, "UPDATE face SET image=(SELECT max(id) FROM image)")


@pytest.mark.damages("a row that points to nothing is what is looked for")
@pytest.mark.parametrize(
    "damage",
    [loose_label, loose_reference, loose_change, no_origin, forgotten, face_elsewhere],
)
def test_orphan_rows_are_reported(dataset: Dataset, damage: Callable[[Dataset, str], None]) -> None:
    key = add_sample(dataset, 1)
    damage(dataset, key)
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
def test_disputed_labels_are_reported_until_person_decides(
    dataset: Dataset,
) -> None:
    key, copy = two_copies(dataset)
    assert get_findings(dataset) == {}, "without a label nothing is claimed"
    dataset.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    assert get_findings(dataset) == {"disputed_labels": 1}
    assert find_contradictions(dataset.db)["disputed_labels"].examples == (f"{key} is hana",)
    dataset.journal.apply("Label", [Choice(copy, "label", "hana")])
    assert get_findings(dataset) == {}, "a person looked at a copy"
    dataset.journal.undo()
    assert get_findings(dataset) == {"disputed_labels": 1}


@pytest.mark.damages("a label by hint where hints disagree")
def test_disputed_hints_of_one_image_are_reported(dataset: Dataset) -> None:
    key = add_hinted(dataset, 1, "hana", "rei")
    dataset.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    assert get_findings(dataset) == {"disputed_labels": 1}


@pytest.mark.damages("a group in two splits")
@pytest.mark.parametrize("tie", ["split_group='a'", "duplicate_set='a'", "image=1, face=NULL"])
def test_groups_across_splits_are_reported(dataset: Dataset, tie: str) -> None:
    keys = [add_sample(dataset, number) for number in (1, 2)]
    dataset.journal.apply("Label", [Choice(key, "label", "hana") for key in keys])
    dataset.samples.set_splits({keys[0]: (keys[0], "train"), keys[1]: (keys[1], "test")}, "{}")
    assert get_findings(dataset) == {}
    change(dataset, f"UPDATE sample SET {tie}")
    assert get_findings(dataset) == {"straddling_groups": 1}
    change(dataset, "UPDATE sample SET kept=0 WHERE split='train'")
    assert get_findings(dataset) == {}, "duplicates are not in a split"


def test_missing_image_file_is_reported(dataset: Dataset) -> None:
    add_image(dataset, 1)
    catalogue = dataset.root / CATALOGUE
    assert complaints(catalogue) == [], "rows alone"
    (dataset.root / "images").mkdir()
    assert len(complaints(catalogue)) == 1
    (dataset.root / "images").rmdir()
