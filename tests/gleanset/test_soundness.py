"""Contradictions in a catalogue: real ones are found, apparent ones are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from catalogue_rows import add_image, add_sample, sha
from sound_datasets import complaints

from gleanset import Dataset, Origin
from gleanset.db.connection import CATALOGUE
from gleanset.db.journal import Choice
from gleanset.db.maintenance import find_contradictions


def found(dataset: Dataset) -> dict[str, int]:
    return {
        name: what.cases for name, what in find_contradictions(dataset.db).items() if what.cases
    }


def change(dataset: Dataset, sql: str, *values: object) -> None:
    with dataset.db.transaction():
        dataset.db.execute(sql, values)


def hinted(dataset: Dataset, number: int, *hints: str) -> str:
    """Add a sample whose image has these weak labels."""
    origins = [Origin("test", f"{number}-{hint}", hint=hint) for hint in hints]
    return add_sample(dataset, number, *origins)


def two_copies(dataset: Dataset) -> list[str]:
    """Add two samples of one duplicate set with different weak labels."""
    keys = [hinted(dataset, 1, "hana"), hinted(dataset, 2, "rei")]
    change(dataset, "UPDATE sample SET duplicate_set=?", min(keys))
    return keys


def test_a_sound_catalogue_has_none_of_it(dataset: Dataset) -> None:
    hinted(dataset, 1, "hana")
    assert found(dataset) == {}
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
def test_orphan_rows_are_found(dataset: Dataset, damage: Callable[[Dataset, str], None]) -> None:
    key = add_sample(dataset, 1)
    damage(dataset, key)
    assert found(dataset) == {"orphan_rows": 1}


@pytest.mark.damages("a face is there twice")
def test_duplicate_faces_are_found(dataset: Dataset) -> None:
    add_sample(dataset, 1)
    columns = "image,detector,x,y,w,h,score"
    change(dataset, f"INSERT INTO face({columns}) SELECT {columns} FROM face")
    assert found(dataset) == {"duplicate_faces": 1}
    change(dataset, "UPDATE face SET gone=1 WHERE id=2")
    assert found(dataset) == {}


@pytest.mark.damages("a label by hint where hints disagree")
def test_disputed_groups_with_a_label_are_found_unless_a_person_settled_them(
    dataset: Dataset,
) -> None:
    one, other = two_copies(dataset)
    assert found(dataset) == {}, "without a label nothing is claimed"
    dataset.journal.apply("Accept", [Choice(one, "label", "hana", "hint")])
    assert found(dataset) == {"disputed_labels": 1}
    assert find_contradictions(dataset.db)["disputed_labels"].examples == (f"{one} is hana",)
    dataset.journal.apply("Label", [Choice(other, "label", "hana")])
    assert found(dataset) == {}, "a person looked at a copy"
    dataset.journal.undo()
    assert found(dataset) == {"disputed_labels": 1}


@pytest.mark.damages("a label by hint where hints disagree")
def test_disputed_hints_of_one_image_count_as_those_of_copies(dataset: Dataset) -> None:
    key = hinted(dataset, 1, "hana", "rei")
    dataset.journal.apply("Accept", [Choice(key, "label", "hana", "hint")])
    assert found(dataset) == {"disputed_labels": 1}


@pytest.mark.damages("a group in two splits")
@pytest.mark.parametrize("tie", ["split_group='a'", "duplicate_set='a'", "image=1, face=NULL"])
def test_samples_whose_group_straddles_a_split_are_found(dataset: Dataset, tie: str) -> None:
    keys = [add_sample(dataset, number) for number in (1, 2)]
    dataset.journal.apply("Label", [Choice(key, "label", "hana") for key in keys])
    dataset.samples.set_splits({keys[0]: (keys[0], "train"), keys[1]: (keys[1], "test")}, "{}")
    assert found(dataset) == {}
    change(dataset, f"UPDATE sample SET {tie}")
    assert found(dataset) == {"straddling_groups": 1}
    change(dataset, "UPDATE sample SET kept=0 WHERE split='train'")
    assert found(dataset) == {}, "what is set aside is in no split"


def test_a_missing_file_is_found_where_pictures_are_stored(dataset: Dataset) -> None:
    add_image(dataset, 1)
    catalogue = dataset.root / CATALOGUE
    assert complaints(catalogue) == [], "rows alone"
    (dataset.root / "images").mkdir()
    assert len(complaints(catalogue)) == 1
    (dataset.root / "images").rmdir()
