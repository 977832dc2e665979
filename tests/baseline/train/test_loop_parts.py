"""The parts of the loop: batches, what rests, the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from drawn_patterns import none, patterns
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from baseline.data.runs import remove_checkpoint
from baseline.evaluation.run_metrics import EpochReport
from baseline.features.backbone import is_out_of_memory
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train import batches, loop
from baseline.train.batches import (
    Batches,
    BatchKey,
    CrossEntropyObjective,
    FeatureSamples,
    ImageSamples,
    LabelledSamples,
    balanced_batches,
    batch_loader,
    class_batches,
    shuffled_batches,
)
from baseline.train.callbacks import EVENTS, LOG, RunLogger, TrainingCallback
from baseline.train.loop import TrainingTask, load_checkpoint, make_classifier_task, train_network
from baseline.train.networks import build_net
from gleanset.errors import UsageError

SMALL = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "16", "epochs": "3"}


def settings(**changes: object) -> Simple:
    made = load_preset("simple", SMALL)
    assert isinstance(made, Simple)
    return msgspec.structs.replace(made, **changes)


def test_shuffled_has_every_sample_once() -> None:
    plan = shuffled_batches(50, 16)(np.random.default_rng(0))
    assert sorted(np.concatenate(plan).tolist()) == list(range(50))
    assert [len(part) for part in plan] == [13, 13, 12, 12]


def test_balanced_draws_all_classes_alike_and_no_sample_twice_more_than_another() -> None:
    y = np.repeat([0, 1, 2], [60, 9, 6]).astype(np.int64)
    drawn = np.concatenate(balanced_batches(y, 16)(np.random.default_rng(0)))
    assert len(drawn) == 75
    assert np.bincount(y[drawn]).tolist() == [25, 25, 25]
    for name in range(3):
        counts = np.bincount(drawn, minlength=75)[y == name]
        assert counts.max() - counts.min() <= 1


def test_batches_of_classes_by_pictures() -> None:
    y = np.repeat(np.arange(6), [10, 3, 8, 8, 20, 1]).astype(np.int64)
    plan = class_batches(y, 4, 4)
    for seed in range(3):
        batches = plan(np.random.default_rng(seed))
        assert len(batches) == round(50 / 16)
        for index in batches:
            labels = y[index].reshape(4, 4)
            assert (labels == labels[:, :1]).all()
            assert len(set(labels[:, 0].tolist())) >= 3
    few = class_batches(np.array([0, 0, 1, 1]), 8, 2)(np.random.default_rng(0))
    assert [len(index) for index in few] == [4]


@pytest.mark.filterwarnings("ignore:.*pin_memory")
def test_worker_processes_load_the_batches_of_each_epoch_as_this_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "count_cores", lambda: 3)
    samples, places = ImageSamples(patterns((9, 9, 9), 1), "characters"), list[BatchKey]()
    loader = batch_loader(samples, 5, places, on_gpu=True)
    assert loader.num_workers == 2
    for epoch in (1, 2):
        plan = shuffled_batches(27, 8)(np.random.default_rng(epoch))
        places[:] = [(epoch, number, index) for number, index in enumerate(plan)]
        here = [Batches(samples, 5)[place] for place in places]
        for (x, y), (x_here, y_here) in zip(loader, here, strict=True):
            assert torch.equal(x, x_here)
            assert torch.equal(y, y_here)


def test_frozen_weights_rest_and_then_learn() -> None:
    wish = settings(epochs=3)
    with reproducible(0):
        net = build_net(wish, 3)
    features = net.get_submodule("features")
    before = {name: value.clone() for name, value in features.state_dict().items()}
    alike: list[bool] = []

    class Watch(TrainingCallback):
        def on_epoch_end(self, report: EpochReport) -> None:
            now = features.state_dict()
            alike.append(all(torch.equal(now[name], value) for name, value in before.items()))

    task = make_classifier_task(net, patterns((9, 9, 9), 1), none(), wish)
    train_network(replace(task, frozen=features, frozen_epochs=2), Watch())
    assert alike == [True, True, False]


def test_a_training_leaves_a_log_and_events(tmp_path: Path) -> None:
    pictures, wish = patterns((30, 30, 30), 1), settings()
    task = make_classifier_task(build_net(wish, 3), pictures, patterns((9, 9, 9), 2), wish)
    with RunLogger(tmp_path) as callback:
        fitted = train_network(task, callback, tmp_path / "checkpoint")
    log = (tmp_path / LOG).read_text()
    assert f"epoch 3/3: loss {fitted.history[-1].train_loss:.3f}" in log
    read = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    points = [(event.step, event.value) for event in read.Scalars("epoch/train_loss")]
    assert points == [(e.epoch, pytest.approx(e.train_loss)) for e in fitted.history]
    assert load_checkpoint(tmp_path / "checkpoint") is not None
    remove_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_ctrl_c_in_a_write_of_events_ends_the_training(tmp_path: Path) -> None:
    """The writer's queue then has nobody to empty it: closing it would wait for ever."""

    def interrupted() -> None:
        with RunLogger(tmp_path) as callback:
            callback.on_train_begin(1, 1, 0)
            assert callback._events is not None
            events = callback._events.file_writer.event_writer
            events._async_writer._byte_queue.unfinished_tasks += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "stopped by KeyboardInterrupt" in (tmp_path / LOG).read_text()


