"""Labels that no person has seen train and never evaluate."""

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

PRESET = load_preset(
    "transfer", {"size": "56", "backbone": "colours", "views": "0", "strength": "1"}
)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Three classes of 24 images in groups of two; six labels of each are a model's.

    Two of these share a group, four are in groups with labels of a person.
    """
    with Dataset.create(tmp_path / "dataset") as new_dataset:
        fill(new_dataset, 24, ("train",) * 20 + ("val", "val", "test", "test"), per_group=2)
        accept_predictions(
            new_dataset,
            [
                s.key
                for s in list(new_dataset.samples.iter_by_key())
                if position_in_class(new_dataset, s.image) < 6
            ],
        )
        yield new_dataset


def position_in_class(dataset: Dataset, image: str) -> int:
    """Return a number below 6 for the images that the model labels."""
    result = dataset.images.get(image)
    assert result is not None
    place = int(result.origins[0].key.split("/")[1]) % 24
    return {0: 0, 1: 1, 2: 2, 4: 3, 6: 4, 22: 5}.get(place, 9)


def accept_predictions(dataset: Dataset, keys: list[str]) -> None:
    labels = {sample.key: sample.label for sample in dataset.samples.iter_by_key()}
    dataset.journal.apply("Accept", [Choice(key, "label", labels[key], MODEL) for key in keys])


def test_unseen_labels_are_only_in_train(dataset: Dataset) -> None:
    unseen = get_unseen_labels(dataset.db).keys()
    examples = find_examples(dataset)
    assert examples.unseen == unseen
    train = {sample.key for sample in examples.splits["train"]}
    assert len(train & unseen) == 15
    assert not {sample.key for name in ("val", "test") for sample in examples.splits[name]} & unseen
    cut, result = ensure_val(replace(examples, splits=examples.splits | {"val": ()}), 0)
    assert result is not None
    assert cut.splits["val"]
    assert not {sample.key for sample in cut.splits["val"]} & unseen
    groups = [{examples.groups[s.key] for s in cut.splits[name]} for name in ("train", "val")]
    assert not groups[0] & groups[1]
    folds = [fold.examples for fold in FoldPlan.create(dataset, PRESET, 3).folds]
    evaluated = {sample.key for fold in folds for sample in fold.splits["test"]}
    assert evaluated
    assert not evaluated & unseen
    groups = {examples.groups[key] for key in evaluated}
    own_groups = {key for key in unseen if examples.groups[key] not in groups}
    assert own_groups
    assert all(own_groups & train <= {s.key for s in fold.splits["train"]} for fold in folds)


def test_cross_validation_skips_unseen_labels(dataset: Dataset) -> None:
    unseen = get_unseen_labels(dataset.db).keys()
    result = run_cross_validation(dataset, PRESET, 3)
    evaluated = load_outputs(result.report.parent)[HELD_OUT].keys
    assert evaluated
    assert not set(evaluated) & unseen


def test_unseen_labels_are_counted_and_checked_for_issues(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    done = train_run(dataset, PRESET)
    assert done["unseen_labels"] == 15
    folder = dataset.runs_folder / str(done["run"])
    result = summarize_training(done, folder, dataset.root)
    assert "15 labels not reviewed" in result["training images"]
    results = find_label_issues(dataset, str(done["run"]), folder, 3)
    count = sum(len(part) for part in examples.splits.values())
    assert results.evaluated == results.labelled == count, "also what nobody has looked at"
