"""The loop of gradient descent: epoch by epoch, watched on val, saved now and then.

On the CPU the same seed, settings, samples and machine give the same figures to the last digit,
whether it ran in one go or was killed and taken up: each step draws its random numbers by its
own place in the training (`baseline.train.loop.seeds`).
"""

from __future__ import annotations

import copy
import math
import time
from contextlib import closing
from pathlib import Path
from typing import Generic

import torch
from torch import nn

from baseline.features.batching import BatchSize
from baseline.features.compute import choose_compute, reproducible
from baseline.judge.run_figures import EpochReport
from baseline.settings import DescentSettings
from baseline.train.loop.callbacks import (
    Network,
    StepReport,
    TrainingCallback,
    TrainingResult,
)
from baseline.train.loop.checkpoint import Checkpointer, TrainingState, training_tag
from baseline.train.loop.dataset import BatchLoader, LabelledSamples
from baseline.train.loop.lr_schedule import LearningRateSchedule, build_optimiser, find_rate
from baseline.train.loop.objective import Objective
from baseline.train.loop.samplers import BatchSampler, Index
from baseline.train.loop.seeds import random_at, seed_at
from baseline.train.loop.steps import Stepper, no_memory
from gleanset.errors import InputUnusable, UsageError
from gleanset.platform import cores

TICK = 0.25
"""Seconds between two looks at how the epoch goes: on a GPU every look makes it wait."""
VALIDATION_BATCH = 128
"""Samples at once in validation: a bound on memory, halved where that is too much."""
MAX_THREADS = 8
MIN_VAL_TO_STOP = 50
"""Validation samples under which nothing is stopped or chosen by their loss: of six photos it is
noise, and ended trainings after a third of their course (docs/experiments.md)."""

_KEPT = "all epochs are gone through and the last weights kept"


def train_network(
    net: Network,
    train: LabelledSamples,
    objective: Objective,
    sampler: BatchSampler,
    settings: DescentSettings,
    *,
    val: LabelledSamples | None = None,
    watch: TrainingCallback | None = None,
    place: Path | None = None,
    frozen: nn.Module | None = None,
    frozen_epochs: int = 0,
) -> TrainingResult[Network]:
    """Train `net` (in place) on `train`, watch it on `val`, and put its best weights back.

    With fewer than `MIN_VAL_TO_STOP` samples in `val` there is no early stopping and the last
    weights are kept: the rate has fallen to nothing by then. `frozen`
    is a part of `net` that does not learn in the first `frozen_epochs`. `place` is a folder for
    checkpoints: a training that was killed goes on from there, and the last one stays until
    `forget_checkpoint`. Raises UsageError where the settings make the loss infinite,
    InputUnusable where the memory never suffices.
    """
    with reproducible(settings.seed):
        run = _Trainer(net, train, objective, sampler, settings, val, watch or TrainingCallback())
        run.prepare(frozen, frozen_epochs, place)
        try:
            run.carry_out()
        except MemoryError as error:
            raise InputUnusable(
                "the memory does not suffice for a batch", "take a smaller one: -o batch=…"
            ) from error
        return run.finish()