def test_materials_give_plain_samples_without_a_generator() -> None:
    arrays = patterns((3, 3, 3), 1)
    index = np.array([4, 0], np.int64)
    plain = ImageSamples(arrays, "characters").load(index, None)
    assert np.array_equal(plain.numpy(), arrays.x[index])
    x = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    vectors = FeatureSamples(x, np.array([0, 1, 2], np.int64))
    assert np.array_equal(vectors.load(index % 3, None).numpy(), x[index % 3, 0])
    views = [vectors.load(np.array([1], np.int64), np.random.default_rng(s)) for s in range(20)]
    assert {float(view[0, 0]) for view in views} == {8.0, 10.0, 12.0, 14.0}


class Interrupts(CrossEntropyObjective):
    """Ends the program in the validation of the second epoch."""

    calls = 0

    def evaluate(
        self, net: torch.nn.Module, material: LabelledSamples, batch: int
    ) -> tuple[float, float]:
        type(self).calls += 1
        if type(self).calls == 2:
            raise KeyboardInterrupt
        return CrossEntropyObjective.evaluate(self, net, material, batch)


def test_a_stopped_training_is_resumed_after_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0)
    arrays, wish = patterns((12, 12, 12), 1), settings(optimiser="sgd")

    def go(
        place: Path, objective: CrossEntropyObjective
    ) -> list[tuple[float, float | None, float]]:
        with reproducible(0):
            net = build_net(wish, 3)
        seen = ImageSamples(arrays)
        task = TrainingTask(net, seen, objective, shuffled_batches(36, 8), wish, seen)
        fitted = train_network(task, checkpoint_folder=place)
        return [(e.train_loss, e.val_loss, e.learning_rate) for e in fitted.history]

    calm = go(tmp_path / "calm", CrossEntropyObjective(torch.ones(3)))
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", Interrupts(torch.ones(3)))
    saved = load_checkpoint(tmp_path / "stopped")
    assert saved is not None
    assert saved[1]["figures"]["epoch"] == 2
    assert go(tmp_path / "stopped", Interrupts(torch.ones(3))) == calm


class Narrow(nn.Module):
    """A network on a device without memory for a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_too_little_memory_for_a_batch_says_what_to_change() -> None:
    settings = load_preset("simple", {"size": "32", "batch": "32", "epochs": "2"})
    assert isinstance(settings, Simple)
    with pytest.raises(UsageError, match="out of memory with 10 images at once") as caught:
        train_network(make_classifier_task(Narrow(), patterns((40, 40, 40), 1), none(), settings))
    assert "-o batch=" in caught.value.fix


def test_what_says_that_memory_is_full() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for conv"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
