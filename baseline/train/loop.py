"""The loop of gradient descent: epoch by epoch, watched on val, saved now and then.

On the CPU the same seed, settings, samples and machine give the same figures to the last digit,
whether it ran in one go or was killed and resumed after an epoch: each step draws its random
numbers by the run's seed, the epoch and the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baseline.data.samples import Arrays
from baseline.features.batching import is_out_of_memory
from baseline.features.compute import choose_compute, reproducible, to_network
from baseline.judge.run_figures import EpochReport
from baseline.settings import DescentSettings, Finetune, Simple
from baseline.train.batches import (
    BatchPlace,
    BatchSampler,
    LabelledSamples,
    PictureSamples,
    batch_loader,
    random_at,
    sampler_for,
)
from baseline.train.callbacks import StepReport, TrainingCallback, TrainingResult
from baseline.train.checkpoint import Checkpointer, TrainingState, training_tag
from baseline.train.class_balance import class_weights
from baseline.train.objective import Classify, Objective
from gleanset.errors import UsageError

Network = TypeVar("Network", bound=nn.Module)
TICK = 0.25
"""Seconds between two looks at how the epoch goes: on a GPU every look makes it wait."""
VALIDATION_BATCH = 128
"""Samples at once in validation: a bound on memory."""
MIN_VAL_TO_STOP = 50
"""Validation samples under which nothing is stopped or chosen by their loss: of six photos it is
noise, and ended trainings after a third of their course (docs/experiments.md)."""
WARM_UP = 0.15
"""Share of all steps in which the learning rate rises to its peak."""


@dataclass(frozen=True, slots=True)
class TrainingTask(Generic[Network]):
    """What is to be learnt: by `net`, from `train`, in the batches of `sampler`, watched on `val`.

    `frozen` is a part of `net` that does not learn in the first `frozen_epochs`.
    """

    net: Network
    train: LabelledSamples
    objective: Objective
    sampler: BatchSampler
    settings: DescentSettings
    val: LabelledSamples | None = None
    frozen: nn.Module | None = None
    frozen_epochs: int = 0


def classifier_task(
    net: Network,
    train: Arrays,
    val: Arrays,
    settings: Simple | Finetune,
    weights: Sequence[float] = (),
) -> TrainingTask[Network]:
    """Return the task of telling the classes of pictures apart; `val` may be empty.

    Each class has pictures in `train`. `weights` are those of the classes in the loss, in their
    order; none means all alike.
    """
    per_class = class_weights(train.y, int(train.y.max()) + 1, settings.balance, weights)
    return TrainingTask(
        net,
        PictureSamples(train, settings.augment),
        Classify(torch.from_numpy(per_class)),
        sampler_for(train.y, settings.balance, settings.batch),
        settings,
        PictureSamples(val),
    )


def train_network(
    task: TrainingTask[Network], watch: TrainingCallback | None = None, place: Path | None = None
) -> TrainingResult[Network]:
    """Train the network of `task` (in place), and put its best weights back.

    With fewer than `MIN_VAL_TO_STOP` samples in val there is no early stopping and the last
    weights are kept: the rate has fallen to nothing by then. `place` is a folder for
    checkpoints: a training that was killed goes on after the last epoch saved there, until
    `forget_checkpoint`. Raises UsageError where the settings make the loss infinite, or the memory
    does not suffice.
    """
    with reproducible(task.settings.seed):
        run = _Trainer(task, watch or TrainingCallback(), place)
        try:
            run.carry_out()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UsageError(
                f"out of memory with {run.largest_batch} images at once",
                "take smaller batches (-o batch=…) or images (-o size=…), or a smaller network",
            ) from error
        return run.finish()


def build_optimiser(
    groups: Sequence[list[nn.Parameter]], settings: DescentSettings
) -> torch.optim.Optimizer:
    """Return the optimiser over groups of weights, which a schedule may begin in the middle of."""
    rate = settings.learning_rate
    params: list[dict[str, Any]] = [{"params": group, "initial_lr": rate} for group in groups]
    both: dict[str, Any] = {"lr": rate, "weight_decay": settings.weight_decay}
    # One call over all weights ("fused") where torch has it: the small network spends a tenth of
    # its time in the optimiser otherwise.
    if settings.optimiser == "sgd":
        return torch.optim.SGD(params, momentum=0.9, nesterov=True, fused=True, **both)
    if settings.optimiser == "adamax":
        return torch.optim.Adamax(params, **both)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(params, fused=True, **both)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the share of the peak rate at `step`: a linear rise, then half a cosine to nothing.

    (Loshchilov and Hutter, SGDR, 2017, without restarts; the rise as in Goyal et al., 2017.)
    Before step 0 it is nothing.
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return max(0, step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _share(step: int, begin: int, end: int) -> float:
    """Return the share of the peak rate at `step` of weights that learn from `begin` on."""
    return learning_rate_factor(step - begin, end - begin)


def seed_at(*place: int) -> int:
    """Return a well-mixed 63-bit seed for `place`, such as (seed, epoch, step)."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


