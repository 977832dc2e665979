"""Which labels train, validate and test; the report on near-duplicates of training images."""

from collections import Counter

import pytest
from drawn_dataset import fill
from msgspec.structs import replace as replace_settings

from baseline.data.samples import ensure_val, find_examples
from baseline.evaluation.decision_rule import RuleRequest
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.metrics import (
    describe_copy_search,
    is_free_of_copies,
    read_metrics,
    summarize_copy_search,
)
from baseline.evaluation.outputs import load_outputs
from baseline.settings import load_preset
from baseline.train.cross_validation import HELD_OUT
from baseline.train.train_run import train_run
from baseline.train.trials import FoldPlan, find_label_issues, run_cross_validation
from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice, get_unseen_labels
from gleanset.work.progress import NO_PROGRESS
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
    assert "val is empty" in message
    assert "are used as val" in message
    train, val = after.splits["train"], after.splits["val"]
    assert sorted(s.key for s in (*train, *val)) == sorted(
        s.key for s in before.splits["train"]
    )
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
    assert "too small to split off" in message


PRESET = load_preset(
    "transfer", {"size": "56", "backbone": "colours", "views": "0", "strength": "1"}
)
CLAIM = "no near-duplicates of training images"


def test_copy_search_is_reported_everywhere(dataset: Dataset) -> None:
    fill(dataset)
    done = train_run(dataset, PRESET)
    folder = dataset.runs_folder / done.run
    message = done.summary()
    assert CLAIM not in message["test accuracy"]
    assert "not searched for near-duplicates" in message["test accuracy"]
    page = (folder / "report.html").read_text()
    assert "at the time of training: Not searched for near-duplicates" in page
    assert not read_metrics(folder).has_no_copies
    DuplicateFinder(dataset).search_labelled()
    repeated = train_run(dataset, PRESET)
    assert repeated.run == done.run, "nothing is trained for that"
    assert repeated.copies is not None
    copies = reevaluate_run(
        dataset, done.run, "test", RuleRequest({}), NO_PROGRESS
    ).copies
    assert copies == repeated.copies
    new = train_run(dataset, replace_settings(PRESET, seed=1))
    folder = dataset.runs_folder / new.run
    metrics = read_metrics(folder)
    message = new.summary()
    assert (
        (CLAIM in message["test accuracy"])
        == metrics.has_no_copies
        == is_free_of_copies(copies)
    )


def test_describe_copy_search(dataset: Dataset) -> None:
    fill(dataset)
    examples = find_examples(dataset)
    unsearched = summarize_copy_search(dataset, examples, "test")
    assert unsearched["searched"] == unsearched["torn"] == 0
    searched = unsearched | {"searched": unsearched["images"]}
    assert describe_copy_search(searched).startswith(CLAIM)
    for state in (
        None,
        unsearched,
        unsearched | {"searched": 1},
        searched | {"torn": 2},
    ):
        assert CLAIM not in describe_copy_search(state)
        assert not is_free_of_copies(state)
    assert f"only 1 of {unsearched['images']} images" in describe_copy_search(
        unsearched | {"searched": 1}
    )
    assert "2 images in groups of training" in describe_copy_search(
        searched | {"torn": 2}
    )
    sample = examples.splits["test"][0]
    joined = {
        **examples.groups,
        sample.key: examples.groups[examples.splits["train"][0].key],
    }
    assert (
        summarize_copy_search(dataset, examples._replace(groups=joined), "test")["torn"]
        == 1
    )


UNSEEN_PLACES = (0, 1, 2, 4, 6, 22)
"""Of 24 images of a class in groups of two: the first two share a group."""


@pytest.fixture
def with_unseen(dataset: Dataset) -> Dataset:
    """Return three classes of 24 images; six labels of each are a model's."""
    fill(dataset, 24, ("train",) * 20 + ("val", "val", "test", "test"), per_group=2)
    places = {
        i.sha256: int(i.origins[0].key.split("/")[1]) % 24
        for i in dataset.images.iterate()
    }
    unseen = [
        s for s in dataset.samples.iter_by_key() if places[s.image] in UNSEEN_PLACES
    ]
    dataset.journal.apply(
        "Accept", [Choice(s.key, "label", s.label, MODEL) for s in unseen]
    )
    return dataset


def test_unseen_labels_are_only_in_train(with_unseen: Dataset) -> None:
    unseen = get_unseen_labels(with_unseen.db).keys()
    examples = find_examples(with_unseen)
    assert examples.unseen == unseen
    train = {sample.key for sample in examples.splits["train"]}
    assert len(train & unseen) == 15
    assert (
        not {sample.key for name in ("val", "test") for sample in examples.splits[name]}
        & unseen
    )
    cut, result = ensure_val(examples._replace(splits=examples.splits | {"val": ()}), 0)
    assert result is not None
    assert cut.splits["val"]
    assert not {sample.key for sample in cut.splits["val"]} & unseen
    groups = [
        {examples.groups[s.key] for s in cut.splits[name]} for name in ("train", "val")
    ]
    assert not groups[0] & groups[1]
    folds = FoldPlan.create(with_unseen, PRESET, 3).folds
    evaluated = {sample.key for fold in folds for sample in fold.splits["test"]}
    assert evaluated
    assert not evaluated & unseen
    groups = {examples.groups[key] for key in evaluated}
    own_groups = {key for key in unseen if examples.groups[key] not in groups}
    assert own_groups
    assert all(
        own_groups & train <= {s.key for s in fold.splits["train"]} for fold in folds
    )


def test_cross_validation_skips_unseen_labels(with_unseen: Dataset) -> None:
    unseen = get_unseen_labels(with_unseen.db).keys()
    result = run_cross_validation(
        with_unseen, PRESET, 3, progress=NO_PROGRESS, say=print
    )
    evaluated = load_outputs(with_unseen.runs_folder / result.run)[HELD_OUT].keys
    assert evaluated
    assert not set(evaluated) & unseen


def test_unseen_labels_are_counted_and_checked_for_issues(with_unseen: Dataset) -> None:
    examples = find_examples(with_unseen)
    done = train_run(with_unseen, PRESET)
    assert done.unseen_labels == 15
    folder = with_unseen.runs_folder / done.run
    result = done.summary()
    assert "15 labels not reviewed" in result["training images"]
    results = find_label_issues(with_unseen, done.run, folder, 3, NO_PROGRESS)
    count = sum(len(part) for part in examples.splits.values())
    assert results.evaluated == results.labelled == count, (
        "also what nobody has looked at"
    )
