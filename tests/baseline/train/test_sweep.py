"""Hyperparameter sweeps: grid, ranking, comparison, interruption."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from filled import fill
from tools_for_tests import run_here

from baseline.data.samples import ensure_val, find_examples
from baseline.evaluation.outputs import Outputs, load_outputs
from baseline.train.cross_validation import FOLDER, HELD_OUT, RESULT
from baseline.train.trials import (
    Cell,
    build_best_command,
    compare_with_best,
    expand_grid,
    parse_grid,
    rank_cells,
    sweep,
)
from gleanset import Dataset
from gleanset.errors import UsageError


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
    fill(dataset, 10)
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
    fill(dataset, 10)
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
    fill(dataset, 10)
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
