"""Training a classifier: learning, early stopping, batches, frozen layers, log, memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest
import torch
from drawn_dataset import CLASSES, none, patterns
from small_training import SmallTraining, train_small
from torch import nn

from baseline.data.runs import remove_checkpoint
from baseline.data.samples import Arrays
from baseline.evaluation.metrics import (
    EpochReport,
    SplitMetrics,
    compute_classification_metrics,
)
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train import batches
from baseline.train.batches import (
    Batches,
    BatchKey,
    ImageSamples,
    make_batch_loader,
    make_shuffled_sampler,
)
from baseline.train.loop import load_checkpoint, make_classifier_task, train_network
from baseline.train.networks import SmallNet
from baseline.train.training import LOG, RunLogger, TrainingCallback
from gleanset.errors import UsageError
from gleanset.work.progress import NO_PROGRESS

SMALL = {
    "size": "32",
    "blocks": "8,16,32",
    "dense": "32",
    "batch": "16",
    "dropout": "0.1",
}


def settings(**changes: Any) -> Simple:
    preset = load_preset("simple", SMALL)
    return msgspec.structs.replace(preset, **changes)


def compute_logits(net: nn.Module, arrays: Arrays) -> np.ndarray:
    with torch.inference_mode():
        x = torch.from_numpy(arrays.x).float() / 255
        return net(x).numpy()


def evaluate(net: nn.Module, arrays: Arrays, classes: tuple[str, ...]) -> SplitMetrics:
    return compute_classification_metrics(
        compute_logits(net, arrays), arrays.y, arrays.keys, classes
    )


def epoch_metrics(trained: SmallTraining) -> list[tuple[float | None, ...]]:
    return [
        (r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy)
        for r in trained.history
    ]


@pytest.mark.parametrize("colour", ["grayscale", "rgb"])
def test_training_learns_simple_patterns(colour: str) -> None:
    channels = 1 if colour == "grayscale" else 3
    options = settings(colour=colour, epochs=8)
    reports: list[EpochReport] = []
    pictures = patterns((40, 40, 40), 1, channels)
    val = patterns((10, 10, 10), 2, channels)
    trained = train_small(pictures, options, val, reports.append)
    result = evaluate(trained.net, patterns((20, 20, 20), 3, channels), CLASSES)
    assert result.accuracy > 0.9
    assert tuple(reports) == trained.history
    assert [report.epoch for report in reports] == list(range(1, len(reports) + 1))
    assert reports[-1].train_loss < reports[0].train_loss
    assert all(report.images_per_second > 0 for report in reports)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_gives_same_weights(precision: str) -> None:
    options = settings(epochs=2, precision=precision)
    pictures = patterns((12, 12, 12), 1)
    val = patterns((5, 5, 5), 2)

    def meddle(report: EpochReport) -> None:
        torch.manual_seed(report.epoch)

    torch.manual_seed(99)
    first = train_small(pictures, options, val)
    second = train_small(pictures, options, val, meddle)
    assert epoch_metrics(first) == epoch_metrics(second)
    assert np.array_equal(
        compute_logits(first.net, val), compute_logits(second.net, val)
    )
    other = train_small(pictures, settings(epochs=2, precision=precision, seed=1), val)
    assert epoch_metrics(other) != epoch_metrics(first)


def test_random_state_and_threads_are_restored() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train_small(patterns((6, 6, 6), 1), settings(epochs=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_early_stopping_keeps_best_weights() -> None:
    pictures = patterns((10, 10, 10), 1)
    val = patterns((20, 20, 20), 2)
    # With wrong labels in val, its loss grows as training proceeds.
    wrong = Arrays(val.x, (val.y + 1) % 3, val.keys)
    trained = train_small(pictures, settings(epochs=30, patience=2), wrong)
    losses = [
        report.val_loss for report in trained.history if report.val_loss is not None
    ]
    assert len(trained.history) == trained.best_epoch + 2 < 30
    assert losses[trained.best_epoch - 1] == min(losses)
    metrics = evaluate(trained.net, wrong, CLASSES)
    assert metrics.log_loss == pytest.approx(min(losses), rel=1e-5)


def test_small_val_disables_early_stopping() -> None:
    pictures = patterns((10, 10, 10), 1)
    val = patterns((4, 4, 4), 2)
    wrong = Arrays(val.x, (val.y + 1) % 3, val.keys)
    for small_val in (wrong, None):
        trained = train_small(pictures, settings(epochs=5, patience=1), small_val)
        assert trained.best_epoch == len(trained.history) == 5
        # Its loss is still reported.
        assert all(
            (report.val_loss is None) is (small_val is None)
            for report in trained.history
        )


def test_balancing_raises_recall_of_rare_classes() -> None:
    pictures = add_noise(patterns((120, 8, 8), 1))
    test = add_noise(patterns((20, 20, 20), 3))
    recall = {}
    for balance in ("none", "weights"):
        options = settings(epochs=6, balance=balance, augment="none")
        trained = train_small(pictures, options)
        scores = evaluate(trained.net, test, CLASSES).classes
        recall[balance] = scores[1].recall + scores[2].recall
    assert recall["weights"] > recall["none"] + 0.2


def add_noise(arrays: Arrays) -> Arrays:
    """Add so much noise that predicting the frequent class pays."""
    noise = np.random.default_rng(0).normal(0, 40, arrays.x.shape)
    return replace(
        arrays, x=(arrays.x * 0.5 + noise + 60).clip(0, 255).astype(np.uint8)
    )


@pytest.mark.parametrize("optimiser", ["adamw", "adamax", "sgd"])
def test_every_optimizer_learns(optimiser: str) -> None:
    options = settings(optimiser=optimiser, learning_rate=0.01, epochs=4)
    trained = train_small(patterns((20, 20, 20), 1), options)
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_diverging_training_raises_error() -> None:
    options = settings(optimiser="sgd", learning_rate=1e30, epochs=3)
    with pytest.raises(UsageError, match="diverged") as caught:
        train_small(patterns((8, 8, 8), 1), options)
    assert "learning_rate" in caught.value.fix


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_loader_workers_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "count_cores", lambda: 3)
    samples = ImageSamples(patterns((9, 9, 9), 1), "characters")
    keys = list[BatchKey]()
    loader = make_batch_loader(samples, 5, keys, on_gpu=True)
    assert loader.num_workers == 2
    for epoch in (1, 2):
        plan = make_shuffled_sampler(27, 8)(np.random.default_rng(epoch))
        keys[:] = [(epoch, number, index) for number, index in enumerate(plan)]
        expected = [Batches(samples, 5)[place] for place in keys]
        for (x, y), (expected_x, expected_y) in zip(loader, expected, strict=True):
            assert torch.equal(x, expected_x)
            assert torch.equal(y, expected_y)


def test_frozen_weights_train_after_frozen_epochs() -> None:
    options = settings(epochs=3)
    with reproducible(0):
        net = SmallNet(options, 3)
    features = net.get_submodule("features")
    before = {name: value.clone() for name, value in features.state_dict().items()}
    unchanged: list[bool] = []

    class Watch(TrainingCallback):
        def on_epoch_end(self, report: EpochReport) -> None:
            now = features.state_dict()
            unchanged.append(
                all(torch.equal(now[name], value) for name, value in before.items())
            )

    task = make_classifier_task(net, patterns((9, 9, 9), 1), none(), options)
    train_network(task._replace(frozen=features, frozen_epochs=2), Watch(), None)
    assert unchanged == [True, True, False]


def test_training_writes_log(tmp_path: Path) -> None:
    pictures = patterns((30, 30, 30), 1)
    options = settings(epochs=3)
    task = make_classifier_task(
        SmallNet(options, 3), pictures, patterns((9, 9, 9), 2), options
    )
    with RunLogger(tmp_path, NO_PROGRESS, print) as callback:
        fitted = train_network(task, callback, tmp_path / "checkpoint")
    log = (tmp_path / LOG).read_text()
    assert f"epoch 3/3: loss {fitted.history[-1].train_loss:.3f}" in log
    assert load_checkpoint(tmp_path / "checkpoint") is not None
    remove_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_out_of_memory_hints_at_batch_size() -> None:
    options = settings(batch=32)
    net = nn.Linear(1, 3)
    net.forward = Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))  # type: ignore[method-assign]
    task = make_classifier_task(net, patterns((40, 40, 40), 1), none(), options)
    with pytest.raises(
        UsageError, match="out of memory with 10 images at once"
    ) as caught:
        train_network(task, TrainingCallback(), None)
    assert "-o batch=" in caught.value.fix
