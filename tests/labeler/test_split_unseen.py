"""Labels that nobody has looked at teach, and never judge: split, status and what comes after."""

from __future__ import annotations

from collections import Counter

import pytest
from labeler_makers import Group, add_faces, add_groups, add_image

from gleanset import Dataset, Origin
from gleanset.db.duplicates import Pairs, PairVerdict
from gleanset.db.journal import MODEL, PAGE_USER, Choice, get_unseen_labels
from gleanset.settings import SplitSettings
from labeler.duplicates.finder import DuplicateFinder
from labeler.splits.plan import SplitPlan, apply_split, plan_split
from pipeline.status import next_step, status


def do(dataset: Dataset, **wish: object) -> SplitPlan:
    plan = plan_split(dataset, SplitSettings(**wish))  # type: ignore[arg-type]
    apply_split(dataset, plan)
    return plan


def given(dataset: Dataset, prefix: str, number: int, said_by: str, *, post: str = "") -> list[str]:
    """So many samples of hana, each of a post of its own, or all of one."""
    keys = []
    for one in range(number):
        name = f"{prefix}{one}"
        image = add_image(dataset, name, Origin("site", name, post=post or name))
        keys += add_faces(dataset, image)
    dataset.journal.apply("Label", [Choice(key, "label", "hana", said_by) for key in keys])
    return keys


def parts(dataset: Dataset, keys: list[str]) -> Counter[str | None]:
    return Counter(one.split for key in keys if (one := dataset.samples.get(key)))


def test_only_labels_that_somebody_saw_judge_and_shares_are_of_those(empty: Dataset) -> None:
    hand = given(empty, "hand", 20, "person")
    hints = given(empty, "hint", 10, "hint")
    imported = given(empty, "import", 10, "import")
    model = given(empty, "model", 60, MODEL)
    visitor = given(empty, "visitor", 20, PAGE_USER)
    plan = do(empty)
    assert parts(empty, model) == {"train": 60}
    assert parts(empty, visitor) == {"train": 20}
    assert parts(empty, hand + hints + imported) == {"train": 32, "val": 4, "test": 4}
    result = plan.result()
    assert result["unreviewed_labels"] == {"in_train": 80, "left_out": 0}
    judges = [key for key, (_, split) in plan.splits.items() if split in ("val", "test")]
    whose = Counter(
        name
        for name, keys in (("person", hand), ("hint", hints), ("import", imported))
        for key in keys
        if key in judges
    )
    assert result["val_and_test_labels_by"] == whose
    assert result["closeness"]["hana"]["asked"] == "32:4:4"
    assert result["classes"]["hana"] == {"train": 112, "val": 4, "test": 4}
    assert do(empty).splits == plan.splits


def test_of_a_group_that_judges_what_nobody_saw_is_left_out(empty: Dataset) -> None:
    for number in range(10):
        given(empty, f"seen{number}-", 1, "person", post=f"p{number}")
        given(empty, f"unseen{number}-", 2, MODEL, post=f"p{number}")
    plan = do(empty)
    assert plan.result()["unreviewed_labels"] == {"in_train": 16, "left_out": 4}
    assert Counter(plan.left_out.values()) == {
        "label not confirmed by a person, so it is not used for evaluation": 4
    }
    where = {s.key: s.split for s in empty.samples.iter_by_key()}
    for group in {group for group, _ in plan.splits.values()}:
        of_one = {where[key] for key, (m, _) in plan.splits.items() if m == group}
        assert of_one <= {"train"} or of_one in ({"val", None}, {"test", None})
    assert "labeler split" not in next_step(empty)


@pytest.mark.parametrize(
    "wish",
    [
        {"folds": 4, "fold": 2},
        {"counts": "10:4:4"},
        {"counts": "rest:4:4"},
        {"hold_out": ["source=elsewhere"]},
    ],
)
def test_in_every_way_of_splitting(empty: Dataset, wish: dict[str, object]) -> None:
    given(empty, "hand", 24, "person")
    model = given(empty, "model", 30, MODEL)
    for number, said_by in enumerate(["person", "person", MODEL]):
        image = add_image(empty, f"held{number}", Origin("elsewhere", f"held{number}"))
        (key,) = add_faces(empty, image)
        empty.journal.apply("Label", [Choice(key, "label", "hana", said_by)])
    plan = do(empty, **wish)
    unseen = get_unseen_labels(empty.db)
    assert not [k for k, (_, s) in plan.splits.items() if k in unseen and s in ("val", "test")]
    assert not unseen.keys() & plan.folds.keys()
    assert plan.splits.keys() >= unseen.keys(), "each has a place, or a reason"
    if wish.get("counts") == "10:4:4":
        assert plan.table["hana"] == {"train": 10, "val": 4, "test": 4}
    if "hold_out" in wish:
        assert plan.table["hana"]["test"] == 2
        assert parts(empty, model) == {"train": 30}


def test_who_confirms_makes_it_a_label_like_any_other(empty: Dataset) -> None:
    model = given(empty, "model", 20, MODEL)
    given(empty, "hand", 4, "person")
    do(empty)
    empty.journal.apply("Confirm", [Choice(key, "label", "hana", "review") for key in model])
    plan = do(empty, seed=1)
    assert plan.table["hana"] == {"train": 19, "val": 2, "test": 3}
    assert "unreviewed_labels" not in plan.result()


def test_what_an_older_split_let_in_judges_nothing_and_is_split_again(empty: Dataset) -> None:
    add_groups(empty, [Group(f"g{n}", ("hana", "rei")[n % 2], 1) for n in range(20)])
    do(empty)
    judges = [s.key for s in empty.samples.iter_in_splits() if s.split != "train"]
    empty.journal.apply("Clear", [Choice(judges[0], "clear")])
    empty.journal.apply("Accept", [Choice(judges[0], "label", "rei", MODEL)])
    assert judges[0] not in {s.key for s in empty.samples.iter_in_splits()}
    assert status(empty)["samples"]["unreviewed_labels"] == 1
    assert next_step(empty).startswith("labeler split")
    do(empty)
    again = empty.samples.get(judges[0])
    assert again is not None
    assert again.split == "train"
    assert "labeler split" not in next_step(empty)


@pytest.mark.parametrize("by_hand", [True, False])
def test_the_label_of_a_copy_is_as_seen_as_the_copy(empty: Dataset, by_hand: bool) -> None:
    (one,) = given(empty, "one", 1, MODEL)
    (other,) = add_faces(empty, add_image(empty, "other"))
    if by_hand:
        empty.journal.apply("Label", [Choice(other, "label", "hana")])
    rows = Pairs(empty.db).get_ids([one, other])
    Pairs(empty.db).save_verdicts([PairVerdict(min(rows), max(rows), 0.0, 1.0, "same")])
    finder = DuplicateFinder(empty)
    finder.apply(finder.plan())
    (kept,) = [s for s in empty.samples.iter_by_key() if s.kept]
    assert (kept.key in get_unseen_labels(empty.db)) is not by_hand
