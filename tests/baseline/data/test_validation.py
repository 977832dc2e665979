"""What a val is cut of, and whether copies of test were looked for."""

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


def test_a_val_that_is_there_is_left_alone(dataset: Dataset) -> None:
    fill(dataset, 10)
    examples = find_examples(dataset)
    assert ensure_val(examples, 0) == (examples, None)


@pytest.mark.damages("a split that was made elsewhere")
def test_val_is_cut_from_train_by_group_and_says_so(dataset: Dataset) -> None:
    fill(dataset, 32, parts=("train",) * 7 + ("test",), per_group=2)
    before = find_examples(dataset)
    after, told = ensure_val(before, 0)
    assert told is not None
    assert "val is empty" in told
    assert "labeler split --ratio" in told
    train, val = after.splits["train"], after.splits["val"]
    assert sorted(s.key for s in (*train, *val)) == sorted(s.key for s in before.splits["train"])
    groups = before.groups
    assert not {groups[s.key] for s in train} & {groups[s.key] for s in val}
    assert set(Counter(str(s.label) for s in val).values()) <= {3, 4}
    assert len(Counter(str(s.label) for s in val)) == 3
    assert after.splits["test"] == before.splits["test"]
    assert str(len(val)) in told
    assert ensure_val(before, 0)[0] == after
    assert ensure_val(before, 1)[0] != after
    assert after.fingerprint() != before.fingerprint()


def test_a_class_of_one_group_stays_in_train(dataset: Dataset) -> None:
    fill(dataset, 6, parts=("train",), per_group=6)
    examples, told = ensure_val(find_examples(dataset), 0)
    assert not examples.splits["val"]
    assert told is not None
    assert "too small to split off" in told


def test_copies_made_by_balancing_are_one_picture(dataset: Dataset) -> None:
    fill(dataset, 16, parts=("train",))
    examples = find_examples(dataset)
    doubled = tuple(s for s in examples.splits["train"] for _ in range(2))
    repeated = replace(examples, splits=examples.splits | {"train": doubled})
    after, _ = ensure_val(repeated, 0)
    keys = [s.key for s in after.splits["val"]]
    assert len(keys) == len(set(keys)) == 6
    assert not set(keys) & {s.key for s in after.splits["train"]}


PRESET = load_preset("transfer", {"size": "56", "backbone": "colours", "views": "0"})
CLAIM = "no near-duplicates of training images"


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as made:
        fill(made)
        yield made


def test_train_evaluate_and_report_say_whether_copies_were_looked_for(dataset: Dataset) -> None:
    done = train_run(dataset, PRESET)
    folder = dataset.runs_folder / str(done["run"])
    told = summarize_training(done, folder, dataset.root)
    assert CLAIM not in told["test accuracy"]
    assert "not searched for near-duplicates" in told["test accuracy"]
    page = (folder / "report.html").read_text()
    assert "Not searched for near-duplicates" in page
    assert not read_metrics(folder).has_no_copies
    DuplicateFinder(dataset).search_labelled()
    again = train_run(dataset, PRESET)
    assert again["run"] == done["run"], "nothing is trained for that"
    assert "copies" in again
    found = reevaluate_run(dataset, str(done["run"]), "test").copies
    assert found == again["copies"]
    new = train_run(dataset, replace_settings(PRESET, seed=1))
    folder = dataset.runs_folder / str(new["run"])
    metrics = read_metrics(folder)
    told = summarize_training(new, folder, dataset.root)
    assert (CLAIM in told["test accuracy"]) == metrics.has_no_copies == is_free_of_copies(found)


def test_each_state_has_its_words(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    nobody = summarize_copy_search(dataset, examples, "test")
    assert nobody["searched"] == nobody["torn"] == 0
    every = nobody | {"searched": nobody["images"]}
    assert describe_copy_search(every).startswith(CLAIM)
    for found in (None, nobody, nobody | {"searched": 1}, every | {"torn": 2}):
        assert CLAIM not in describe_copy_search(found)
        assert not is_free_of_copies(found)
    assert f"only 1 of {nobody['images']} images" in describe_copy_search(nobody | {"searched": 1})
    assert "2 images in groups of training" in describe_copy_search(every | {"torn": 2})
    one = examples.splits["test"][0]
    joined = {**examples.groups, one.key: examples.groups[examples.splits["train"][0].key]}
    assert summarize_copy_search(dataset, replace(examples, groups=joined), "test")["torn"] == 1
