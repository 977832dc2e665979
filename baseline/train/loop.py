"""The state of a training after an epoch, in one file, so that a killed training can be resumed.

safetensors with the figures as JSON in its header: numbers and text, never code. One file that is
replaced as a whole, so a kill at any instruction leaves the last one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baseline.data.runs import CHECKPOINT_FILE
from baseline.data.samples import Arrays, compute_class_weights
from baseline.evaluation.run_metrics import EpochReport
from baseline.features.backbone import full_memory_explained
from baseline.features.compute import choose_compute, reproducible, to_network
from baseline.settings import Finetune, GradientSettings, Simple
from baseline.train.batches import (
    BatchKey,
    BatchSampler,
    CrossEntropyObjective,
    ImageSamples,
    LabelledSamples,
    Objective,
    batch_loader,
    choose_sampler,
    make_generator,
)
from baseline.train.callbacks import StepReport, TrainingCallback, TrainingResult
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

FORMAT = "4"
State = dict[str, torch.Tensor]
SECONDS_BETWEEN_SAVES = 10.0
"""At least: a save of a large network takes a second."""


@dataclass
class TrainingState:
    """How far a training has come: `epoch` is the next one."""

    best: State = field(default_factory=dict)
    epoch: int = 1
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf


def compute_training_tag(net: nn.Module, *facts: object) -> str:
    """Return a hash of what makes a training this one: its network's shape and all of `facts`."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    for fact in facts:
        digest.update(fact if isinstance(fact, bytes) else repr(fact).encode())
    return digest.hexdigest()


def save_checkpoint(folder: Path, states: Mapping[str, State], known: object) -> None:
    """Write tensors and JSON values into `folder`, which is made. Raises DiskFull, NotWritable."""
    plain = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, state in states.items()
        for name, value in state.items()
    }
    data = safetensors.torch.save(plain, {"format": FORMAT, "known": json.dumps(known)})
    write_atomic(folder / CHECKPOINT_FILE, data)


