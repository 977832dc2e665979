"""Who gave a label, and that nobody has looked at it, is known whatever happens to it since."""

from __future__ import annotations

from catalogue_rows import add_sample

from gleanset import Dataset
from gleanset.db.journal import MODEL, VISITOR, Choice, giver_of, unseen_labels
from labeler.classes import ClassEditor


def test_what_nobody_looked_at_stays_so_until_somebody_does(dataset: Dataset) -> None:
    with dataset.db.write():
        dataset.classes.find_or_make("rei")
    model, visitor, person = (add_sample(dataset, n) for n in range(3))
    dataset.journal.step("Label", [Choice(model, "label", "hana", MODEL)])
    dataset.journal.step("Label", [Choice(visitor, "label", "hana", VISITOR)])
    dataset.journal.step("Label", [Choice(person, "label", "hana")])
    both = {model: MODEL, visitor: VISITOR}
    assert unseen_labels(dataset.db) == both
    ClassEditor(dataset).merge("hana", "rei")
    assert unseen_labels(dataset.db) == both, "a merge of classes is no look"
    dataset.journal.undo()
    assert unseen_labels(dataset.db) == both
    confirmed = dataset.journal.step("Confirm", [Choice(model, "label", "hana", "review")])
    assert unseen_labels(dataset.db) == {visitor: VISITOR}
    dataset.journal.undo(confirmed)
    assert unseen_labels(dataset.db) == both, "what is taken back was no look"
    dataset.journal.undo()
    dataset.journal.undo()
    assert unseen_labels(dataset.db) == {model: MODEL}


def test_givers_are_few() -> None:
    told = ["person", "with page", "review", "hint", "duplicate", "import", "dropped", MODEL]
    assert [giver_of(one) for one in told] == [
        *["person"] * 3, *["hint"] * 2, *["import"] * 2, MODEL
    ]  # fmt: skip
