"""Doubts end when somebody looks; looks at a split are counted; who gave a label is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stored_pictures import store

from gleanset import Dataset
from gleanset.db.journal import Choice, label_provenances
from gleanset.db.runs import Doubt, Doubts, SplitEvaluations
from gleanset.records import Origin


@pytest.fixture
def keys(dataset: Dataset, picture: Callable[..., bytes]) -> list[str]:
    """Four samples, all labelled 'cat' from their hints."""
    made = [store(dataset, picture(n), Origin("folder", str(n))) for n in range(4)]
    dataset.journal.step("Accept", [Choice(key, "label", "cat", "hint") for key in made])
    dataset.journal.step("Other", [Choice(made[3], "label", "owl")])
    return sorted(made[:3])


def doubt(key: str, margin: float = 0.5) -> Doubt:
    return Doubt(key, "cat", "owl", 0.9, margin, "run")


def test_the_clearest_comes_first_and_a_new_search_replaces(
    dataset: Dataset, keys: list[str]
) -> None:
    doubts = Doubts(dataset.db)
    assert doubts.replace([doubt(keys[0], 0.2), doubt(keys[1], 0.7), doubt("gone")]) == 2
    assert [one.sample for one in doubts.each()] == [keys[1], keys[0]]
    assert doubts.of([keys[0], keys[2]]) == {keys[0]: doubt(keys[0], 0.2)}
    assert doubts.replace([doubt(keys[2])]) == 1
    assert [one.sample for one in doubts.each()] == [keys[2]]


def test_a_doubt_ends_with_any_decision_and_comes_back_with_no_undo(
    dataset: Dataset, keys: list[str]
) -> None:
    doubts = Doubts(dataset.db)
    doubts.replace([doubt(key) for key in keys])
    dataset.journal.step("Right", [Choice(keys[0], "label", "cat")])
    dataset.journal.step("Wrong", [Choice(keys[1], "label", "owl")])
    assert doubts.count() == 1
    assert [one.sample for one in doubts.each()] == [keys[2]]
    dataset.journal.undo()
    assert doubts.count() == 1


def test_more_doubts_than_a_page(dataset: Dataset, keys: list[str]) -> None:
    doubts = Doubts(dataset.db)
    doubts.replace([doubt(key, 0.5) for key in keys])
    assert len({one.sample for one in doubts.each()}) == 3


def test_looks_are_counted_by_the_samples_that_were_seen(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    assert peeks.add("a", "test", ["x", "y"], "train") == (0, 0, ())
    assert peeks.add("b", "test", ["y", "x"], "train") == (1, 0, ("a",))
    assert peeks.add("c", "test", ["x", "y"], "evaluate") == (2, 0, ("a", "b"))
    assert peeks.add("b", "test", ["x"], "evaluate") == (0, 2, ())
    assert peeks.of_run("a", "test") == (3, 1, ("a", "b", "c"))
    assert peeks.of_run("d", "test") is None


def test_a_run_that_judges_itself_again_does_not_count_its_own_looks(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    for why in ("train", "evaluate", "evaluate"):
        assert peeks.add("a", "test", ["x"], why) == (0, 0, ())
    assert peeks.add("b", "test", ["x"], "train") == (3, 0, ("a",))
    assert peeks.add("a", "test", ["x"], "evaluate") == (1, 0, ("b",))
    # Doubts change labels of test: whoever judges afterwards is told.
    peeks.add("a", "test", ["x"], "doubts")
    assert peeks.add("a", "test", ["x"], "evaluate") == (2, 0, ("b", "a"))


def test_a_training_that_was_killed_and_ended_twice_looked_once(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    peeks.add("a", "test", ["x"], "train")
    first = peeks.add("b", "test", ["x"], "train")
    peeks.add("c", "test", ["x"], "evaluate")
    assert peeks.add("b", "test", ["x"], "train") == first == (1, 0, ("a",))
    assert peeks.of_run("a", "test") == (3, 0, ("a", "b", "c"))


def test_a_label_is_a_persons_or_a_hints(dataset: Dataset, keys: list[str]) -> None:
    assert {label_provenances(dataset.db)[key] for key in keys} == {"hint"}
    dataset.journal.step("By hand", [Choice(keys[0], "label", "owl")])
    assert label_provenances(dataset.db)[keys[0]] == "person"
    dataset.journal.undo()
    assert label_provenances(dataset.db)[keys[0]] == "hint"
    dataset.journal.step("Reject", [Choice(keys[0], "reject")])
    assert keys[0] not in label_provenances(dataset.db)
    dataset.journal.undo()
    assert label_provenances(dataset.db)[keys[0]] == "hint"
