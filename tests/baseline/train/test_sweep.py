"""The grid of a sweep, what is chosen, and a sweep that is stopped and goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filled import fill
from tools_for_tests import run_here

from baseline.data.grouped_split import with_val
from baseline.data.samples import find_examples
from baseline.judge.outputs import Outputs, load_outputs
from baseline.settings import Simple, load_preset
from baseline.train.sweep import (
    PLOT,
    ValidationAnswers,
    best_command,
    cells_of,
    draw_sweep,
    ranked,
    read_grid,
)
from baseline.train.trials import FILE, HELD, Trial, read_trials, run_trials, trial_outputs
from gleanset import Dataset
from gleanset.errors import UsageError


def test_a_grid_is_read_from_words_and_else_the_preset_has_one() -> None:
    grid = read_grid(["dropout=0.2,0.5", "blocks=32,64;32,64,128", "epochs=3"])
    assert grid == {"dropout": ["0.2", "0.5"], "blocks": ["32,64", "32,64,128"], "epochs": ["3"]}
    cells = cells_of("simple", grid)
    assert len(cells) == 4
    assert {"dropout": "0.5", "blocks": "32,64", "epochs": "3"} in cells
    usual = cells_of("simple", {"epochs": ["2"]})
    assert len(usual) == 8
    assert all(cell["epochs"] == "2" for cell in usual)
    for words in ("dropout", "=1", "dropout=", "dropout=,"):
        with pytest.raises(UsageError, match="not KEY=VALUE"):
            read_grid([words])


def test_a_wrong_value_and_too_many_are_told_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="dropout"):
        cells_of("simple", {"dropout": ["0.2", "2"]})
    with pytest.raises(UsageError, match="'margin'"):
        cells_of("simple", {"margin": ["0.1", "0.2"]})
    with pytest.raises(UsageError, match="201 trainings"):
        cells_of("simple", {"seed": [str(n) for n in range(201)]})


def answers(keys: str, wrong: str = "") -> Outputs:
    """What is said of samples called by single letters, some of which are mistaken."""
    logits = np.array([[key in wrong, key not in wrong] for key in keys], np.float32)
    return Outputs(logits, np.ones(len(keys), np.int64), tuple(keys))


def test_each_cell_is_trained_once_and_failures_are_findings(tmp_path: Path) -> None:
    cells = cells_of("simple", {"dropout": ["0.1", "0.2", "0.3"]})
    trained: list[float] = []

    def learn(options: dict[str, str], place: Path) -> tuple[Trial, Outputs]:
        settings = load_preset("simple", options)
        assert isinstance(settings, Simple)
        trained.append(settings.dropout)
        if settings.dropout == 0.2:
            raise UsageError("Training went astray")
        if len(trained) == 3:
            raise KeyboardInterrupt
        return Trial({}, settings.dropout, 1.0, 5), answers("abc", wrong="a")

    with pytest.raises(KeyboardInterrupt):
        list(run_trials(tmp_path, cells, learn, tmp_path))
    assert [cell.failed for cell in read_trials(tmp_path)] == ["", "Training went astray"]
    known = list(run_trials(tmp_path, cells, learn, tmp_path))
    assert trained == [0.1, 0.2, 0.3, 0.3]
    assert [cell.accuracy for cell in known] == [0.1, None, 0.3]
    best = ranked(known)[0]
    assert best_command("simple", best, Path("my data"))[2:] == [
        *("--preset", "simple", "-o", "dropout=0.3", "-d", "my data")
    ]
    said = {cell.name: trial_outputs(tmp_path, cell.options) for cell in (known[0], known[2])}
    val = ValidationAnswers.of(said, {"a": "one", "b": "one", "c": "two"})
    assert draw_sweep(tmp_path, known, val, scratch=tmp_path) == tmp_path / PLOT
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")
    level = [Trial({"a": "1"}, 0.9, 0.5), Trial({"a": "2"}, 0.9, 0.4), Trial({}, failed="x")]
    assert ranked(level) == [level[1], level[0], level[2]], "ties go to the lower log loss"


def test_differences_of_a_sweep_are_noise_by_moments_and_not_by_pictures() -> None:
    """Sixteen pictures more are no luck where each is a moment, and can be where they are two."""
    best, other = Trial({"a": "1"}, 1.0), Trial({"a": "2"}, 0.84)
    hits = {best.name: np.ones(100, np.bool_), other.name: np.arange(100) >= 16}
    alone = ValidationAnswers(hits, tuple(map(str, range(100))))
    scenes = ValidationAnswers(hits, tuple(str(n // 8 if n < 16 else n) for n in range(100)))
    assert not alone.level(best, other)
    assert scenes.level(best, other)
    narrow, wide = alone.interval(other), scenes.interval(other)
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    assert ValidationAnswers(hits, ("one",) * 100).interval(best) is None


def test_what_a_cell_could_not_read_is_left_out_of_the_comparison() -> None:
    val = ValidationAnswers.of(
        {"x": answers("abc", "b"), "y": answers("ab")}, dict(zip("abc", "123", strict=True))
    )
    assert val.moments == ("1", "2")
    assert val.right["x"].tolist() == [True, False]


TINY = ("-o", "size=32", "-o", "blocks=4,8", "-o", "dense=8", "-o", "epochs=1")


def test_a_sweep_over_a_dataset(dataset: Dataset) -> None:
    fill(dataset, 10)
    line = (
        "baseline.cli",
        "sweep",
        *TINY,
        "-o",
        "learning_rate=0.01,900000",
        "-o",
        "optimiser=sgd",
    )
    where = ("-d", str(dataset.root), "--json")
    planned = run_here(*line, "-s", *where, cwd=dataset.root).json
    assert planned["trainings"] == 2
    assert not (dataset.root / "runs").exists()
    done = run_here(*line, *where, cwd=dataset.root).json
    assert done["best"]["learning_rate"] == "0.01"
    assert done["val"] == 3
    assert "astray" in done["cells"][1]["failed"]
    assert done["command"].startswith("baseline train --preset simple -o size=32 -o blocks=4,8")
    [folder] = (dataset.root / "runs").iterdir()
    assert Path(done["plot"]) == folder / PLOT
    written = (folder / FILE).stat().st_mtime_ns
    assert run_here(*line, *where, cwd=dataset.root).json == done
    assert (folder / FILE).stat().st_mtime_ns == written


def test_a_sweep_cuts_val_by_the_seed_of_the_command_it_recommends(dataset: Dataset) -> None:
    fill(dataset, 10)
    with dataset.db.write():
        dataset.db.run("UPDATE sample SET split='train' WHERE split='val'")
    line = ("baseline.cli", "sweep", *TINY, "-o", "learning_rate=0.001,0.002")
    where = ("-d", str(dataset.root), "--json")
    done = run_here(*line, "-o", "seed=7", *where).json
    assert "-o seed=7" in done["command"]
    cut, _ = with_val(find_examples(dataset), 7)
    [cell, *_] = (dataset.root / "runs").glob("sweep-*/cell-*")
    assert {*load_outputs(cell)[HELD].keys} == {one.key for one in cut.splits["val"]}
    varied = run_here(*line, "-o", "seed=1,2", *where)
    assert (varied.code, "labeler split --ratio 8:1:1" in varied.stderr) == (2, True)
