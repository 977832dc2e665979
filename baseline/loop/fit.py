"""The loop of gradient descent: epoch by epoch, watched on val, saved now and then.

On the CPU the same seed, settings, samples and machine give the same figures to the last digit,
whether it ran in one go or was killed and taken up: each step draws its random numbers by its
own place in the training (`baseline.loop.seeds`).
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

from baseline.batching import BatchSize
from baseline.compute import choose_compute, reproducible
from baseline.loop.course import Course
from baseline.loop.feeder import Feeder
from baseline.loop.materials import Material
from baseline.loop.objective import Objective
from baseline.loop.plans import Index, Plan
from baseline.loop.rates import find_rate
from baseline.loop.reports import EpochReport, Fitted, Network, Tick, Watch
from baseline.loop.seeds import random_at, seed_at
from baseline.loop.state import Place, Saver, tag_of
from baseline.loop.steps import Stepper, no_memory
from baseline.optimiser import Descent, build_optimiser
from gleanset.errors import InputUnusable, UsageError
from gleanset.platform import cores

TICK = 0.25
"""Seconds between two looks at how the epoch goes: on a GPU every look makes it wait."""
JUDGED = 128
"""Samples at once in validation: a bound on memory, halved where that is too much."""
MOST_THREADS = 8
LEAST_TO_STEER = 50
"""Validation samples under which nothing is stopped or chosen by their loss: of six photos it is
noise, and ended trainings after a third of their course (docs/experiments.md)."""

_KEPT = "all epochs are gone through and the last weights kept"


def fit(
    net: Network,
    train: Material,
    objective: Objective,
    plan: Plan,
    settings: Descent,
    *,
    val: Material | None = None,
    watch: Watch | None = None,
    place: Path | None = None,
    frozen: nn.Module | None = None,
    frozen_epochs: int = 0,
) -> Fitted[Network]:
    """Train `net` (in place) on `train`, watch it on `val`, and put its best weights back.

    With fewer than `LEAST_TO_STEER` samples in `val` there is no early stopping and the last
    weights are kept: the rate has fallen to nothing by then. `frozen`
    is a part of `net` that does not learn in the first `frozen_epochs`. `place` is a folder for
    checkpoints: a training that was killed goes on from there, and the last one stays until
    `forget_checkpoint`. Raises UsageError where the settings make the loss infinite,
    InputUnusable where the memory never suffices.
    """
    with reproducible(settings.seed):
        run = _Run(net, train, objective, plan, settings, val, watch or Watch())
        run.prepare(frozen, frozen_epochs, place)
        try:
            run.carry_out()
        except MemoryError as error:
            raise InputUnusable(
                "the memory does not suffice for a batch", "take a smaller one: -o batch=…"
            ) from error
        return run.finish()


class _Run(Generic[Network]):
    """The moving parts of one training."""

    def __init__(
        self,
        net: Network,
        train: Material,
        objective: Objective,
        plan: Plan,
        settings: Descent,
        val: Material | None,
        watch: Watch,
    ) -> None:
        self.compute = choose_compute(settings.precision)
        self.net = net.to(self.compute.device)
        self.train, self.objective, self.plan, self.settings = train, objective, plan, settings
        self.val = val if val is not None and len(val.y) else None
        self.steered = self.val is not None and len(self.val.y) >= LEAST_TO_STEER
        self.watch = watch
        first = plan(random_at(settings.seed, 1))
        self.steps, self.images = len(first), sum(len(index) for index in first)
        self.judged = BatchSize(JUDGED, no_memory)
        self.at = Place(torch.zeros(4, dtype=torch.float64, device=self.compute.device))

    def prepare(self, frozen: nn.Module | None, epochs: int, place: Path | None) -> None:
        """Make what moves the weights, and what saves them."""
        self.course = Course(self.net, self.settings, self.steps, frozen, epochs)
        self.stepper = self._stepper(self.net, self.course.optimiser)
        val = b"" if self.val is None else self.val.y.tobytes()
        tag = tag_of(self.net, self.settings, epochs, self.train.y.tobytes(), val)
        self.saver = Saver(place, tag, self.stepper)

    def _stepper(self, net: nn.Module, optimiser: torch.optim.Optimizer) -> Stepper:
        return Stepper(net, self.objective, optimiser, self.compute, self.watch.say)

    def carry_out(self) -> None:
        """From where the last checkpoint is, or the beginning, to the last epoch."""
        at = self.at
        if self.saver.resume(at):
            self.watch.say(f"taken up in epoch {at.epoch} after {at.step} of {self.steps} steps")
            if at.test is not None:
                self.watch.rate_test(at.test)
        elif self.settings.learning_rate:
            at.rate = self.settings.learning_rate
        else:
            self._find_rate()
        if self.val is not None and not self.steered:
            self.watch.say(f"val has {len(self.val.y)} pictures, too few to stop by: {_KEPT}")
        self.watch.begin(self.images, self.settings.epochs, self._seen())
        while at.epoch <= self.settings.epochs and not self._patience_lost():
            self._epoch()
            at.next_epoch()
            self.saver.save_if_due(at)
        self.saver.save(at)

    def _find_rate(self) -> None:
        trial = copy.deepcopy(self.net).train()
        stepper = self._stepper(trial, build_optimiser([list(trial.parameters())], self.settings))
        self.at.test = find_rate(stepper, self.train, self.plan, self.settings.seed)
        self.at.rate, self.stepper.part = self.at.test.chosen, stepper.part
        self.watch.say(f"learning rate {self.at.rate:g}, found by a range test")
        self.watch.rate_test(self.at.test)

    def _epoch(self) -> None:
        """What is left of the epoch, then its validation."""
        at = self.at
        self.course.begin_epoch(at.epoch)
        self._learn(self.plan(random_at(self.settings.seed, at.epoch)))
        # Of the last step, which a kill may have fallen behind.
        self.course.set_rates(at.rate, at.epoch * self.steps - 1)
        loss, accuracy = self._so_far()
        self._check_finite(loss)
        val_loss, val_accuracy = self._validate()
        report = EpochReport(
            at.epoch,
            loss,
            accuracy,
            val_loss,
            val_accuracy,
            at.seconds,
            self.images / at.seconds,
            at.waited / at.seconds,
            self.course.rate,
        )
        at.history.append(report)
        self._keep_best(report)
        self.watch.epoch(report)

    def _learn(self, plan: list[Index]) -> None:
        at, seed = self.at, self.settings.seed

        def make(number: int) -> tuple[torch.Tensor, torch.Tensor]:
            index = plan[number]
            x = self.train.take(index, random_at(seed, at.epoch, number))
            y = torch.from_numpy(self.train.y[index])
            return (x.pin_memory(), y.pin_memory()) if self._on_gpu else (x, y)

        feeder = Feeder(make, range(at.step, len(plan)), self._threads)
        clock = looked = time.perf_counter()
        with closing(iter(feeder)) as made:
            for number, (x, y) in made:
                self.course.set_rates(at.rate, (at.epoch - 1) * self.steps + number)
                at.sums += self.stepper.step(x, y, seed_at(seed, at.epoch, number))
                at.step = number + 1
                if time.perf_counter() - looked > TICK:
                    looked = time.perf_counter()
                    self._tick()
                at.seconds += time.perf_counter() - clock
                at.waited += feeder.take_waited()
                self.saver.save_if_due(at)
                clock = time.perf_counter()
        self._so_far()  # on a GPU: wait for it, so that the time is true
        at.seconds += time.perf_counter() - clock

    @property
    def _on_gpu(self) -> bool:
        return self.compute.device.type == "cuda"

    @property
    def _threads(self) -> int:
        # On the CPU the network needs the cores itself.
        return max(1, min(MOST_THREADS, cores() - 1)) if self._on_gpu else 1

    def _tick(self) -> None:
        loss, accuracy = self._so_far()
        step = (self.at.epoch - 1) * self.steps + self.at.step
        self.watch.tick(Tick(self.at.epoch, step, self._seen(), loss, accuracy, self.course.rate))

    def _seen(self) -> int:
        at = self.at
        return (at.epoch - 1) * self.images + at.step * self.images // self.steps

    def _so_far(self) -> tuple[float, float]:
        """Loss and accuracy of the epoch, so far."""
        loss, weight, right, count = self.at.sums.tolist()
        return (loss / weight, right / count) if count else (math.nan, math.nan)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"Training went astray in epoch {self.at.epoch}: the loss is {loss}.",
                f"Learn slower: -o learning_rate={self.at.rate / 10:g}",
            )

    def _validate(self) -> tuple[float | None, float | None]:
        if self.val is None:
            return None, None
        self.net.eval()
        judged = None
        while judged is None:
            size = self.judged.size
            judged = self.judged.attempt(size, self.objective.judge, self.net, self.val, size)
        return judged

    def _keep_best(self, report: EpochReport) -> None:
        loss = report.val_loss if self.steered else None
        if loss is not None and not loss < self.at.best_loss:
            return
        self.at.best_epoch = report.epoch
        self.at.best_loss = math.inf if loss is None else loss
        self.at.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def _patience_lost(self) -> bool:
        """Whether validation has not improved for `patience` epochs with all weights awake."""
        done = len(self.at.history)
        since = max(self.at.best_epoch, self.course.resting_epochs)
        return self.steered and done - since >= self.settings.patience

    def finish(self) -> Fitted[Network]:
        """The best weights put back, ready to predict."""
        at = self.at
        self.net.load_state_dict(at.best)
        self.net.requires_grad_(True)
        facts = {
            "learning_rate": at.rate,
            "rate_found": at.test is not None,
            "steps_per_epoch": self.steps,
            "at_once": self.stepper.part,
            "data_wait": sum(e.data_wait * e.seconds for e in at.history)
            / sum(e.seconds for e in at.history),
        }
        return Fitted(
            self.net.eval(),
            tuple(at.history),
            at.best_epoch,
            len(at.history) < self.settings.epochs,
            self.steered,
            str(self.compute.device),
            self.compute.name,
            facts,
        )
