"""Cross-validation, `baseline train --folds`, and hyperparameter sweeps."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_dataset import EIGHT_TO_ONE, fill
from tools_for_tests import ROOT, run_here

from baseline.data.samples import ensure_val, find_examples, find_fold_examples
from baseline.evaluation.outputs import Outputs, load_outputs
from baseline.settings import load_preset
from baseline.train.cross_validation import FOLDER, HELD_OUT, RESULT, cross_validate
from baseline.train.trials import (
    FOLD_VARIANCE_INFLATION,
    Cell,
    FoldPlan,
    build_best_command,
    compare_with_best,
    expand_grid,
    parse_grid,
    rank_cells,
    run_cross_validation,
    sweep,
)
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.runs import LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable, UsageError

sys.path.insert(0, str(ROOT / "benchmarks"))
from cross_validation import World, predict_by_class_mean, predict_by_nearest_image, run_trial

SMALL = {"size": "56", "backbone": "colours", "views": "0", "strength": "1"}
"""Settings that train within a second."""
PARTS = ("train",) * 6 + ("val", "test")
PRESET = load_preset("transfer", SMALL)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Three classes of 16 images in groups of two; one label is wrong."""
    with Dataset.create(tmp_path / "dataset") as new_dataset:
        fill(new_dataset, 16, tuple(part for part in PARTS for _ in range(2)), per_group=2)
        wrong = next(s for s in new_dataset.samples.iter_in_splits() if s.split == "train")
        other = next(
            s.label for s in new_dataset.samples.iter_in_splits() if s.label != wrong.label
        )
        new_dataset.journal.apply("Label", [Choice(wrong.key, "label", other)])
        yield new_dataset


def keys(dataset: Dataset, *splits: str) -> set[str]:
    return {split.key for split in dataset.samples.iter_in_splits() if split.split in splits}


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
    assert max(map(len, repeated.stdout.splitlines())) <= max(80, len(result["report"]) + 8)
    assert "without --folds" in repeated.stdout
    # A cross-validation has no model to export.
    refused = run_here(
        "baseline.cli", "export", result["run"], "a.onnx", "-d", dataset.root, cwd=dataset.root
    )
    assert refused.code == 3
    assert "has no model" in refused.stderr


def test_features_are_computed_before_first_fold(dataset: Dataset) -> None:
    planned = train(dataset, "--folds", "3", "-s", "--json").json
    assert (planned["trainings"], planned["images"], planned["groups"]) == (3, 42, 21)
    assert list(dataset.runs.iterate()) == []
    dealt, cached = FoldPlan.create(dataset, PRESET, 3), dict[Path, int]()
    for number, _ in enumerate(cross_validate(dataset, PRESET, dealt.folds)):
        files = (dataset.cache / "features").rglob("*")
        now = {path: path.stat().st_mtime_ns for path in files}
        assert now
        assert now == (cached or now), f"fold {number} makes features"
        cached = now
    assert dealt.missing(PRESET) == []
    assert train(dataset, "--folds", "3", "-s", "--json").json["trainings"] == 0


def test_samples_outside_test_are_used(dataset: Dataset) -> None:
    in_test = {one.key for one in dataset.samples.iter_in_splits() if one.split == "test"}
    dealt = FoldPlan.create(dataset, PRESET, 3)
    assert in_test
    assert not in_test & {sample.key for sample in dealt.examples.splits["train"]}
    dataset.samples.set_splits({}, "none")
    assert len(find_fold_examples(dataset).splits["train"]) == 48


def test_too_many_folds_raise_error(dataset: Dataset) -> None:
    with pytest.raises(InputUnusable, match="30 folds need 30 groups"):
        run_cross_validation(dataset, PRESET, 30)
    assert list(dataset.runs.iterate()) == []


def test_cross_validation_interval_covers_new_images() -> None:
    random, covered = np.random.default_rng(5), []
    for learn in (predict_by_class_mean, predict_by_nearest_image):
        for world in (World(6, 2, 0.5, 0.8), World(18, 3, 0.9, 0.3)):
            for _ in range(30):
                result = run_trial(world, learn, 5, random)
                low, high = result.intervals[FOLD_VARIANCE_INFLATION]
                covered.append(low <= result.fold_accuracy <= high)
    assert np.mean(covered) >= 0.95


def test_parse_and_expand_grid() -> None:
    grid = parse_grid(["dropout=0.2,0.5", "blocks=32,64;32,64,128", "epochs=3"])
    assert grid == {"dropout": ["0.2", "0.5"], "blocks": ["32,64", "32,64,128"], "epochs": ["3"]}
    cells = expand_grid("simple", grid)
    assert len(cells) == 4
    assert {"dropout": "0.5", "blocks": "32,64", "epochs": "3"} in cells
    for words in ("dropout", "=1", "dropout=", "dropout=,"):
        with pytest.raises(UsageError, match="not KEY=VALUE"):
            parse_grid([words])


def test_invalid_grid_raises_error() -> None:
    with pytest.raises(UsageError, match="dropout"):
        expand_grid("simple", {"dropout": ["0.2", "2"]})
    with pytest.raises(UsageError, match="'margin'"):
        expand_grid("simple", {"margin": ["0.1", "0.2"]})
    with pytest.raises(UsageError, match="trainings: 201"):
        expand_grid("simple", {"seed": [str(n) for n in range(201)]})
    with pytest.raises(UsageError, match="no values to compare"):
        expand_grid("simple", {"epochs": ["2"]})