def load_checkpoint(folder: Path) -> tuple[dict[str, State], Any] | None:
    """Return what was saved in `folder`; None where there is nothing, or nothing whole."""
    states: dict[str, State] = {}
    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            notes = file.metadata() or {}
            if notes.get("format") != FORMAT:
                return None
            for path in file.keys():  # noqa: SIM118 - it is no dictionary
                part, _, name = path.partition("/")
                # Copied: no file that is mapped can be replaced on Windows.
                states.setdefault(part, {})[name] = file.get_tensor(path).clone()
            return states, json.loads(notes["known"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def get_optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """Return the tensors of an optimiser, named `<number of the weight>/<name>`."""
    return {
        f"{number}/{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimiser_state(optimiser: torch.optim.Optimizer, saved: State) -> None:
    """Put the tensors back, in the order in memory that their weights have."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, State] = {}
    for place, value in saved.items():
        number, _, name = place.partition("/")
        weight = weights[int(number)]
        if value.shape == weight.shape:
            value = torch.empty_like(weight).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


Network = TypeVar("Network", bound=nn.Module)
REPORT_INTERVAL_SECONDS = 0.25
"""Seconds between two looks at how the epoch goes: on a GPU every look makes it wait."""
VALIDATION_BATCH = 128
"""Samples at once in validation: a bound on memory."""
MIN_VAL_TO_STOP = 50
"""Validation samples under which nothing is stopped or chosen by their loss: of six photos it is
noise, and ended trainings after a third of their course (docs/experiments.md)."""
WARM_UP_SHARE = 0.15
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
    settings: GradientSettings
    val: LabelledSamples | None = None
    frozen: nn.Module | None = None
    frozen_epochs: int = 0


def make_classifier_task(
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
    per_class = compute_class_weights(train.y, int(train.y.max()) + 1, settings.balance, weights)
    return TrainingTask(
        net,
        ImageSamples(train, settings.augment),
        CrossEntropyObjective(torch.from_numpy(per_class)),
        choose_sampler(train.y, settings.balance, settings.batch),
        settings,
        ImageSamples(val),
    )


def train_network(
    task: TrainingTask[Network], callback: TrainingCallback | None = None, place: Path | None = None
) -> TrainingResult[Network]:
    """Train the network of `task` (in place), and put its best weights back.

    With fewer than `MIN_VAL_TO_STOP` samples in val there is no early stopping and the last
    weights are kept: the rate has fallen to nothing by then. `place` is a folder for
    checkpoints: a training that was killed goes on after the last epoch saved there, until
    `remove_checkpoint`. Raises UsageError where the settings make the loss infinite, or the memory
    does not suffice.
    """
    with reproducible(task.settings.seed):
        run = _Trainer(task, callback or TrainingCallback(), place)
        with full_memory_explained(run.largest_batch):
            run.carry_out()
        return run.finish()


def build_optimiser(
    groups: Sequence[list[nn.Parameter]], settings: GradientSettings
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
    warm = max(1, round(WARM_UP_SHARE * steps))
    if step < warm:
        return max(0, step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _share(step: int, begin: int, end: int) -> float:
    return learning_rate_factor(step - begin, end - begin)


class _Trainer(Generic[Network]):
    def __init__(
        self, task: TrainingTask[Network], callback: TrainingCallback, place: Path | None
    ) -> None:
        self.task, self.settings, self.callback = task, task.settings, callback
        self.compute = choose_compute(task.settings.precision)
        self.net = task.net.to(self.compute.device)
        self.val = task.val if task.val is not None and len(task.val.y) else None
        self.stops_early = self.val is not None and len(self.val.y) >= MIN_VAL_TO_STOP
        first = task.sampler(make_generator(task.settings.seed, 1))
        self.steps, self.images = len(first), sum(len(index) for index in first)
        self.largest_batch = max(len(index) for index in first)
        self.places: list[BatchKey] = []
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
        facts = self.settings, task.frozen_epochs, task.train.y.tobytes(), val
        self.place, self.tag = place, compute_training_tag(self.net, *facts)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def carry_out(self) -> None:
        """Train from the last checkpoint, or the beginning, to the last epoch."""
        self._resume()
        state = self.state
        total = self.steps * self.settings.epochs
        # Each group's rate begins to rise when the group begins to learn.
        shares: list[Callable[[int], float]] = [
            partial(_share, begin=start, end=total) for start, _ in self.groups
        ]
        self.schedule = LambdaLR(self.optimiser, shares, (state.epoch - 1) * self.steps - 1)
        if self.val is not None and not self.stops_early:
            self.callback.say(
                f"val has {len(self.val.y)} pictures, too few to stop by: all epochs are gone "
                "through and the last weights kept"
            )
        self.callback.begin(self.images, self.settings.epochs, (state.epoch - 1) * self.images)
        while state.epoch <= self.settings.epochs and not self._patience_lost():
            self._epoch()
            state.epoch += 1
            if time.monotonic() >= self.next_save:
                self._save()
        self._save()

    def _resume(self) -> None:
        saved = load_checkpoint(self.place) if self.place is not None else None
        if saved is None or saved[1]["tag"] != self.tag:
            return
        states, known = saved
        self.net.load_state_dict(states["net"])
        load_optimiser_state(self.optimiser, states.get("optimiser", {}))
        self.scaler.load_state_dict(known["scaler"])
        figures = known["figures"]
        figures["history"] = [EpochReport(**report) for report in figures["history"]]
        self.state = TrainingState(states.get("best", {}), **figures)
        self.callback.say(f"resumed after epoch {self.state.epoch - 1}")

    def _save(self) -> None:
        if self.place is None:
            return
        states = {
            "net": self.net.state_dict(),
            "best": self.state.best,
            "optimiser": get_optimiser_state(self.optimiser),
        }
        figures = {name: value for name, value in vars(self.state).items() if name != "best"}
        figures["history"] = [asdict(report) for report in self.state.history]
        known = {"tag": self.tag, "scaler": self.scaler.state_dict(), "figures": figures}
        save_checkpoint(self.place, states, known)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def _rate(self, step: int) -> float:
        share = learning_rate_factor(step, self.steps * self.settings.epochs)
        return self.settings.learning_rate * share

    def _epoch(self) -> None:
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
        if not math.isfinite(loss):
            raise UsageError(
                f"Training went astray in epoch {state.epoch}: the loss is {loss}.",
                f"Learn slower: -o learning_rate={self.settings.learning_rate / 10:g}",
            )
        val_loss = val_accuracy = None
        if self.val is not None:
            net = self.net.eval()
            val_loss, val_accuracy = self.task.objective.judge(net, self.val, VALIDATION_BATCH)
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
        self.callback.epoch(report)

    def _learn(self) -> tuple[torch.Tensor, float]:
        epoch, seed = self.state.epoch, self.settings.seed
        plan = self.task.sampler(make_generator(seed, epoch))
        self.places[:] = [(epoch, number, index) for number, index in enumerate(plan)]
        sums = torch.zeros(4, dtype=torch.float64, device=self.compute.device)
        waited = 0.0
        ready = ticked = time.perf_counter()
        for step, (x, y) in enumerate(self.batches):
            waited += time.perf_counter() - ready
            mixed = np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)[0]
            sums += self._step(x, y, int(mixed >> 1))
            self.schedule.step()
            if time.perf_counter() - ticked > REPORT_INTERVAL_SECONDS:
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
        self.callback.tick(
            StepReport(self.state.epoch, done, images, *_means(sums), self._rate(done - 1))
        )

    def _keep_best(self, report: EpochReport) -> None:
        loss = report.val_loss if self.stops_early else None
        if loss is not None and not loss < self.state.best_loss:
            return
        self.state.best_epoch = report.epoch
        self.state.best_loss = math.inf if loss is None else loss
        self.state.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def _patience_lost(self) -> bool:
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
    loss, weight, right, count = sums.tolist()
    return (loss / weight, right / count) if count else (math.nan, math.nan)
