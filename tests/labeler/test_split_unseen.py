"""Labels that no person has seen train and never evaluate."""

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


def split_dataset(dataset: Dataset, **settings: object) -> SplitPlan:
    plan = plan_split(dataset, SplitSettings(**settings))  # type: ignore[arg-type]
    apply_split(dataset, plan)
    return plan


def add_samples(
    dataset: Dataset, prefix: str, number: int, provenance: str, *, post: str = ""
) -> list[str]:
    """Add samples of hana with own posts, or with one post."""
    keys = []
    for index in range(number):
        name = f"{prefix}{index}"
        image = add_image(dataset, name, Origin("site", name, post=post or name))
        keys += add_faces(dataset, image)
    dataset.journal.apply("Label", [Choice(key, "label", "hana", provenance) for key in keys])
    return keys


def count_by_split(dataset: Dataset, keys: list[str]) -> Counter[str | None]:
    return Counter(sample.split for key in keys if (sample := dataset.samples.get(key)))


def test_unseen_labels_are_train_only(empty: Dataset) -> None:
    hand = add_samples(empty, "hand", 20, "person")
    hints = add_samples(empty, "hint", 10, "hint")
    imported = add_samples(empty, "import", 10, "import")
    model = add_samples(empty, "model", 60, MODEL)
    visitor = add_samples(empty, "visitor", 20, PAGE_USER)
    plan = split_dataset(empty)
    assert count_by_split(empty, model) == {"train": 60}
    assert count_by_split(empty, visitor) == {"train": 20}
    assert count_by_split(empty, hand + hints + imported) == {"train": 32, "val": 4, "test": 4}
    result = plan.result()
    assert result["unreviewed_labels"] == {"in_train": 80, "left_out": 0}
    evaluated = [key for key, (_, split) in plan.splits.items() if split in ("val", "test")]
    provenances = Counter(
        name
        for name, keys in (("person", hand), ("hint", hints), ("import", imported))
        for key in keys
        if key in evaluated
    )
    assert result["val_and_test_labels_by"] == provenances
    assert result["closeness"]["hana"]["asked"] == "32:4:4"
    assert result["classes"]["hana"] == {"train": 112, "val": 4, "test": 4}
    assert split_dataset(empty).splits == plan.splits


def test_unseen_labels_of_test_group_are_left_out(empty: Dataset) -> None:
    for number in range(10):
        add_samples(empty, f"seen{number}-", 1, "person", post=f"p{number}")
        add_samples(empty, f"unseen{number}-", 2, MODEL, post=f"p{number}")
    plan = split_dataset(empty)
    assert plan.result()["unreviewed_labels"] == {"in_train": 16, "left_out": 4}
    assert Counter(plan.left_out.values()) == {
        "label not confirmed by a person, so it is not used for evaluation": 4
    }
    splits = {s.key: s.split for s in empty.samples.iter_by_key()}
    for group in {group for group, _ in plan.splits.values()}:
        group_splits = {splits[key] for key, (m, _) in plan.splits.items() if m == group}
        assert group_splits <= {"train"} or group_splits in ({"val", None}, {"test", None})
    assert "labeler split" not in next_step(empty)


@pytest.mark.parametrize(
    "settings",
    [
        {"counts": "10:4:4"},
        {"counts": "rest:4:4"},
        {"hold_out": ["source=elsewhere"]},
    ],
)
def test_unseen_labels_with_all_split_options(empty: Dataset, settings: dict[str, object]) -> None:
    add_samples(empty, "hand", 24, "person")
    model = add_samples(empty, "model", 30, MODEL)
    for number, provenance in enumerate(["person", "person", MODEL]):
        image = add_image(empty, f"held{number}", Origin("elsewhere", f"held{number}"))
        (key,) = add_faces(empty, image)
        empty.journal.apply("Label", [Choice(key, "label", "hana", provenance)])
    plan = split_dataset(empty, **settings)
    unseen = get_unseen_labels(empty.db)
    assert not [k for k, (_, s) in plan.splits.items() if k in unseen and s in ("val", "test")]
    assert plan.splits.keys() >= unseen.keys(), "each has a split or a reason"
    if settings.get("counts") == "10:4:4":
        assert plan.table["hana"] == {"train": 10, "val": 4, "test": 4}
    if "hold_out" in settings:
        assert plan.table["hana"]["test"] == 2
        assert count_by_split(empty, model) == {"train": 30}


def test_confirmed_label_may_be_test(empty: Dataset) -> None:
    model = add_samples(empty, "model", 20, MODEL)
    add_samples(empty, "hand", 4, "person")
    split_dataset(empty)
    empty.journal.apply("Confirm", [Choice(key, "label", "hana", "review") for key in model])
    plan = split_dataset(empty, seed=1)
    assert plan.table["hana"] == {"train": 19, "val": 2, "test": 3}
    assert "unreviewed_labels" not in plan.result()


def test_unseen_label_in_old_split_is_moved_to_train(empty: Dataset) -> None:
    add_groups(empty, [Group(f"g{n}", ("hana", "rei")[n % 2], 1) for n in range(20)])
    split_dataset(empty)
    evaluated = [s.key for s in empty.samples.iter_in_splits() if s.split != "train"]
    empty.journal.apply("Clear", [Choice(evaluated[0], "clear")])
    empty.journal.apply("Accept", [Choice(evaluated[0], "label", "rei", MODEL)])
    assert evaluated[0] not in {s.key for s in empty.samples.iter_in_splits()}
    assert status(empty)["samples"]["unreviewed_labels"] == 1
    assert next_step(empty).startswith("labeler split")
    split_dataset(empty)
    sample = empty.samples.get(evaluated[0])
    assert sample is not None
    assert sample.split == "train"
    assert "labeler split" not in next_step(empty)


@pytest.mark.parametrize("by_hand", [True, False])
def test_duplicate_inherits_unseen_label(empty: Dataset, by_hand: bool) -> None:
    (unseen,) = add_samples(empty, "one", 1, MODEL)
    (other,) = add_faces(empty, add_image(empty, "other"))
    if by_hand:
        empty.journal.apply("Label", [Choice(other, "label", "hana")])
    rows = Pairs(empty.db).get_ids([unseen, other])
    Pairs(empty.db).save_verdicts([PairVerdict(min(rows), max(rows), 0.0, 1.0, "same")])
    DuplicateFinder(empty).apply()
    (best,) = [s for s in empty.samples.iter_by_key() if s.kept]
    assert (best.key in get_unseen_labels(empty.db)) is not by_hand