def test_best_cell_becomes_command() -> None:
    cells = [Cell({"a": "1"}, 0.9, 0.5), Cell({"a": "2"}, 0.9, 0.4), Cell({}, failed="x")]
    assert rank_cells(cells) == [cells[1], cells[0], cells[2]], "ties go to the lower log loss"
    assert build_best_command("simple", cells[1], Path("my data"))[2:] == [
        *("--preset", "simple", "-o", "a=2", "-d", "my data")
    ]


def make_cell(keys: str, wrong: str = "") -> Cell:
    """Return a cell with a prediction for each letter of `keys`."""
    logits = np.array([[key in wrong, key not in wrong] for key in keys], np.float32)
    outputs = Outputs(logits, np.ones(len(keys), np.int64), tuple(keys))
    return Cell({}, float(outputs.right.mean()), 0.1, outputs=outputs)


def test_comparison_of_cells_counts_groups() -> None:
    # 16 errors are significant as 16 groups, and not as 2.
    keys = "".join(map(chr, range(1000, 1100)))
    cells = [make_cell(keys), make_cell(keys, keys[:16]), Cell({}, failed="x")]
    singletons = compare_with_best(cells, {key: key for key in keys})
    scenes = {key: str(n // 8 if n < 16 else n) for n, key in enumerate(keys)}
    assert singletons["level_with_best"] == 0
    assert compare_with_best(cells, scenes)["level_with_best"] == 1
    wide = compare_with_best(cells[1:], scenes)["interval"]
    narrow = compare_with_best(cells[1:], {key: key for key in keys})["interval"]
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert compare_with_best(cells, dict.fromkeys(keys, "one"))["interval"] is None


def test_comparison_uses_images_of_all_cells() -> None:
    groups = dict(zip("abc", "123", strict=True))
    compared = compare_with_best([make_cell("abc", "b"), make_cell("ab")], groups)
    assert (compared["val"], compared["groups"]) == (2, 2)


TINY = ("-o", "size=32", "-o", "blocks=4,8", "-o", "dense=8", "-o", "epochs=1")


def test_sweep_command(dataset: Dataset) -> None:
    fill(dataset, 10, EIGHT_TO_ONE)
    grid = ("-o", "learning_rate=0.01,10000,900000", "-o", "optimiser=sgd")
    line = ("baseline.cli", "sweep", *TINY, *grid)
    where = ("-d", str(dataset.root), "--json")
    planned = run_here(*line, "-s", *where, cwd=dataset.root).json
    assert planned["trainings"] == 3
    assert not (dataset.root / "runs").exists()
    done = run_here(*line, *where, cwd=dataset.root).json
    assert done["best"]["learning_rate"] == "0.01"
    assert done["val"] == 3
    # A diverged training is a failed cell, and the sweep continues.
    assert [cell["accuracy"] is None for cell in done["cells"]] == [False, True, True]
    # Whether the loss or only the features overflow depends on the processor.
    for cell in done["cells"][1:]:
        assert re.search("not finite numbers|loss nan", cell["failed"])
    assert done["command"].startswith("baseline train --preset simple -o size=32 -o blocks=4,8")
    assert not (dataset.root / "runs").exists()
    # Finished cells are reused with their timings.
    repeated = run_here(*line, *where, cwd=dataset.root).json
    assert repeated == done


def test_interrupted_sweep_resumes(dataset: Dataset) -> None:
    fill(dataset, 10, EIGHT_TO_ONE)
    grid = parse_grid([*TINY[1::2], "learning_rate=0.01,0.02"])
    cells = expand_grid("simple", grid)

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(dataset, "simple", cells, say=stop)
    results = list((dataset.cache / FOLDER).glob(f"*/{RESULT}"))
    assert len(results) == 1
    written = results[0].stat().st_mtime_ns
    done = sweep(dataset, "simple", cells)
    assert [cell["failed"] for cell in done["cells"]] == ["", ""]
    assert results[0].stat().st_mtime_ns == written
    assert len(list((dataset.cache / FOLDER).glob(f"*/{RESULT}"))) == 2


def test_sweep_splits_val_by_recommended_seed(dataset: Dataset) -> None:
    fill(dataset, 10, EIGHT_TO_ONE)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET split='train' WHERE split='val'")
    line = ("baseline.cli", "sweep", *TINY, "-o", "learning_rate=0.001,0.002")
    where = ("-d", str(dataset.root), "--json")
    done = run_here(*line, "-o", "seed=7", *where).json
    assert "-o seed=7" in done["command"]
    cut, _ = ensure_val(find_examples(dataset), 7)
    [training, *_] = (dataset.cache / FOLDER).iterdir()
    assert {*load_outputs(training)[HELD_OUT].keys} == {sample.key for sample in cut.splits["val"]}
    varied = run_here(*line, "-o", "seed=1,2", *where)
    assert (varied.code, "labeler split --ratio 8:1:1" in varied.stderr) == (2, True)
