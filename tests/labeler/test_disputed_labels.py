"""Tests of copies whose weak labels differ."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from labeler_makers import add_faces, add_image, label, sample_states

from gleanset import Dataset, Origin
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.db.maintenance import find_contradictions
from labeler import acceptance
from labeler.duplicates.decisions import accept
from labeler.duplicates.finder import DuplicateFinder


def add_hinted(dataset: Dataset, name: str, hint: str | None) -> str:
    """Add an image with a weak label; return the key of its sample."""
    image = add_image(dataset, name, Origin("folder", f"{name} {hint}", hint=hint))
    return add_faces(dataset, image)[0]


def mark_as_copies(dataset: Dataset, *keys: str) -> None:
    """Store verdicts that these are copies."""
    rows = sorted(Pairs(dataset.db).get_ids(keys))
    Pairs(dataset.db).save_verdicts(
        [PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in combinations(rows, 2)]
    )


def dedup(dataset: Dataset) -> dict[str, object]:
    return DuplicateFinder(dataset).apply().result()


def accept_hints(dataset: Dataset) -> dict[str, object]:
    return acceptance.accept_hints(dataset).result()


def labels(dataset: Dataset) -> dict[str, str]:
    return {s.key: str(s.label) for s in dataset.samples.iter_by_key() if s.status == "labelled"}


def kept_labels(dataset: Dataset) -> dict[str, str]:
    """Return the labels of the samples that take part in a split."""
    return {s.key: str(s.label) for s in dataset.samples.iter_by_key() if s.label and s.kept}


@pytest.mark.parametrize("order", sorted(set(permutations([dedup, accept_hints] * 2)), key=str))
def test_copies_with_different_weak_labels_stay_unlabelled(
    empty: Dataset, order: tuple[object, ...]
) -> None:
    mark_as_copies(empty, add_hinted(empty, "better", "rei"), add_hinted(empty, "poorer", "hana"))
    alone = add_hinted(empty, "alone", "hana")
    for command in (*order, dedup, accept_hints):
        command(empty)  # type: ignore[operator]
    assert labels(empty) == {alone: "hana"}
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0
    assert dedup(empty)["disputed"] == 1
    assert accept_hints(empty)["left"] == {"disputed hint": 2}
    before = sample_states(empty)
    dedup(empty)
    accept_hints(empty)
    assert sample_states(empty) == before


def test_later_copy_disputes_accepted_label(empty: Dataset) -> None:
    first = add_hinted(empty, "better", "hana")
    accept_hints(empty)
    assert labels(empty) == {first: "hana"}
    mark_as_copies(empty, first, add_hinted(empty, "poorer", "rei"))
    result = dedup(empty)
    assert (result["disputed"], result["conflicts"], result["labels_taken_back"]) == (1, 0, 1)
    assert labels(empty) == {}
    empty.journal.undo()
    assert labels(empty) == {first: "hana"}, "undo restores the label"


def test_human_label_settles_disputed_set(empty: Dataset) -> None:
    first, second = add_hinted(empty, "a", "hana"), add_hinted(empty, "b", "rei")
    mark_as_copies(empty, first, second)
    accept_hints(empty)
    label(empty, first, "rei")
    result = dedup(empty)
    assert (result["conflicts"], result["disputed"], result["set_aside"]) == (0, 0, 1)
    accept_hints(empty)
    assert set(kept_labels(empty).values()) == {"rei"}
    assert len(kept_labels(empty)) == 1
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0


def test_human_label_overrides_weak_label(empty: Dataset) -> None:
    first, second = add_hinted(empty, "a", "hana"), add_hinted(empty, "b", None)
    accept_hints(empty)
    label(empty, second, "rei")
    mark_as_copies(empty, first, second)
    assert dedup(empty)["conflicts"] == 0
    assert set(labels(empty).values()) == {"rei"}
    accept_hints(empty)
    assert set(labels(empty).values()) == {"rei"}, "the weak label of the copy is ignored"


def test_chosen_copy_decides_the_label(empty: Dataset) -> None:
    first, second = add_hinted(empty, "a", "hana"), add_hinted(empty, "b", "hana")
    accept_hints(empty)
    mark_as_copies(empty, first, second)
    empty.journal.apply("Reject", [Choice(second, "reject")])
    (group,) = DuplicateFinder(empty).plan().open_sets()
    assert group.decisions == ("hana", "rejected")
    accept(empty, [group.with_best(first)])
    assert labels(empty) == {first: "hana", second: "hana"}
    provenance = {decision.sample: decision.provenance for decision in empty.journal.iterate()}
    assert provenance == {first: "person", second: "duplicate"}
