"""Labels that nobody has looked at are learnt from, and nothing is judged or chosen by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_dataset import fill

from baseline.data.samples import ensure_val, find_examples
from baseline.evaluation.outputs import load_outputs
from baseline.evaluation.summary import summarize_training
from baseline.settings import load_preset
from baseline.train.cross_validation import HELD_OUT
from baseline.train.train_run import train_run
from baseline.train.trials import FoldPlan, find_label_issues, run_cross_validation
from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice, get_unseen_labels
from gleanset.settings import SplitSettings
from labeler.splits.plan import apply_split, plan_split

PRESET = load_preset("transfer", {"size": "56", "backbone": "colours", "views": "0"})


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Twenty-four pictures of each of three classes, two of a group; six labels of each class are
    the model's: two of a group of their own, and four beside others that a person named.
    """
    with Dataset.create(tmp_path / "dataset") as made:
        fill(made, 24, ("train",) * 20 + ("val", "val", "test", "test"), per_group=2)
        accept(
            made, [s.key for s in list(made.samples.iter_by_key()) if _number(made, s.image) < 6]
        )
        yield made


def _number(dataset: Dataset, image: str) -> int:
    """What comes of a picture that is the first of two, or of the first group."""
    result = dataset.images.get(image)
    assert result is not None
    place = int(result.origins[0].key.split("/")[1]) % 24
    return {0: 0, 1: 1, 2: 2, 4: 3, 6: 4, 22: 5}.get(place, 9)


def accept(dataset: Dataset, keys: list[str]) -> None:
    labels = {sample.key: sample.label for sample in dataset.samples.iter_by_key()}
    dataset.journal.apply("Accept", [Choice(key, "label", labels[key], MODEL) for key in keys])


def test_val_and_folds_hold_none_of_them(dataset: Dataset) -> None:
    unseen = get_unseen_labels(dataset.db).keys()
    examples = find_examples(dataset)
    assert examples.unseen == unseen
    taught = {one.key for one in examples.splits["train"]}
    assert len(taught & unseen) == 15
    assert not {one.key for name in ("val", "test") for one in examples.splits[name]} & unseen
    cut, result = ensure_val(replace(examples, splits=examples.splits | {"val": ()}), 0)
    assert result is not None
    assert cut.splits["val"]
    assert not {one.key for one in cut.splits["val"]} & unseen
    groups = [{examples.groups[s.key] for s in cut.splits[name]} for name in ("train", "val")]
    assert not groups[0] & groups[1]
    folds = [fold.examples for fold in FoldPlan.create(dataset, PRESET, 3).folds]
    judged = {one.key for fold in folds for one in fold.splits["test"]}
    assert judged
    assert not judged & unseen
    groups = {examples.groups[key] for key in judged}
    alone = {key for key in unseen if examples.groups[key] not in groups}
    assert alone
    assert all(alone & taught <= {s.key for s in fold.splits["train"]} for fold in folds)


def test_folds_are_judged_without_them(dataset: Dataset) -> None:
    unseen = get_unseen_labels(dataset.db).keys()
    result = run_cross_validation(dataset, PRESET, 3)
    judged = load_outputs(result.report.parent)[HELD_OUT].keys
    assert judged
    assert not set(judged) & unseen


def test_a_split_into_folds_never_deals_them_out(dataset: Dataset) -> None:
    apply_split(dataset, plan_split(dataset, SplitSettings(folds=3)))
    unseen = get_unseen_labels(dataset.db).keys()
    result = run_cross_validation(dataset, PRESET, 3)
    judged = load_outputs(result.report.parent)[HELD_OUT].keys
    assert len(judged) == 72 - len(unseen) == 54
    assert not set(judged) & unseen


def test_training_says_how_many_there_are_and_doubts_look_at_them(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    done = train_run(dataset, PRESET)
    assert done["unseen_labels"] == 15
    folder = dataset.runs_folder / str(done["run"])
    result = summarize_training(done, folder, dataset.root)
    assert "15 labels not reviewed" in result["training images"]
    results = find_label_issues(dataset, str(done["run"]), folder, 3)
    there = sum(len(part) for part in examples.splits.values())
    assert results.evaluated == results.labelled == there, "also what nobody has looked at"
