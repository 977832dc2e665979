"""The training loop: batches, frozen layers, log, interruption, memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from drawn_patterns import none, patterns
from torch import nn

from baseline.data.runs import remove_checkpoint
from baseline.evaluation.run_metrics import EpochReport
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train import batches
from baseline.train.batches import (
    Batches,
    BatchKey,
    ImageSamples,
    batch_loader,
    shuffled_batches,
)
from baseline.train.callbacks import LOG, RunLogger, TrainingCallback
from baseline.train.loop import load_checkpoint, make_classifier_task, train_network
from baseline.train.networks import build_net
from gleanset.errors import UsageError

SMALL = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "16", "epochs": "3"}


def settings(**changes: object) -> Simple:
    preset = load_preset("simple", SMALL)
    assert isinstance(preset, Simple)
    return msgspec.structs.replace(preset, **changes)


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_loader_workers_give_the_same_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "count_cores", lambda: 3)
    samples, keys = ImageSamples(patterns((9, 9, 9), 1), "characters"), list[BatchKey]()
    loader = batch_loader(samples, 5, keys, on_gpu=True)
    assert loader.num_workers == 2
    for epoch in (1, 2):
        plan = shuffled_batches(27, 8)(np.random.default_rng(epoch))
        keys[:] = [(epoch, number, index) for number, index in enumerate(plan)]
        expected = [Batches(samples, 5)[place] for place in keys]
        for (x, y), (expected_x, expected_y) in zip(loader, expected, strict=True):
            assert torch.equal(x, expected_x)
            assert torch.equal(y, expected_y)


def test_frozen_weights_train_after_frozen_epochs() -> None:
    options = settings(epochs=3)
    with reproducible(0):
        net = build_net(options, 3)
    features = net.get_submodule("features")
    before = {name: value.clone() for name, value in features.state_dict().items()}
    unchanged: list[bool] = []

    class Watch(TrainingCallback):
        def on_epoch_end(self, report: EpochReport) -> None:
            now = features.state_dict()
            unchanged.append(all(torch.equal(now[name], value) for name, value in before.items()))

    task = make_classifier_task(net, patterns((9, 9, 9), 1), none(), options)
    train_network(replace(task, frozen=features, frozen_epochs=2), Watch())
    assert unchanged == [True, True, False]


def test_training_writes_log(tmp_path: Path) -> None:
    pictures, options = patterns((30, 30, 30), 1), settings()
    task = make_classifier_task(build_net(options, 3), pictures, patterns((9, 9, 9), 2), options)
    with RunLogger(tmp_path) as callback:
        fitted = train_network(task, callback, tmp_path / "checkpoint")
    log = (tmp_path / LOG).read_text()
    assert f"epoch 3/3: loss {fitted.history[-1].train_loss:.3f}" in log
    assert load_checkpoint(tmp_path / "checkpoint") is not None
    remove_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


class OutOfMemoryNet(nn.Module):
    """Network that always runs out of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_out_of_memory_hints_at_batch_size() -> None:
    settings = load_preset("simple", {"size": "32", "batch": "32", "epochs": "2"})
    assert isinstance(settings, Simple)
    with pytest.raises(UsageError, match="out of memory with 10 images at once") as caught:
        train_network(
            make_classifier_task(OutOfMemoryNet(), patterns((40, 40, 40), 1), none(), settings)
        )
    assert "-o batch=" in caught.value.fix
