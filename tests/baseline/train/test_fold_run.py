"""`baseline train --folds`: every picture of train and val is judged once, and test by nobody."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import fill
from tools_for_tests import ROOT, run_here

from baseline.data.samples import find_fold_examples
from baseline.evaluation.outputs import load_outputs
from baseline.settings import load_preset
from baseline.train.cross_validation import HELD_OUT, cross_validate
from baseline.train.trials import FOLD_VARIANCE_INFLATION, FoldPlan, run_cross_validation
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.runs import LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable, UsageError

sys.path.insert(0, str(ROOT / "benchmarks"))
from cross_validation import World, predict_by_class_mean, predict_by_nearest_image, run_trial

SMALL = {"size": "56", "backbone": "colours", "views": "0"}
"""What needs no network, and is solved at once."""
PARTS = ("train",) * 6 + ("val", "test")
PRESET = load_preset("transfer", SMALL)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Sixteen pictures of each of three classes, two of a group; one has a wrong label."""
    with Dataset.create(tmp_path / "dataset") as made:
        fill(made, 16, tuple(part for part in PARTS for _ in range(2)), per_group=2)
        wrong = next(s for s in made.samples.iter_in_splits() if s.split == "train")
        other = next(s.label for s in made.samples.iter_in_splits() if s.label != wrong.label)
        made.journal.apply("Label", [Choice(wrong.key, "label", other)])
        yield made


def keys(dataset: Dataset, *splits: str) -> set[str]:
    return {split.key for split in dataset.samples.iter_in_splits() if split.split in splits}


def train(dataset: Dataset, *words: str) -> Any:
    options = [part for pair in SMALL.items() for part in ("-o", "=".join(pair))]
    line = ("train", "--preset", "transfer", *options, *words, "-d", str(dataset.root))
    return run_here("baseline.cli", *line, cwd=dataset.root)


def test_all_but_test_is_judged_and_doubted_and_a_stop_costs_one_fold(
    dataset: Dataset,
) -> None:
    message: list[str] = []

    def stop(line: str) -> None:
        message.append(line)
        if line.startswith("fold 1/2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cross_validation(dataset, PRESET, 2, say=stop)
    (stopped,) = dataset.runs.iterate()
    assert (stopped.room, stopped.status) == ("cross-validation", "interrupted")
    done = train(dataset, "--folds", "2", "--json")
    result = json.loads(done.stdout)
    assert re.search(r"1 training on 42 images; if interrupted", done.stderr)
    assert result["run"] == stopped.id
    assert (result["evaluated"], result["groups"], result["test"], len(result["folds"])) == (
        42,
        21,
        6,
        2,
    )
    assert [one["count"] for one in result["folds"]] == pytest.approx([21, 21], abs=3)
    assert result["lower_bound"] < result["accuracy"] < result["upper_bound"]
    # Every picture of train and val once, and nothing of test.
    results = load_outputs(dataset.runs_folder / result["run"])[HELD_OUT]
    assert sorted(results.keys) == sorted(keys(dataset, "train", "val"))
    assert result["accuracy"] == float((results.logits.argmax(1) == results.y).mean())
    assert SplitEvaluations(dataset.db).get_for_run(result["run"], "test") is None
    issues = list(LabelIssues(dataset.db).iterate())
    assert len(issues) == result["label_issues"] >= 1
    assert {issue.run for issue in issues} == {result["run"]}
    assert {one.sample for one in issues} <= set(results.keys)
    page = Path(result["report"]).read_text()
    assert "Cross-validation on" in page
    assert "6 images of test were not used" in page
    # What is known is not trained again, and is told in lines that fit.
    again = train(dataset, "--folds", "2")
    assert "already trained" in again.stderr
    assert max(map(len, again.stdout.splitlines())) <= max(80, len(result["report"]) + 8)
    assert "without --folds" in again.stdout
    # There is no network in it to be used, and that is said.
    refused = run_here(
        "baseline.cli", "export", result["run"], "a.onnx", "-d", dataset.root, cwd=dataset.root
    )
    assert refused.code == 3
    assert "has no model" in refused.stderr


def test_features_are_made_in_one_pass_and_a_plan_tells_the_time(dataset: Dataset) -> None:
    planned = train(dataset, "--folds", "3", "-s", "--json").json
    assert (planned["trainings"], planned["images"], planned["groups"]) == (3, 42, 21)
    assert list(dataset.runs.iterate()) == []
    dealt, kept = FoldPlan.create(dataset, PRESET, 3), dict[Path, int]()
    for number, _ in enumerate(cross_validate(dataset, PRESET, dealt.folds)):
        there = (dataset.cache / "features").rglob("*")
        now = {path: path.stat().st_mtime_ns for path in there}
        assert now
        assert now == (kept or now), f"fold {number} makes features"
        kept = now
    assert dealt.missing(PRESET) == []
    assert train(dataset, "--folds", "3", "-s", "--json").json["trainings"] == 0


def test_a_split_into_folds_is_taken_as_it_is_and_nothing_split_is_all_taken(
    dataset: Dataset,
) -> None:
    placed = list(dataset.samples.iter_in_splits())
    folds = {one.key: int(str(one.split_group).rpartition("/")[2]) % 3 + 1 for one in placed}
    parts = {1: "train", 2: "val", 3: "test"}
    plan = {one.key: (str(one.split_group), parts[folds[one.key]]) for one in placed}
    dataset.samples.set_splits(plan, "folds", folds)
    dealt = FoldPlan.create(dataset, PRESET, 3)
    assert dealt.keys == folds.keys()
    held = [{folds[s.key] for s in fold.examples.splits["test"]} for fold in dealt.folds]
    assert held == [{1}, {2}, {3}]
    with pytest.raises(UsageError, match="has 3 folds, not 5"):
        FoldPlan.create(dataset, PRESET, 5)
    dataset.samples.set_splits({}, "none")
    assert len(find_fold_examples(dataset).splits["train"]) == 48


def test_what_cannot_be_is_refused_before_anything_is_trained(dataset: Dataset) -> None:
    with pytest.raises(InputUnusable, match="30 folds need 30 groups"):
        run_cross_validation(dataset, PRESET, 30)
    assert list(dataset.runs.iterate()) == []


def test_the_interval_covers_what_such_networks_get_on_other_pictures() -> None:
    random, covered = np.random.default_rng(5), []
    for learn in (predict_by_class_mean, predict_by_nearest_image):
        for world in (World(6, 2, 0.5, 0.8), World(18, 3, 0.9, 0.3)):
            for _ in range(30):
                result = run_trial(world, learn, 5, random)
                low, high = result.intervals[FOLD_VARIANCE_INFLATION]
                covered.append(low <= result.of_folds <= high)
    assert np.mean(covered) >= 0.95
