"""A training that is killed with SIGKILL again and again ends as an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from drawn_dataset import fill
from killed_training import main
from tools_for_tests import ROOT, python_path

from baseline.data.runs import CHECKPOINT_FILE as FILE
from baseline.train import checkpoint
from baseline.train.checkpoint import load_checkpoint
from gleanset import Dataset

SCRIPT = Path(__file__).with_name("killed_training.py")
PATHS = python_path(ROOT / "tests")


@pytest.fixture
def _saves_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what `main` sets in this process."""
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_SAVES", checkpoint.SECONDS_BETWEEN_SAVES)


def start(folder: Path, result: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(result), *options],
        env=os.environ | {"PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
    )


def epochs_saved(folder: Path) -> int:
    saved = load_checkpoint(folder)
    return 0 if saved is None else int(saved[1]["figures"]["epoch"]) - 1


def killed_and_taken_up(tmp_path: Path, options: Sequence[str], kills: int) -> None:
    """Kill it so often, each time after another epoch was saved; the end is as if undisturbed."""
    main(tmp_path / "calm", tmp_path / "calm.json", dict(word.split("=", 1) for word in options))
    calm = json.loads((tmp_path / "calm.json").read_text())
    dice, folder, result = random.Random(7), tmp_path / "killed", tmp_path / "killed.json"
    places = []
    for _ in range(kills):
        before = epochs_saved(folder)
        process = start(folder, result, *options)
        try:
            until = time.monotonic() + 240
            while epochs_saved(folder) == before:
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < until, "it never saved an epoch"
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 0.15))
        finally:
            process.kill()
            process.communicate()
        places.append(epochs_saved(folder))
    assert places == sorted(places)
    assert places[0] > 0
    said = main(folder, result, dict(word.split("=", 1) for word in options))
    told = json.loads(result.read_text())
    assert f"resumed after epoch {places[-1]}" in said
    assert told == calm


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("_saves_as_ever")
def test_killed_at_random_and_taken_up_gives_the_same_digits(tmp_path: Path) -> None:
    killed_and_taken_up(tmp_path, ("optimiser=adam", "balance=sampling"), 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("finetune", ("batch=6", "warm_up=1", "epochs=3")),
        ("triplet", ("epochs=40", "patience=40", "embedding=8", "classes_per_batch=3", "views=1")),
    ],
)
@pytest.mark.long
@pytest.mark.usefixtures("_saves_as_ever")
def test_other_methods_are_taken_up_as_well(
    tmp_path: Path, preset: str, options: tuple[str, ...]
) -> None:
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 20)
    words = (
        f"dataset={tmp_path / 'dataset'}",
        f"preset={preset}",
        "size=32",
        "weights=none",
        "backbone=mobilenetv3_small_050",
        *options,
    )
    killed_and_taken_up(tmp_path, words, 2)


@pytest.mark.usefixtures("_saves_as_ever")
def test_a_checkpoint_of_another_training_or_a_damaged_one_is_not_taken_up(tmp_path: Path) -> None:
    def trained(**options: str) -> tuple[dict[str, Any], str]:
        said = main(tmp_path / "run", tmp_path / "run.json", {"epochs": "2"} | options)
        return json.loads((tmp_path / "run.json").read_text()), said

    first, _ = trained(learning_rate="0.01")
    again, said = trained(learning_rate="0.01")
    assert "resumed after epoch 2" in said
    assert again == first
    other, said = trained(learning_rate="0.02")
    assert "resumed" not in said
    assert other["weights"] != first["weights"]
    file = tmp_path / "run" / FILE
    file.write_bytes(file.read_bytes()[:-100])
    whole, said = trained(learning_rate="0.01")
    assert "resumed" not in said
    assert whole == first