class _Trainer(Generic[Network]):
    """The moving parts of one training."""

    def __init__(
        self,
        net: Network,
        train: LabelledSamples,
        objective: Objective,
        sampler: BatchSampler,
        settings: DescentSettings,
        val: LabelledSamples | None,
        watch: TrainingCallback,
    ) -> None:
        self.compute = choose_compute(settings.precision)
        self.net = net.to(self.compute.device)
        self.train, self.objective, self.sampler, self.settings = (
            train,
            objective,
            sampler,
            settings,
        )
        self.val = val if val is not None and len(val.y) else None
        self.stops_early = self.val is not None and len(self.val.y) >= MIN_VAL_TO_STOP
        self.watch = watch
        first = sampler(random_at(settings.seed, 1))
        self.steps, self.images = len(first), sum(len(index) for index in first)
        self.val_batch = BatchSize(VALIDATION_BATCH, no_memory)
        self.state = TrainingState(torch.zeros(4, dtype=torch.float64, device=self.compute.device))

    def prepare(self, frozen: nn.Module | None, epochs: int, place: Path | None) -> None:
        """Make what moves the weights, and what saves them."""
        self.schedule = LearningRateSchedule(self.net, self.settings, self.steps, frozen, epochs)
        self.stepper = self._stepper(self.net, self.schedule.optimiser)
        val = b"" if self.val is None else self.val.y.tobytes()
        tag = training_tag(self.net, self.settings, epochs, self.train.y.tobytes(), val)
        self.checkpointer = Checkpointer(place, tag, self.stepper)

    def _stepper(self, net: nn.Module, optimiser: torch.optim.Optimizer) -> Stepper:
        return Stepper(net, self.objective, optimiser, self.compute, self.watch.say)

    def carry_out(self) -> None:
        """Train from the last checkpoint, or the beginning, to the last epoch."""
        state = self.state
        if self.checkpointer.resume(state):
            self.watch.say(
                f"taken up in epoch {state.epoch} after {state.step} of {self.steps} steps"
            )
            if state.test is not None:
                self.watch.rate_test(state.test)
        elif self.settings.learning_rate:
            state.rate = self.settings.learning_rate
        else:
            self._find_rate()
        if self.val is not None and not self.stops_early:
            self.watch.say(f"val has {len(self.val.y)} pictures, too few to stop by: {_KEPT}")
        self.watch.begin(self.images, self.settings.epochs, self._seen())
        while state.epoch <= self.settings.epochs and not self._patience_lost():
            self._epoch()
            state.next_epoch()
            self.checkpointer.save_if_due(state)
        self.checkpointer.save(state)

    def _find_rate(self) -> None:
        trial = copy.deepcopy(self.net).train()
        stepper = self._stepper(trial, build_optimiser([list(trial.parameters())], self.settings))
        self.state.test = find_rate(stepper, self.train, self.sampler, self.settings.seed)
        self.state.rate, self.stepper.part = self.state.test.chosen, stepper.part
        self.watch.say(f"learning rate {self.state.rate:g}, found by a range test")
        self.watch.rate_test(self.state.test)

    def _epoch(self) -> None:
        """Train for the rest of the epoch, then validate."""
        state = self.state
        self.schedule.begin_epoch(state.epoch)
        self._learn(self.sampler(random_at(self.settings.seed, state.epoch)))
        # Of the last step, which a kill may have fallen behind.
        self.schedule.set_rates(state.rate, state.epoch * self.steps - 1)
        loss, accuracy = self._so_far()
        self._check_finite(loss)
        val_loss, val_accuracy = self._validate()
        report = EpochReport(
            state.epoch,
            loss,
            accuracy,
            val_loss,
            val_accuracy,
            state.seconds,
            self.images / state.seconds,
            state.waited / state.seconds,
            self.schedule.rate,
        )
        state.history.append(report)
        self._keep_best(report)
        self.watch.epoch(report)

    def _learn(self, plan: list[Index]) -> None:
        state, seed = self.state, self.settings.seed

        def make(number: int) -> tuple[torch.Tensor, torch.Tensor]:
            index = plan[number]
            x = self.train.take(index, random_at(seed, state.epoch, number))
            y = torch.from_numpy(self.train.y[index])
            return (x.pin_memory(), y.pin_memory()) if self._on_gpu else (x, y)

        feeder = BatchLoader(make, range(state.step, len(plan)), self._threads)
        clock = looked = time.perf_counter()
        with closing(iter(feeder)) as made:
            for number, (x, y) in made:
                self.schedule.set_rates(state.rate, (state.epoch - 1) * self.steps + number)
                state.sums += self.stepper.step(x, y, seed_at(seed, state.epoch, number))
                state.step = number + 1
                if time.perf_counter() - looked > TICK:
                    looked = time.perf_counter()
                    self._tick()
                state.seconds += time.perf_counter() - clock
                state.waited += feeder.take_waited()
                self.checkpointer.save_if_due(state)
                clock = time.perf_counter()
        self._so_far()  # on a GPU: wait for it, so that the time is true
        state.seconds += time.perf_counter() - clock

    @property
    def _on_gpu(self) -> bool:
        return self.compute.device.type == "cuda"

    @property
    def _threads(self) -> int:
        # On the CPU the network needs the cores itself.
        return max(1, min(MAX_THREADS, cores() - 1)) if self._on_gpu else 1

    def _tick(self) -> None:
        loss, accuracy = self._so_far()
        step = (self.state.epoch - 1) * self.steps + self.state.step
        self.watch.tick(
            StepReport(self.state.epoch, step, self._seen(), loss, accuracy, self.schedule.rate)
        )

    def _seen(self) -> int:
        state = self.state
        return (state.epoch - 1) * self.images + state.step * self.images // self.steps

    def _so_far(self) -> tuple[float, float]:
        """Return loss and accuracy of the epoch, so far."""
        loss, weight, right, count = self.state.sums.tolist()
        return (loss / weight, right / count) if count else (math.nan, math.nan)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"Training went astray in epoch {self.state.epoch}: the loss is {loss}.",
                f"Learn slower: -o learning_rate={self.state.rate / 10:g}",
            )

    def _validate(self) -> tuple[float | None, float | None]:
        if self.val is None:
            return None, None
        self.net.eval()
        judged = None
        while judged is None:
            size = self.val_batch.size
            judged = self.val_batch.attempt(size, self.objective.judge, self.net, self.val, size)
        return judged

    def _keep_best(self, report: EpochReport) -> None:
        loss = report.val_loss if self.stops_early else None
        if loss is not None and not loss < self.state.best_loss:
            return
        self.state.best_epoch = report.epoch
        self.state.best_loss = math.inf if loss is None else loss
        self.state.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def _patience_lost(self) -> bool:
        """Return whether val has not improved for `patience` epochs with all weights awake."""
        done = len(self.state.history)
        since = max(self.state.best_epoch, self.schedule.resting_epochs)
        return self.stops_early and done - since >= self.settings.patience

    def finish(self) -> TrainingResult[Network]:
        """Put the best weights back, and return the network ready to predict."""
        state = self.state
        self.net.load_state_dict(state.best)
        self.net.requires_grad_(True)
        facts = {
            "learning_rate": state.rate,
            "rate_found": state.test is not None,
            "steps_per_epoch": self.steps,
            "at_once": self.stepper.part,
            "data_wait": sum(e.data_wait * e.seconds for e in state.history)
            / sum(e.seconds for e in state.history),
        }
        return TrainingResult(
            self.net.eval(),
            tuple(state.history),
            state.best_epoch,
            len(state.history) < self.settings.epochs,
            self.stops_early,
            str(self.compute.device),
            self.compute.name,
            facts,
        )
