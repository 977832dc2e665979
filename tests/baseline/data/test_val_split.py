"""Splitting val off train, and the report on near-duplicates of training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_dataset import fill
from msgspec.structs import replace as replace_settings

from baseline.data.samples import ensure_val, find_examples
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.run_metrics import (
    describe_copy_search,
    is_free_of_copies,
    read_metrics,
    summarize_copy_search,
)
from baseline.evaluation.summary import summarize_training
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder


def test_existing_val_is_kept(dataset: Dataset) -> None:
    fill(dataset, 10)
    examples = find_examples(dataset)
    assert ensure_val(examples, 0) == (examples, None)


@pytest.mark.damages("a split that was made elsewhere")
def test_val_is_split_off_by_group(dataset: Dataset) -> None:
    fill(dataset, 32, parts=("train",) * 7 + ("test",), per_group=2)
    before = find_examples(dataset)
    after, message = ensure_val(before, 0)
    assert message is not None
    assert "val is empty" in message
    assert "labeler split --ratio" in message
    train, val = after.splits["train"], after.splits["val"]
    assert sorted(s.key for s in (*train, *val)) == sorted(s.key for s in before.splits["train"])
    groups = before.groups
    assert not {groups[s.key] for s in train} & {groups[s.key] for s in val}
    assert set(Counter(str(s.label) for s in val).values()) <= {3, 4}
    assert len(Counter(str(s.label) for s in val)) == 3
    assert after.splits["test"] == before.splits["test"]
    assert str(len(val)) in message
    assert ensure_val(before, 0)[0] == after
    assert ensure_val(before, 1)[0] != after
    assert after.fingerprint() != before.fingerprint()


def test_class_with_one_group_stays_in_train(dataset: Dataset) -> None:
    fill(dataset, 6, parts=("train",), per_group=6)
    examples, message = ensure_val(find_examples(dataset), 0)
    assert not examples.splits["val"]
    assert message is not None
    assert "too small to split off" in message


PRESET = load_preset(
    "transfer", {"size": "56", "backbone": "colours", "views": "0", "strength": "1"}
)
CLAIM = "no near-duplicates of training images"


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as new_dataset:
        fill(new_dataset)
        yield new_dataset


def test_copy_search_is_reported_everywhere(dataset: Dataset) -> None:
    done = train_run(dataset, PRESET)
    folder = dataset.runs_folder / str(done["run"])
    message = summarize_training(done, folder, dataset.root)
    assert CLAIM not in message["test accuracy"]
    assert "not searched for near-duplicates" in message["test accuracy"]
    page = (folder / "report.html").read_text()
    assert "Not searched for near-duplicates" in page
    assert not read_metrics(folder).has_no_copies
    DuplicateFinder(dataset).search_labelled()
    repeated = train_run(dataset, PRESET)
    assert repeated["run"] == done["run"], "nothing is trained for that"
    assert "copies" in repeated
    copies = reevaluate_run(dataset, str(done["run"]), "test").copies
    assert copies == repeated["copies"]
    new = train_run(dataset, replace_settings(PRESET, seed=1))
    folder = dataset.runs_folder / str(new["run"])
    metrics = read_metrics(folder)
    message = summarize_training(new, folder, dataset.root)
    assert (CLAIM in message["test accuracy"]) == metrics.has_no_copies == is_free_of_copies(copies)


def test_describe_copy_search(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    unsearched = summarize_copy_search(dataset, examples, "test")
    assert unsearched["searched"] == unsearched["torn"] == 0
    searched = unsearched | {"searched": unsearched["images"]}
    assert describe_copy_search(searched).startswith(CLAIM)
    for state in (None, unsearched, unsearched | {"searched": 1}, searched | {"torn": 2}):
        assert CLAIM not in describe_copy_search(state)
        assert not is_free_of_copies(state)
    assert f"only 1 of {unsearched['images']} images" in describe_copy_search(
        unsearched | {"searched": 1}
    )
    assert "2 images in groups of training" in describe_copy_search(searched | {"torn": 2})
    sample = examples.splits["test"][0]
    joined = {**examples.groups, sample.key: examples.groups[examples.splits["train"][0].key]}
    assert summarize_copy_search(dataset, replace(examples, groups=joined), "test")["torn"] == 1
