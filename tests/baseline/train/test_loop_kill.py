"""A training that is killed with SIGKILL again and again ends as an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_dataset import fill
from killed_training import main
from tools_for_tests import ROOT, python_path

from baseline.data.runs import CHECKPOINT_FILE as FILE
from baseline.data.runs import remove_checkpoint
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train import loop
from baseline.train.loop import (
    build_optimiser,
    get_optimiser_state,
    load_checkpoint,
    load_optimiser_state,
    save_checkpoint,
)
from baseline.train.networks import build_net
from gleanset import Dataset
from gleanset.errors import DiskFull

SCRIPT = Path(__file__).with_name("killed_training.py")
PATHS = python_path(ROOT / "tests")


@pytest.fixture
def _saves_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what `main` sets in this process."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", loop.SECONDS_BETWEEN_SAVES)


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
    message = main(folder, result, dict(word.split("=", 1) for word in options))
    output = json.loads(result.read_text())
    assert f"resumed after epoch {places[-1]}" in message
    assert output == calm


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
        message = main(tmp_path / "run", tmp_path / "run.json", {"epochs": "2"} | options)
        return json.loads((tmp_path / "run.json").read_text()), message

    first, _ = trained(learning_rate="0.01")
    again, message = trained(learning_rate="0.01")
    assert "resumed after epoch 2" in message
    assert again == first
    other, message = trained(learning_rate="0.02")
    assert "resumed" not in message
    assert other["weights"] != first["weights"]
    file = tmp_path / "run" / FILE
    file.write_bytes(file.read_bytes()[:-100])
    whole, message = trained(learning_rate="0.01")
    assert "resumed" not in message
    assert whole == first


def test_a_full_disk_is_told_and_the_old_checkpoint_stays(
    small_disk: Callable[[str], Path],
) -> None:
    folder = small_disk("size=1m") / "checkpoint"
    save_checkpoint(folder, {"net": {"a": torch.ones(1000)}}, {"step": 1})
    with pytest.raises(DiskFull, match="no space left"):
        save_checkpoint(folder, {"net": {"a": torch.ones(1_000_000)}}, {"step": 2})
    result = load_checkpoint(folder)
    assert result is not None
    assert result[1] == {"step": 1}
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_what_was_saved_is_found_and_forgotten(tmp_path: Path) -> None:
    weights = torch.arange(6.0).reshape(2, 3).T
    save_checkpoint(tmp_path / "run", {"net": {"w": weights}}, {"loss": 0.1 + 0.2})
    result = load_checkpoint(tmp_path / "run")
    assert result is not None
    assert result[1] == {"loss": 0.1 + 0.2}
    (tmp_path / "run" / FILE).write_bytes(b"no checkpoint")
    assert torch.equal(result[0]["net"]["w"], weights)
    assert load_checkpoint(tmp_path / "run") is None
    remove_checkpoint(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    remove_checkpoint(tmp_path / "run")


@pytest.mark.parametrize("optimiser", ["adam", "adamax", "sgd"])
def test_an_optimiser_goes_on_as_it_would_have(optimiser: str) -> None:
    options = {"optimiser": optimiser, "size": "16", "blocks": "4", "dense": "4"}
    settings = load_preset("simple", options)
    assert isinstance(settings, Simple)
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    def step(net: torch.nn.Module, mover: torch.optim.Optimizer) -> None:
        mover.zero_grad()
        net.eval()(x).square().sum().backward()
        mover.step()

    with reproducible(0):
        net, other = build_net(settings, 3), build_net(settings, 3)
    first = build_optimiser([list(net.parameters())], settings)
    step(net, first)
    other.load_state_dict(net.state_dict())
    second = build_optimiser([list(other.parameters())], settings)
    load_optimiser_state(
        second,
        {
            k: v.clone(memory_format=torch.contiguous_format)
            for k, v in get_optimiser_state(first).items()
        },
    )
    for mover, moved in ((first, net), (second, other)):
        mover.param_groups[0]["lr"] = 0.01
        step(moved, mover)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
