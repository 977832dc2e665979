"""The parts of the loop: plans, the feeder, the course of the rates, the range test, the log."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from drawn_patterns import CLASSES, none, patterns
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train.curves import CURVES, draw_curves
from baseline.train.loop import checkpoint
from baseline.train.loop.callbacks import RateTest
from baseline.train.loop.checkpoint import forget_checkpoint, load_checkpoint
from baseline.train.loop.classifier import train_classifier
from baseline.train.loop.dataset import BatchLoader, FeatureSamples, LabelledSamples, PictureSamples
from baseline.train.loop.lr_schedule import HIGHEST, LOWEST, LearningRateSchedule, chosen
from baseline.train.loop.objective import Classify
from baseline.train.loop.samplers import balanced, classes_by_pictures, shuffled
from baseline.train.loop.trainer import train_network
from baseline.train.networks import build_net
from baseline.train.run_logger import EVENTS, LOG, RunLogger

SMALL = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "16", "epochs": "3"}


def settings(**changes: object) -> Simple:
    made = load_preset("simple", SMALL)
    assert isinstance(made, Simple)
    return msgspec.structs.replace(made, **changes)


def test_shuffled_has_every_sample_once() -> None:
    plan = shuffled(50, 16)(np.random.default_rng(0))
    assert sorted(np.concatenate(plan).tolist()) == list(range(50))
    assert [len(part) for part in plan] == [13, 13, 12, 12]


def test_balanced_draws_all_classes_alike_and_no_sample_twice_more_than_another() -> None:
    y = np.repeat([0, 1, 2], [60, 9, 6]).astype(np.int64)
    drawn = np.concatenate(balanced(y, 16)(np.random.default_rng(0)))
    assert len(drawn) == 75
    assert np.bincount(y[drawn]).tolist() == [25, 25, 25]
    for name in range(3):
        counts = np.bincount(drawn, minlength=75)[y == name]
        assert counts.max() - counts.min() <= 1


def test_batches_of_classes_by_pictures() -> None:
    y = np.repeat(np.arange(6), [10, 3, 8, 8, 20, 1]).astype(np.int64)
    plan = classes_by_pictures(y, 4, 4)
    for seed in range(3):
        batches = plan(np.random.default_rng(seed))
        assert len(batches) == round(50 / 16)
        for index in batches:
            labels = y[index].reshape(4, 4)
            assert (labels == labels[:, :1]).all()
            assert len(set(labels[:, 0].tolist())) >= 3
    few = classes_by_pictures(np.array([0, 0, 1, 1]), 8, 2)(np.random.default_rng(0))
    assert [len(index) for index in few] == [4]


def test_the_feeder_keeps_the_order_and_counts_waiting() -> None:
    def slow(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0.0)
        return number * 10

    feeder = BatchLoader(slow, range(3, 9), threads=3)
    assert list(feeder) == [(n, n * 10) for n in range(3, 9)]
    assert feeder.take_waited() > 0.005
    assert feeder.take_waited() == 0


def test_a_feeder_that_fails_tells_and_leaves_no_thread() -> None:
    def broken(number: int) -> int:
        if number == 2:
            raise ValueError("no batch")
        return number

    with pytest.raises(ValueError, match="no batch"):
        list(BatchLoader(broken, range(9)))
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_what_is_frozen_rests_and_then_rises_from_nothing() -> None:
    net = build_net(settings(), 3)
    features = net.get_submodule("features")
    course = LearningRateSchedule(net, settings(epochs=4), steps=10, frozen=features, epochs=2)
    course.begin_epoch(1)
    course.set_rates(1.0, 12)
    assert [group["lr"] > 0 for group in course.optimiser.param_groups] == [True, False]
    assert not features.training
    assert not any(weight.requires_grad for weight in features.parameters())
    course.begin_epoch(3)
    course.set_rates(1.0, 20)
    head, body = (group["lr"] for group in course.optimiser.param_groups)
    assert 0 < body < head
    assert features.training
    assert all(weight.requires_grad for weight in features.parameters())


def test_frozen_weights_stay_as_they_are() -> None:
    wish = settings(epochs=2)
    with reproducible(0):
        net = build_net(wish, 3)
    features = net.get_submodule("features")
    before = {name: value.clone() for name, value in features.state_dict().items()}
    train_classifier(
        net, patterns((9, 9, 9), 1), none(), CLASSES, wish, frozen=features, frozen_epochs=2
    )
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())


def test_the_range_test_takes_a_rate_below_the_best() -> None:
    rates = np.geomspace(1e-6, 1, 7)
    assert chosen(rates, [2.0, 2.0, 1.9, 1.5, 0.9, 1.8, 9.0]) == pytest.approx(2.5e-3)
    assert chosen(rates, []) == LOWEST


def test_events_are_written_by_the_thread_that_trains(tmp_path: Path) -> None:
    """A queue to another thread is one that Ctrl-C can break: then closing waits for ever."""
    before = threading.active_count()
    with RunLogger(tmp_path) as watch:
        watch.rate_test(RateTest((0.1, 0.2), (2.0, 1.0), 0.1))
        assert threading.active_count() == before
    read = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [event.value for event in read.Scalars("rate_test/loss")] == [2.0, 1.0]


def test_a_rate_of_nought_is_found_and_learns(tmp_path: Path) -> None:
    wish = settings(learning_rate=0.0, epochs=6, dropout=0.0)
    with reproducible(0):
        net = build_net(wish, 3)
    with RunLogger(tmp_path) as watch:
        fitted = train_classifier(
            net,
            patterns((30, 30, 30), 1),
            patterns((9, 9, 9), 2),
            CLASSES,
            wish,
            watch=watch,
            place=tmp_path / "checkpoint",
        )
    rate = fitted.facts["learning_rate"]
    assert LOWEST < rate < HIGHEST
    assert fitted.facts["rate_found"]
    assert fitted.history[-1].train_accuracy > 0.8
    assert watch.test is not None
    assert watch.test.chosen == rate
    log = (tmp_path / LOG).read_text()
    assert f"learning rate {rate:g}, found by a range test" in log
    assert f"epoch 6/6: loss {fitted.history[-1].train_loss:.3f}" in log
    read = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    told = [(event.step, event.value) for event in read.Scalars("epoch/train_loss")]
    assert told == [(e.epoch, pytest.approx(e.train_loss)) for e in fitted.history]
    assert len(read.Scalars("rate_test/loss")) == len(watch.test.losses)
    draw_curves(tmp_path, fitted.history, fitted.best_epoch, watch.test)
    with Image.open(tmp_path / CURVES) as drawn:
        assert drawn.width > 2 * drawn.height
    assert load_checkpoint(tmp_path / "checkpoint") is not None
    forget_checkpoint(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_data_is_ready_before_it_is_needed() -> None:
    fitted = train_classifier(
        build_net(settings(), 3), patterns((60, 60, 60), 1), none(), CLASSES, settings()
    )
    waits = [report.data_wait for report in fitted.history]
    assert all(0 <= wait < 0.5 for wait in waits)
    assert math.isclose(
        fitted.facts["data_wait"],
        np.average(waits, weights=[report.seconds for report in fitted.history]),
    )


def test_materials_give_plain_samples_without_a_generator() -> None:
    arrays = patterns((3, 3, 3), 1)
    index = np.array([4, 0], np.int64)
    plain = PictureSamples(arrays, "characters").take(index, None)
    assert np.array_equal(plain.numpy(), arrays.x[index])
    x = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    vectors = FeatureSamples(x, np.array([0, 1, 2], np.int64))
    assert np.array_equal(vectors.take(index % 3, None).numpy(), x[index % 3, 0])
    views = [vectors.take(np.array([1], np.int64), np.random.default_rng(s)) for s in range(20)]
    assert {float(view[0, 0]) for view in views} == {8.0, 10.0, 12.0, 14.0}


class Interrupts(Classify):
    """Ends the program behind the last step of the second epoch."""

    calls = 0

    def judge(
        self, net: torch.nn.Module, material: LabelledSamples, batch: int
    ) -> tuple[float, float]:
        type(self).calls += 1
        if type(self).calls == 2:
            raise KeyboardInterrupt
        return Classify.judge(self, net, material, batch)


def test_taken_up_behind_the_last_step_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_SAVES", 0)
    monkeypatch.setattr(checkpoint, "REST_PER_SAVE", 0)
    arrays, wish = patterns((12, 12, 12), 1), settings(optimiser="sgd")

    def go(place: Path, objective: Classify) -> list[tuple[float, float | None, float]]:
        with reproducible(0):
            net = build_net(wish, 3)
        fitted = train_network(
            net,
            PictureSamples(arrays),
            objective,
            shuffled(36, 8),
            wish,
            val=PictureSamples(arrays),
            place=place,
        )
        return [(e.train_loss, e.val_loss, e.learning_rate) for e in fitted.history]

    calm = go(tmp_path / "calm", Classify(torch.ones(3)))
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", Interrupts(torch.ones(3)))
    found = load_checkpoint(tmp_path / "stopped")
    assert found is not None
    assert (found[1]["epoch"], found[1]["step"]) == (2, 5)
    assert go(tmp_path / "stopped", Interrupts(torch.ones(3))) == calm
