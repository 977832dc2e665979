"""The file of a checkpoint: whole, found again, and told where the disk refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from baseline.data.runs import CHECKPOINT_FILE as FILE
from baseline.data.runs import forget_checkpoint
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train.checkpoint import (
    fill_optimiser,
    load_checkpoint,
    optimiser_state,
    save_checkpoint,
)
from baseline.train.loop import build_optimiser
from baseline.train.networks import build_net
from gleanset.errors import DiskFull


def test_a_full_disk_is_told_and_the_old_checkpoint_stays(
    small_disk: Callable[[str], Path],
) -> None:
    folder = small_disk("size=1m") / "checkpoint"
    save_checkpoint(folder, {"net": {"a": torch.ones(1000)}}, {"step": 1})
    with pytest.raises(DiskFull, match="no space left"):
        save_checkpoint(folder, {"net": {"a": torch.ones(1_000_000)}}, {"step": 2})
    found = load_checkpoint(folder)
    assert found is not None
    assert found[1] == {"step": 1}
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_what_was_saved_is_found_and_forgotten(tmp_path: Path) -> None:
    weights = torch.arange(6.0).reshape(2, 3).T
    save_checkpoint(tmp_path / "run", {"net": {"w": weights}}, {"loss": 0.1 + 0.2})
    found = load_checkpoint(tmp_path / "run")
    assert found is not None
    assert found[1] == {"loss": 0.1 + 0.2}
    (tmp_path / "run" / FILE).write_bytes(b"no checkpoint")
    assert torch.equal(found[0]["net"]["w"], weights)
    assert load_checkpoint(tmp_path / "run") is None
    forget_checkpoint(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    forget_checkpoint(tmp_path / "run")


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
    fill_optimiser(
        second,
        {
            k: v.clone(memory_format=torch.contiguous_format)
            for k, v in optimiser_state(first).items()
        },
    )
    for mover, moved in ((first, net), (second, other)):
        mover.param_groups[0]["lr"] = 0.01
        step(moved, mover)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
