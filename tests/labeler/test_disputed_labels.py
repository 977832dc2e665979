"""The hints of a picture and its copies are one question, in whatever order commands run."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from labeler_makers import add_faces, add_image, label, plain

from gleanset import Dataset, Origin
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.db.maintenance import find_contradictions
from labeler.acceptance import apply_hints, plan_hints
from labeler.duplicates.decisions import accept
from labeler.duplicates.finder import DuplicateFinder


def found_as(dataset: Dataset, name: str, hint: str | None, faces: int = 1) -> str:
    """A picture found under a hint; the key of its first sample."""
    image = add_image(dataset, name, Origin("folder", f"{name} {hint}", hint=hint))
    return add_faces(dataset, image, [30 * n for n in range(faces)])[0]


def copies(dataset: Dataset, *keys: str) -> None:
    """The pixels say that these are the same."""
    rows = sorted(Pairs(dataset.db).get_ids(keys))
    Pairs(dataset.db).save_verdicts(
        [PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in combinations(rows, 2)]
    )


def dedup(dataset: Dataset) -> dict[str, object]:
    finder = DuplicateFinder(dataset)
    plan = finder.plan()
    finder.apply(plan)
    return plan.result()


def accept_hints(dataset: Dataset) -> dict[str, object]:
    plan = plan_hints(dataset)
    apply_hints(dataset, plan)
    return plan.result()


def labels(dataset: Dataset) -> dict[str, str]:
    return {s.key: str(s.label) for s in dataset.samples.iter_by_key() if s.status == "labelled"}


def told_apart(dataset: Dataset) -> dict[str, str]:
    """The labels of what takes part in a split."""
    return {s.key: str(s.label) for s in dataset.samples.iter_by_key() if s.label and s.kept}


@pytest.mark.parametrize("order", sorted(set(permutations([dedup, accept_hints] * 2)), key=str))
def test_copies_with_different_weak_labels_stay_unlabelled(
    empty: Dataset, order: tuple[object, ...]
) -> None:
    copies(empty, found_as(empty, "better", "rei"), found_as(empty, "poorer", "hana"))
    alone = found_as(empty, "alone", "hana")
    for command in (*order, dedup, accept_hints):
        command(empty)  # type: ignore[operator]
    assert labels(empty) == {alone: "hana"}
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0
    assert dedup(empty)["disputed"] == 1
    assert accept_hints(empty)["left"] == {"disputed hint": 2}
    before = plain(empty)
    dedup(empty)
    accept_hints(empty)
    assert plain(empty) == before, "it stays as it is"


def test_later_copy_disputes_accepted_label(empty: Dataset) -> None:
    first = found_as(empty, "better", "hana")
    accept_hints(empty)
    assert labels(empty) == {first: "hana"}
    copies(empty, first, found_as(empty, "poorer", "rei"))
    result = dedup(empty)
    assert (result["disputed"], result["conflicts"], result["labels_taken_back"]) == (1, 0, 1)
    assert labels(empty) == {}
    empty.journal.undo()
    assert labels(empty) == {first: "hana"}, "with the groups the label comes back"


def test_human_label_settles_disputed_set(empty: Dataset) -> None:
    one, other = found_as(empty, "a", "hana"), found_as(empty, "b", "rei")
    copies(empty, one, other)
    accept_hints(empty)
    label(empty, one, "rei")
    result = dedup(empty)
    assert (result["conflicts"], result["disputed"], result["set_aside"]) == (0, 0, 1)
    accept_hints(empty)
    assert set(told_apart(empty).values()) == {"rei"}
    assert len(told_apart(empty)) == 1
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0


def test_human_label_overrides_weak_label(empty: Dataset) -> None:
    one, other = found_as(empty, "a", "hana"), found_as(empty, "b", None)
    accept_hints(empty)
    label(empty, other, "rei")
    copies(empty, one, other)
    assert dedup(empty)["conflicts"] == 0
    assert set(labels(empty).values()) == {"rei"}
    accept_hints(empty)
    assert set(labels(empty).values()) == {"rei"}, "the hint of the copy is heard no more"


def test_chosen_copy_decides_the_label(empty: Dataset) -> None:
    one, other = found_as(empty, "a", "hana"), found_as(empty, "b", "hana")
    accept_hints(empty)
    copies(empty, one, other)
    empty.journal.apply("Reject", [Choice(other, "reject")])
    (group,) = DuplicateFinder(empty).plan().open_sets()
    assert group.decisions == ("hana", "rejected")
    accept(empty, [group.with_best(one)])
    assert labels(empty) == {one: "hana", other: "hana"}
    last = {decision.sample: decision.provenance for decision in empty.journal.iterate()}
    assert last == {one: "person", other: "duplicate"}
