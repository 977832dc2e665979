"""Cross-validation, and `baseline train --folds`."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import fill
from tools_for_tests import ROOT, run_here

from baseline.data.samples import check_folds, find_fold_examples
from baseline.evaluation.outputs import load_outputs
from baseline.settings import load_preset
from baseline.train.cross_validation import HELD_OUT, cross_validate
from baseline.train.trials import (
    FOLD_VARIANCE_INFLATION,
    FoldPlan,
    run_cross_validation,
)
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.runs import LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.work.progress import NO_PROGRESS

sys.path.insert(0, str(ROOT / "benchmarks"))
from cross_validation import (
    World,
    predict_by_class_mean,
    predict_by_nearest_image,
    run_trial,
)

SMALL = {"size": "56", "backbone": "colours", "views": "0", "strength": "1"}
"""Settings that train within a second."""
PARTS = ("train",) * 6 + ("val", "test")
PRESET = load_preset("transfer", SMALL)


@pytest.fixture
def dataset(empty: Dataset) -> Dataset:
    """Three classes of 16 images in groups of two; one label is wrong."""
    fill(empty, 16, tuple(part for part in PARTS for _ in range(2)), per_group=2)
    wrong = next(s for s in empty.samples.iter_in_splits() if s.split == "train")
    other = next(
        s.label for s in empty.samples.iter_in_splits() if s.label != wrong.label
    )
    empty.journal.apply("Label", [Choice(wrong.key, "label", other)])
    return empty


def keys(dataset: Dataset, *splits: str) -> set[str]:
    return {
        split.key for split in dataset.samples.iter_in_splits() if split.split in splits
    }


def train(dataset: Dataset, *words: str) -> Any:
    options = [part for pair in SMALL.items() for part in ("-o", "=".join(pair))]
    line = ("train", "--preset", "transfer", *options, *words, "-d", str(dataset.root))
    return run_here("baseline.cli", *line, cwd=dataset.root)


def test_interrupted_cross_validation_resumes(dataset: Dataset) -> None:
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        if line.startswith("fold 1/2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cross_validation(dataset, PRESET, 2, progress=NO_PROGRESS, say=stop)
    (stopped,) = dataset.runs.iterate()
    assert (stopped.room, stopped.status) == ("cross-validation", "interrupted")
    done = train(dataset, "--folds", "2", "--json")
    result = json.loads(done.stdout)
    assert re.search(r"1 training on 42 images; if interrupted", done.stderr)
    assert result["run"] == stopped.id
    assert (
        result["evaluated"],
        result["groups"],
        result["test"],
        len(result["folds"]),
    ) == (
        42,
        21,
        6,
        2,
    )
    assert [one["count"] for one in result["folds"]] == pytest.approx([21, 21], abs=3)
    assert result["lower_bound"] < result["accuracy"] < result["upper_bound"]
    # Every image of train and val once, and none of test.
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
    # The same command reuses the result.
    repeated = train(dataset, "--folds", "2")
    assert "already trained" in repeated.stderr
    assert max(map(len, repeated.stdout.splitlines())) <= max(
        80, len(result["report"]) + 8
    )
    assert "without --folds" in repeated.stdout
    # A cross-validation has no model to export.
    run_here(
        "baseline.cli",
        "export",
        result["run"],
        "a.onnx",
        "-d",
        dataset.root,
        cwd=dataset.root,
    ).refused(3, "has no model")


def test_features_are_computed_before_first_fold(dataset: Dataset) -> None:
    planned = train(dataset, "--folds", "3", "-s", "--json").json
    assert (planned["trainings"], planned["images"], planned["groups"]) == (3, 42, 21)
    assert list(dataset.runs.iterate()) == []
    dealt = FoldPlan.create(dataset, PRESET, 3)
    cached = dict[Path, int]()
    for number, _ in enumerate(
        cross_validate(dataset, PRESET, dealt.folds, NO_PROGRESS)
    ):
        files = (dataset.cache / "features").rglob("*")
        now = {path: path.stat().st_mtime_ns for path in files}
        assert now
        assert now == (cached or now), f"fold {number} makes features"
        cached = now
    assert dealt.missing(PRESET) == []
    assert train(dataset, "--folds", "3", "-s", "--json").json["trainings"] == 0


def test_samples_outside_test_are_used(dataset: Dataset) -> None:
    in_test = {
        one.key for one in dataset.samples.iter_in_splits() if one.split == "test"
    }
    dealt = FoldPlan.create(dataset, PRESET, 3)
    assert in_test
    assert not in_test & {sample.key for sample in dealt.examples.splits["train"]}
    dataset.samples.set_splits({})
    assert len(find_fold_examples(dataset).splits["train"]) == 48


def test_too_many_folds_raise_error(dataset: Dataset) -> None:
    with pytest.raises(
        InputUnusable, match="too few groups for 30 folds: 21 can be held out"
    ):
        run_cross_validation(dataset, PRESET, 30, progress=NO_PROGRESS, say=print)
    assert list(dataset.runs.iterate()) == []
    for groups, hint in (
        (3, "--folds 3; or label images"),
        (1, "label images of other scenes"),
    ):
        with pytest.raises(InputUnusable) as refused:
            check_folds(5, groups, 2)
        assert hint in refused.value.fix
        assert ("--folds" in refused.value.fix) == (groups > 1), (
            "one group has no folds"
        )
    with pytest.raises(InputUnusable, match="needs two classes: there is 1"):
        check_folds(2, 9, 1)


def test_cross_validation_interval_covers_new_images() -> None:
    random = np.random.default_rng(5)
    covered = []
    for learn in (predict_by_class_mean, predict_by_nearest_image):
        for world in (World(6, 2, 0.5, 0.8), World(18, 3, 0.9, 0.3)):
            for _ in range(30):
                result = run_trial(world, learn, 5, random)
                low, high = result.intervals[FOLD_VARIANCE_INFLATION]
                covered.append(low <= result.fold_accuracy <= high)
    assert np.mean(covered) >= 0.95


def test_diverging_fold_is_reported(dataset: Dataset) -> None:
    tiny = "size=32 blocks=4,8 dense=8 epochs=1 optimiser=sgd learning_rate=900000"
    options = [part for option in tiny.split() for part in ("-o", option)]
    line = ("baseline.cli", "train", "--preset", "simple", "--folds", "2", *options)
    diverged = run_here(*line, "-d", dataset.root)
    assert diverged.code in (2, 3)
    assert diverged.stderr.startswith(
        "preset: simple; with few images a class, --preset transfer"
    )
    # Whether the loss or only the features overflow depends on the processor.
    assert re.search("not finite numbers|loss nan", diverged.stderr)
