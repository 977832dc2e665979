"""Where labels come from: of all samples, and of a few without reading the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from catalogue_rows import add_sample, sha

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice, label_provenances
from gleanset.db.samples import Hints
from gleanset.records import Origin


def labelled(dataset: Dataset, numbers: range) -> list[str]:
    """Samples with two hints each, three of four labelled by a hint or a person."""
    keys = [
        add_sample(dataset, n, Origin("a", f"{n}", hint="cat"), Origin("b", f"{n}", hint="dog"))
        for n in numbers
    ]
    given = [(k, ("hint", "person", "duplicate", "")[n % 4]) for n, k in enumerate(keys)]
    dataset.journal.step("x", [Choice(k, "label", "cat", why) for k, why in given if why])
    return keys


def steps_of(dataset: Dataset, read: Callable[[], object]) -> int:
    """How many hundreds of instructions SQLite's machine takes for what is read."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    dataset.db._sql.set_progress_handler(counted, 100)
    read()
    dataset.db._sql.set_progress_handler(None, 0)
    return count


@pytest.mark.damages("labels by hints that are disputed are what it is about")
def test_those_of_a_few_are_those_of_all(dataset: Dataset) -> None:
    keys = labelled(dataset, range(12))
    with dataset.db.write():
        dataset.db.run("UPDATE sample SET grp='g' WHERE key IN (?,?)", (keys[0], keys[2]))
    dataset.journal.step("y", [Choice(keys[1], "clear"), Choice(keys[4], "label", "dog", "hint")])
    dataset.journal.undo()
    every, hints = label_provenances(dataset.db), Hints(dataset.db)
    assert every[keys[1]] == "person", "what an undo brought back has the provenance of before"
    for number, key in enumerate(keys, 1):
        assert label_provenances(dataset.db, [number]) == {k: every[k] for k in every if k == key}
    assert hints.labelled(range(1, 13)) == {
        n for n, key in enumerate(keys, 1) if every.get(key) in ("hint", "duplicate")
    }
    disputed = hints.disputed()
    assert [one.key for one in disputed] == sorted(keys[n] for n in (0, 2, 4, 6, 8, 10))
    assert [one.key for one in hints.disputed([sha(0)])] == sorted([keys[0], keys[2]])
    assert hints.disputed([sha(1)]) == []
    several = hints.disputed([sha(n) for n in range(12)])
    assert several == disputed


@pytest.mark.damages("labels by hints that are disputed are what it is about")
def test_a_few_members_are_read_alone(dataset: Dataset) -> None:
    def read() -> object:
        return Pairs(dataset.db).members([1, 2, 3]), Hints(dataset.db).disputed([sha(0)])

    labelled(dataset, range(20))
    before, few = read(), steps_of(dataset, read)
    labelled(dataset, range(20, 300))
    assert read() == before
    assert steps_of(dataset, read) < 2 * few
