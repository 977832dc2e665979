"""The grid of a sweep, what is chosen, and a sweep that is stopped and goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from filled import fill
from PIL import Image

from baseline.cli import commands
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
from baseline.train.trials import FILE, Trial, read_trials, run_trials
from gleanset import Dataset
from gleanset.errors import UsageError


def test_grid_from_words() -> None:
    grid = read_grid(["dropout=0.2,0.5", "blocks=32,64;32,64,128", "epochs=3"])
    assert grid == {"dropout": ["0.2", "0.5"], "blocks": ["32,64", "32,64,128"], "epochs": ["3"]}
    assert read_grid(["blocks=8,16"]) == {"blocks": ["8,16"]}
    cells = cells_of("simple", grid)
    assert len(cells) == 4
    assert {"dropout": "0.5", "blocks": "32,64", "epochs": "3"} in cells


def test_without_values_the_grid_of_the_preset() -> None:
    cells = cells_of("simple", {"epochs": ["2"]})
    assert len(cells) == 8
    assert all(cell["epochs"] == "2" for cell in cells)
    assert len({cell["blocks"] for cell in cells}) == 2
    assert len(cells_of("transfer", {})) == 12
    assert len(cells_of("mobile", {})) == 6


@pytest.mark.parametrize("words", [["dropout"], ["=1"], ["dropout="], ["dropout=,"]])
def test_what_is_no_grid(words: list[str]) -> None:
    with pytest.raises(UsageError, match="not KEY=VALUE"):
        read_grid(words)


def test_a_wrong_value_and_too_many_are_told_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="dropout"):
        cells_of("simple", {"dropout": ["0.2", "2"]})
    with pytest.raises(UsageError, match="'margin'"):
        cells_of("simple", {"margin": ["0.1", "0.2"]})
    many = {"seed": [str(n) for n in range(201)]}
    with pytest.raises(UsageError, match="201 trainings"):
        cells_of("simple", many)


def test_each_cell_is_trained_once_and_failures_are_findings(tmp_path: Path) -> None:
    cells = cells_of("simple", {"dropout": ["0.1", "0.2", "0.3"]})
    trained: list[float] = []

    def learn(options: dict[str, str], place: Path) -> Trial:
        settings = load_preset("simple", options)
        assert isinstance(settings, Simple)
        trained.append(settings.dropout)
        if settings.dropout == 0.2:
            raise UsageError("Training went astray")
        if len(trained) == 3:
            raise KeyboardInterrupt
        return Trial({}, settings.dropout, 1.0, 5, wrong=("a",))

    with pytest.raises(KeyboardInterrupt):
        list(run_trials(tmp_path, cells, learn, tmp_path))
    assert [cell.failed for cell in read_trials(tmp_path)] == ["", "Training went astray"]
    found = list(run_trials(tmp_path, cells, learn, tmp_path))
    assert trained == [0.1, 0.2, 0.3, 0.3]
    assert [cell.accuracy for cell in found] == [0.1, None, 0.3]
    assert len(json.loads((tmp_path / FILE).read_text())) == 3
    best = ranked(found)[0]
    assert best.options == {"dropout": "0.3"}
    command = best_command("simple", best, Path("my data"))
    assert command == [
        "baseline",
        "train",
        "--preset",
        "simple",
        "-o",
        "dropout=0.3",
        "-d",
        "my data",
    ]
    val = ValidationAnswers.of({"a": "one", "b": "one", "c": "two"}, found)
    assert draw_sweep(tmp_path, found, val, scratch=tmp_path) == tmp_path / PLOT
    assert (tmp_path / PLOT).read_bytes().startswith(b"\x89PNG")


def test_ties_go_to_the_lower_log_loss() -> None:
    cells = [
        Trial({"a": "1"}, 0.9, 0.5),
        Trial({"a": "2"}, 0.9, 0.4),
        Trial({"a": "3"}, failed="x"),
    ]
    assert [cell.options["a"] for cell in ranked(cells)] == ["2", "1", "3"]


def test_differences_of_a_sweep_are_noise_by_moments_and_not_by_pictures() -> None:
    """Sixteen pictures more are no luck where each is a moment, and can be where they are two."""
    keys = [f"{number:03}" for number in range(100)]
    best, other = (
        Trial({"a": "1"}, 0.9, wrong=()),
        Trial({"a": "2"}, 0.74, wrong=tuple(keys[:16])),
    )
    alone = ValidationAnswers.of({key: key for key in keys}, [best, other])
    scenes = ValidationAnswers.of(
        {key: key[:2] if key < "016" else key for key in keys}, [best, other]
    )
    assert not alone.level(best, other)
    assert scenes.level(best, other)
    narrow, wide = alone.interval(other), scenes.interval(other)
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    assert ValidationAnswers.of(dict.fromkeys(keys, "one"), [best]).interval(best) is None


def test_what_a_cell_could_not_read_is_left_out_of_the_comparison(tmp_path: Path) -> None:
    cell = Trial({"a": "1"}, 0.5, wrong=("b",), unread=("c",))
    val = ValidationAnswers.of({"a": "1", "b": "2", "c": "3"}, [cell])
    assert val.keys == ("a", "b")
    assert val.right(cell).tolist() == [True, False]
    (tmp_path / FILE).write_text(json.dumps([asdict(cell), {"options": {}, "accuracy": 0.5}]))
    assert read_trials(tmp_path) == [cell]  # one of old has to be trained again


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The result of a command that is run within this process."""
    commands.main([*words, "--json"], standalone_mode=False)
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


TINY = ("-o", "size=32", "-o", "blocks=8,16", "-o", "dense=8", "-o", "epochs=2")


@pytest.mark.slow
def test_a_sweep_over_a_dataset(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    fill(dataset, 20)
    where = ("-d", str(dataset.root))
    grid = ("sweep", *TINY, "-o", "learning_rate=0.01,900000", "-o", "optimiser=sgd")
    planned = told(capsys, *grid, "-s", *where)
    assert planned["trainings"] == 2
    assert not (dataset.root / "runs").exists()
    found = told(capsys, *grid, *where)
    assert found["best"]["learning_rate"] == "0.01"
    assert found["val"] == 6
    assert "astray" in found["cells"][1]["failed"]
    assert found["command"].startswith("baseline train --preset simple -o size=32 -o blocks=8,16")
    assert Path(found["plot"]).is_file()
    [folder] = (dataset.root / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {FILE, PLOT}
    written = (folder / FILE).stat().st_mtime_ns
    assert told(capsys, *grid, *where) == found
    assert (folder / FILE).stat().st_mtime_ns == written


@pytest.mark.slow
def test_the_sheet_of_augmentation(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    fill(dataset, 10)
    file = dataset.root / "sheet.png"
    words = ("train", "--sheet", str(file), "-d", str(dataset.root), "-o", "size=32")
    found = told(capsys, *words, "-o", "colour=rgb")
    assert (found["samples"], found["augment"]) == (8, "characters")
    with Image.open(file) as sheet:
        assert sheet.size == (7 * 38 + 18, 8 * 38 + 6)
        first, copy = (sheet.crop((left, 6, left + 32, 38)) for left in (6, 56))
        assert first.tobytes() != copy.tobytes()
    with pytest.raises(UsageError, match="changes nothing"):
        told(capsys, *words, "-o", "augment=none")
