"""Val where the split has none: cut from train, by moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from drawn_dataset import fill

from baseline.data.grouped_split import with_val
from baseline.data.samples import find_examples
from curation.moments import moments_of
from gleanset import Dataset


def test_a_val_that_is_there_is_left_alone(dataset: Dataset) -> None:
    fill(dataset, 10)
    examples = find_examples(dataset)
    assert with_val(examples, 0) == (examples, None)


@pytest.mark.damages("a split that was made elsewhere")
def test_val_is_cut_from_train_by_moment_and_says_so(dataset: Dataset) -> None:
    fill(dataset, 32, parts=("train",) * 7 + ("test",), moment=2)
    before = find_examples(dataset)
    after, told = with_val(before, 0)
    assert told is not None
    assert "val is empty" in told
    assert "labeler split --ratio" in told
    train, val = after.splits["train"], after.splits["val"]
    assert sorted(s.key for s in (*train, *val)) == sorted(s.key for s in before.splits["train"])
    moments = before.moments
    assert not {moments[s.key] for s in train} & {moments[s.key] for s in val}
    assert set(Counter(str(s.label) for s in val).values()) <= {3, 4}
    assert len(Counter(str(s.label) for s in val)) == 3
    assert after.splits["test"] == before.splits["test"]
    assert str(len(val)) in told
    assert with_val(before, 0)[0] == after
    assert with_val(before, 1)[0] != after
    assert after.fingerprint() != before.fingerprint()


def test_val_is_cut_by_the_moments_of_now_and_not_of_the_last_split(dataset: Dataset) -> None:
    """A split made elsewhere knows nothing of what two pictures share."""
    fill(dataset, 16, parts=("train",), moment=4)
    alone = {s.key: (s.key, "train") for s in dataset.samples.by_key()}
    dataset.samples.set_splits(alone, "made elsewhere")
    moments = moments_of(dataset.db)
    assert len(set(moments.values())) == 12
    after, _ = with_val(find_examples(dataset), 0)
    train, val = ({moments[s.key] for s in after.splits[name]} for name in ("train", "val"))
    assert not train & val


def test_a_class_of_one_moment_stays_in_train(dataset: Dataset) -> None:
    fill(dataset, 6, parts=("train",), moment=6)
    examples, told = with_val(find_examples(dataset), 0)
    assert not examples.splits["val"]
    assert told is not None
    assert "nothing can be cut" in told


def test_copies_made_by_balancing_are_one_picture(dataset: Dataset) -> None:
    fill(dataset, 16, parts=("train",))
    examples = find_examples(dataset)
    doubled = tuple(s for s in examples.splits["train"] for _ in range(2))
    repeated = replace(examples, splits=examples.splits | {"train": doubled})
    after, _ = with_val(repeated, 0)
    keys = [s.key for s in after.splits["val"]]
    assert len(keys) == len(set(keys)) == 6
    assert not set(keys) & {s.key for s in after.splits["train"]}
