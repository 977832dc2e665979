"""Provenance of labels, stored predictions, and label issues."""

from __future__ import annotations

import pytest
from catalogue_rows import add_sample, sha, store
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.db.journal import (
    MODEL,
    PAGE_USER,
    Choice,
    get_label_provenances,
    get_unseen_labels,
)
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.db.samples import Hints
from gleanset.records import Origin
from labeler.classes import ClassEditor


def keys_of(dataset: Dataset, count: int) -> list[str]:
    keys = [add_sample(dataset, number) for number in range(count)]
    dataset.journal.apply(
        "two", [Choice(keys[0], "label", "miku"), Choice(keys[1], "label", "rin")]
    )
    return keys


def test_prelabeling_round_trip_in_order(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    result = [
        PrelabelledSample(keys[2], 1, (Proposal("rin", 0.7), Proposal("miku", 0.2)), 4, 0.25),
        PrelabelledSample(keys[0], 0),
    ]
    assert proposals.get_latest() is None
    number = proposals.replace(result, {"labelled": 2})
    assert list(proposals.iterate()) == [result[1], result[0]]
    prelabel = proposals.get_latest()
    assert prelabel is not None
    assert (prelabel.id, prelabel.facts) == (number, {"labelled": 2})


def test_new_prelabeling_replaces_old(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    first = proposals.replace([PrelabelledSample(keys[2], 0, (Proposal("rin", 0.9),))], {})
    assert proposals.replace([PrelabelledSample(keys[1], 0)], {}) > first
    assert [standing.sample for standing in proposals.iterate()] == [keys[1]]
    assert not next(proposals.iterate()).proposals


def test_prelabeling_skips_unknown_samples_and_classes(dataset: Dataset) -> None:
    keys = keys_of(dataset, 3)
    proposals = Proposals(dataset.db)
    result = [
        PrelabelledSample(keys[2], 0, (Proposal("nobody", 0.9),)),
        PrelabelledSample("gone", 1),
    ]
    proposals.replace(result, {})
    assert list(proposals.iterate()) == [PrelabelledSample(keys[2], 0)]


@pytest.fixture
def keys(dataset: Dataset) -> list[str]:
    """Return four samples, all labelled 'cat' from weak labels."""
    stored = [store(dataset, picture(n), Origin("folder", str(n))) for n in range(4)]
    dataset.journal.apply("Accept", [Choice(key, "label", "cat", "hint") for key in stored])
    dataset.journal.apply("Other", [Choice(stored[3], "label", "owl")])
    return sorted(stored[:3])


def label_issue(key: str, margin: float = 0.5) -> LabelIssue:
    return LabelIssue(key, "cat", "owl", 0.9, margin, "run")


def test_label_issues_are_sorted_and_replaced(dataset: Dataset, keys: list[str]) -> None:
    issues = LabelIssues(dataset.db)
    assert (
        issues.replace([label_issue(keys[0], 0.2), label_issue(keys[1], 0.7), label_issue("gone")])
        == 2
    )
    assert [issue.sample for issue in issues.iterate()] == [keys[1], keys[0]]
    assert issues.get_many([keys[0], keys[2]]) == {keys[0]: label_issue(keys[0], 0.2)}
    assert issues.replace([label_issue(keys[2])]) == 1
    assert [row.sample for row in issues.iterate()] == [keys[2]]


def test_label_issue_ends_with_any_decision(dataset: Dataset, keys: list[str]) -> None:
    issues = LabelIssues(dataset.db)
    issues.replace([label_issue(key) for key in keys])
    dataset.journal.apply("Right", [Choice(keys[0], "label", "cat")])
    dataset.journal.apply("Wrong", [Choice(keys[1], "label", "owl")])
    assert issues.count() == 1
    assert [issue.sample for issue in issues.iterate()] == [keys[2]]
    dataset.journal.undo()
    assert issues.count() == 1


def test_evaluations_are_counted_by_samples(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    assert peeks.add("a", "test", ["x", "y"], "train") == (0, 0, ())
    assert peeks.add("b", "test", ["y", "x"], "train") == (1, 0, ("a",))
    assert peeks.add("c", "test", ["x", "y"], "evaluate") == (2, 0, ("a", "b"))
    assert peeks.add("b", "test", ["x"], "evaluate") == (0, 2, ())
    assert peeks.get_for_run("a", "test") == (3, 1, ("a", "b", "c"))
    assert peeks.get_for_run("d", "test") is None


def test_own_evaluations_of_a_run_are_excluded(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    for purpose in ("train", "evaluate", "evaluate"):
        assert peeks.add("a", "test", ["x"], purpose) == (0, 0, ())
    assert peeks.add("b", "test", ["x"], "train") == (3, 0, ("a",))
    assert peeks.add("a", "test", ["x"], "evaluate") == (1, 0, ("b",))
    # Label issues change labels of test, so later evaluations must report it.
    peeks.add("a", "test", ["x"], "label-issues")
    assert peeks.add("a", "test", ["x"], "evaluate") == (2, 0, ("b", "a"))


def test_repeated_training_counts_as_one_evaluation(dataset: Dataset) -> None:
    peeks = SplitEvaluations(dataset.db)
    peeks.add("a", "test", ["x"], "train")
    first = peeks.add("b", "test", ["x"], "train")
    peeks.add("c", "test", ["x"], "evaluate")
    assert peeks.add("b", "test", ["x"], "train") == first == (1, 0, ("a",))
    assert peeks.get_for_run("a", "test") == (3, 0, ("a", "b", "c"))


def test_label_provenance_follows_last_decision(dataset: Dataset, keys: list[str]) -> None:
    assert {get_label_provenances(dataset.db)[key] for key in keys} == {"hint"}
    dataset.journal.apply("By hand", [Choice(keys[0], "label", "owl")])
    assert get_label_provenances(dataset.db)[keys[0]] == "person"
    dataset.journal.undo()
    assert get_label_provenances(dataset.db)[keys[0]] == "hint"
    dataset.journal.apply("Reject", [Choice(keys[0], "reject")])
    assert keys[0] not in get_label_provenances(dataset.db)
    dataset.journal.undo()
    assert get_label_provenances(dataset.db)[keys[0]] == "hint"


def test_unseen_labels_until_a_person_decides(dataset: Dataset) -> None:
    with dataset.db.transaction():
        dataset.classes.get_or_create("rei")
    model, page_user, person = (add_sample(dataset, n) for n in range(3))
    dataset.journal.apply("Label", [Choice(model, "label", "hana", MODEL)])
    dataset.journal.apply("Label", [Choice(page_user, "label", "hana", PAGE_USER)])
    dataset.journal.apply("Label", [Choice(person, "label", "hana")])
    unseen = {model: MODEL, page_user: PAGE_USER}
    assert get_unseen_labels(dataset.db) == unseen
    ClassEditor(dataset).merge("hana", "rei")
    assert get_unseen_labels(dataset.db) == unseen, "merging classes is not an evaluation"
    dataset.journal.undo()
    assert get_unseen_labels(dataset.db) == unseen
    confirmed = dataset.journal.apply("Confirm", [Choice(model, "label", "hana", "review")])
    assert get_unseen_labels(dataset.db) == {page_user: PAGE_USER}
    dataset.journal.undo(confirmed)
    assert get_unseen_labels(dataset.db) == unseen, "what is taken back was no look"
    dataset.journal.undo()
    dataset.journal.undo()
    assert get_unseen_labels(dataset.db) == {model: MODEL}


def labelled(dataset: Dataset, numbers: range) -> list[str]:
    """Add samples with two weak labels; three in four are labelled."""
    keys = [
        add_sample(dataset, n, Origin("a", f"{n}", hint="cat"), Origin("b", f"{n}", hint="dog"))
        for n in numbers
    ]
    provenances = [(k, ("hint", "person", "duplicate", "")[n % 4]) for n, k in enumerate(keys)]
    dataset.journal.apply(
        "x", [Choice(k, "label", "cat", provenance) for k, provenance in provenances if provenance]
    )
    return keys


@pytest.mark.damages("labels by hints that are disputed are what it is about")
def test_label_queries_of_subset_equal_full(dataset: Dataset) -> None:
    keys = labelled(dataset, range(12))
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET duplicate_set='g' WHERE key IN (?,?)", (keys[0], keys[2])
        )
    dataset.journal.apply("y", [Choice(keys[1], "clear"), Choice(keys[4], "label", "dog", "hint")])
    dataset.journal.undo()
    provenances, hints = get_label_provenances(dataset.db), Hints(dataset.db)
    assert provenances[keys[1]] == "person", (
        "what an undo brought back has the provenance of before"
    )
    for number, key in enumerate(keys, 1):
        assert get_label_provenances(dataset.db, [number]) == {
            k: provenances[k] for k in provenances if k == key
        }
    assert hints.find_labelled(range(1, 13)) == {
        n for n, key in enumerate(keys, 1) if provenances.get(key) in ("hint", "duplicate")
    }
    disputed = hints.list_disputed()
    assert [sample.key for sample in disputed] == sorted(keys[n] for n in (0, 2, 4, 6, 8, 10))
    assert [sample.key for sample in hints.list_disputed([sha(0)])] == sorted([keys[0], keys[2]])
    assert hints.list_disputed([sha(1)]) == []
    several = hints.list_disputed([sha(n) for n in range(12)])
    assert several == disputed