class _Trainer(Generic[Network]):
    """The moving parts of one training."""

    def __init__(
        self, task: TrainingTask[Network], watch: TrainingCallback, place: Path | None
    ) -> None:
        self.task, self.settings, self.watch = task, task.settings, watch
        self.compute = choose_compute(task.settings.precision)
        self.net = task.net.to(self.compute.device)
        self.val = task.val if task.val is not None and len(task.val.y) else None
        self.stops_early = self.val is not None and len(self.val.y) >= MIN_VAL_TO_STOP
        first = task.sampler(random_at(task.settings.seed, 1))
        self.steps, self.images = len(first), sum(len(index) for index in first)
        self.largest_batch = max(len(index) for index in first)
        self.places: list[BatchPlace] = []
        on_gpu = self.compute.device.type == "cuda"
        self.batches = batch_loader(task.train, task.settings.seed, self.places, on_gpu=on_gpu)
        self.scaler = self.compute.scaler()
        self.state = TrainingState()
        self.resting_epochs = task.frozen_epochs if task.frozen is not None else 0
        resting = task.frozen.parameters() if task.frozen and self.resting_epochs else ()
        late = {id(weight) for weight in resting}
        groups = [
            (start, [w for w in self.net.parameters() if (id(w) in late) is rests])
            for start, rests in ((0, False), (self.resting_epochs * self.steps, True))
        ]
        self.groups = [(start, weights) for start, weights in groups if weights]
        self.optimiser = build_optimiser([weights for _, weights in self.groups], self.settings)
        val = b"" if self.val is None else self.val.y.tobytes()
        tag = training_tag(self.net, self.settings, task.frozen_epochs, task.train.y.tobytes(), val)
        self.checkpointer = Checkpointer(place, tag, self.net, self.optimiser, self.scaler)

    def carry_out(self) -> None:
        """Train from the last checkpoint, or the beginning, to the last epoch."""
        state = self.state
        if self.checkpointer.resume(state):
            self.watch.say(f"resumed after epoch {state.epoch - 1}")
        total = self.steps * self.settings.epochs
        # Each group's rate begins to rise when the group begins to learn.
        shares: list[Callable[[int], float]] = [
            partial(_share, begin=start, end=total) for start, _ in self.groups
        ]
        self.schedule = LambdaLR(self.optimiser, shares, (state.epoch - 1) * self.steps - 1)
        if self.val is not None and not self.stops_early:
            self.watch.say(
                f"val has {len(self.val.y)} pictures, too few to stop by: all epochs are gone "
                "through and the last weights kept"
            )
        self.watch.begin(self.images, self.settings.epochs, (state.epoch - 1) * self.images)
        while state.epoch <= self.settings.epochs and not self._patience_lost():
            self._epoch()
            state.epoch += 1
            self.checkpointer.save_if_due(state)
        self.checkpointer.save(state)

    def _rate(self, step: int) -> float:
        """Return the learning rate of the weights that learn from the start, at `step` from 0."""
        share = learning_rate_factor(step, self.steps * self.settings.epochs)
        return self.settings.learning_rate * share

    def _epoch(self) -> None:
        """Train for an epoch, then validate."""
        state = self.state
        self.net.train()
        if self.task.frozen is not None and self.resting_epochs:
            # While it rests: no gradients, and norms as they are.
            awake = state.epoch > self.resting_epochs
            self.task.frozen.requires_grad_(awake).train(awake)
        start = time.perf_counter()
        sums, waited = self._learn()
        loss, accuracy = _means(sums)  # on a GPU this waits for it, so that the time is true
        seconds = time.perf_counter() - start
        self._check_finite(loss)
        val_loss, val_accuracy = self._validate()
        report = EpochReport(
            state.epoch,
            loss,
            accuracy,
            val_loss,
            val_accuracy,
            seconds,
            self.images / seconds,
            waited / seconds,
            self._rate(state.epoch * self.steps - 1),
        )
        state.history.append(report)
        self._keep_best(report)
        self.watch.epoch(report)

    def _learn(self) -> tuple[torch.Tensor, float]:
        """Train for an epoch; its sums (`_step`), and the seconds waited for batches."""
        epoch, seed = self.state.epoch, self.settings.seed
        plan = self.task.sampler(random_at(seed, epoch))
        self.places[:] = [(epoch, number, index) for number, index in enumerate(plan)]
        sums = torch.zeros(4, dtype=torch.float64, device=self.compute.device)
        waited = 0.0
        ready = ticked = time.perf_counter()
        for step, (x, y) in enumerate(self.batches):
            waited += time.perf_counter() - ready
            sums += self._step(x, y, seed_at(seed, epoch, step))
            self.schedule.step()
            if time.perf_counter() - ticked > TICK:
                ticked = time.perf_counter()
                self._tick(step + 1, sums)
            ready = time.perf_counter()
        return sums, waited

    def _step(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.Tensor:
        """Learn from a batch (on the CPU): loss summed, its divisor, how many right of how many."""
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than a step
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)
        self.optimiser.zero_grad(set_to_none=True)
        y = y.to(self.compute.device, non_blocking=True)
        weight = self.task.objective.weigh(y)
        with self.compute.autocast():
            shown = to_network(x, self.compute.device)
            loss, right = self.task.objective.terms(self.net, shown, y)
        torch.autograd.backward(self.scaler.scale(loss / weight))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        count = torch.full((), len(y), dtype=torch.float64, device=weight.device)
        return torch.stack([loss.detach().double(), weight.double(), right.double(), count])

    def _tick(self, step: int, sums: torch.Tensor) -> None:
        before = self.state.epoch - 1
        images = before * self.images + step * self.images // self.steps
        done = before * self.steps + step
        self.watch.tick(
            StepReport(self.state.epoch, done, images, *_means(sums), self._rate(done - 1))
        )

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"Training went astray in epoch {self.state.epoch}: the loss is {loss}.",
                f"Learn slower: -o learning_rate={self.settings.learning_rate / 10:g}",
            )

    def _validate(self) -> tuple[float | None, float | None]:
        if self.val is None:
            return None, None
        return self.task.objective.judge(self.net.eval(), self.val, VALIDATION_BATCH)

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
        since = max(self.state.best_epoch, self.resting_epochs)
        return self.stops_early and done - since >= self.settings.patience

    def finish(self) -> TrainingResult[Network]:
        """Put the best weights back, and return the network ready to predict."""
        state = self.state
        self.net.load_state_dict(state.best)
        self.net.requires_grad_(True)
        facts = {
            "learning_rate": self.settings.learning_rate,
            "steps_per_epoch": self.steps,
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


def _means(sums: torch.Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy of the sums of `_step`."""
    loss, weight, right, count = sums.tolist()
    return (loss / weight, right / count) if count else (math.nan, math.nan)
