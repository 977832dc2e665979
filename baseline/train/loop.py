"""The training loop, with early stopping and checkpoints after epochs.

A checkpoint is one safetensors file with the metrics as JSON in its header, replaced atomically.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
from baseline.evaluation.metrics import EpochReport
from baseline.features.backbone import explain_out_of_memory
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
    choose_batch_size,
    make_generator,
    shuffled_batches,
)
from baseline.train.training import TrainingCallback, TrainingResult
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

FORMAT = "4"
State = dict[str, torch.Tensor]
SECONDS_BETWEEN_SAVES = 10.0
"""Minimum: saving a large network takes a second."""


@dataclass
class TrainingState:
    """Progress of a training; `epoch` is the next one."""

    best: State = field(default_factory=dict)
    epoch: int = 1
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf


def compute_training_tag(net: nn.Module, *facts: object) -> str:
    """Return a hash of the network's shapes and of `facts`, to recognize a checkpoint."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    for fact in facts:
        digest.update(fact if isinstance(fact, bytes) else repr(fact).encode())
    return digest.hexdigest()


def save_checkpoint(folder: Path, states: Mapping[str, State], values: object) -> None:
    """Write tensors and JSON values into `folder`. Raises DiskFull, NotWritable."""
    plain = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, state in states.items()
        for name, value in state.items()
    }
    data = safetensors.torch.save(
        plain, {"format": FORMAT, "known": json.dumps(values)}
    )
    write_atomic(folder / CHECKPOINT_FILE, data)


def load_checkpoint(folder: Path) -> tuple[dict[str, State], Any] | None:
    """Return tensors and JSON values of the checkpoint in `folder`; None without a valid one."""
    states: dict[str, State] = {}
    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                return None
            for path in file.keys():  # noqa: SIM118 - not a dictionary
                part, _, name = path.partition("/")
                # Copied, because Windows cannot replace a mapped file.
                states.setdefault(part, {})[name] = file.get_tensor(path).clone()
            return states, json.loads(metadata["known"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def get_optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """Return the tensors of an optimizer, named `<number of the weight>/<name>`."""
    return {
        f"{number}/{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimiser_state(optimiser: torch.optim.Optimizer, saved: State) -> None:
    """Load saved tensors into an optimizer, in the memory format of their weights."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, State] = {}
    for path, value in saved.items():
        number, _, name = path.partition("/")
        weight = weights[int(number)]
        if value.shape == weight.shape:
            value = torch.empty_like(weight).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


Network = TypeVar("Network", bound=nn.Module)
REPORT_INTERVAL_SECONDS = 0.25
"""Between two step reports, because each synchronizes with the GPU."""
VALIDATION_BATCH = 128
MIN_VAL_TO_STOP = 50
"""Validation samples needed for early stopping: on six photos the loss is noise and stopped
trainings after a third of their epochs (docs/experiments.md)."""
WARM_UP_SHARE = 0.15
"""Share of the steps with a linearly rising learning rate."""


@dataclass(frozen=True)
class TrainingTask(Generic[Network]):
    """A network with its samples, batches and objective.

    `frozen` is a part of `net` that is not trained in the first `frozen_epochs`.
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
) -> TrainingTask[Network]:
    """Return the task of classifying images; `val` may be empty.

    Each class has images in `train`.
    """
    per_class = compute_class_weights(train.y, int(train.y.max()) + 1, settings.balance)
    return TrainingTask(
        net,
        ImageSamples(train, settings.augment),
        CrossEntropyObjective(torch.from_numpy(per_class)),
        shuffled_batches(len(train), choose_batch_size(len(train), settings.batch)),
        settings,
        ImageSamples(val),
    )


def train_network(
    task: TrainingTask[Network],
    callback: TrainingCallback | None = None,
    checkpoint_folder: Path | None = None,
) -> TrainingResult[Network]:
    """Train the network of `task` in place and restore its best weights.

    With fewer than `MIN_VAL_TO_STOP` samples in val there is no early stopping and the last
    weights are used. Training resumes from a checkpoint in `checkpoint_folder`. Raises UsageError
    if training diverges or memory is insufficient.
    """
    with reproducible(task.settings.seed):
        trainer = _Trainer(task, callback or TrainingCallback(), checkpoint_folder)
        with explain_out_of_memory(trainer.largest_batch):
            trainer.train()
        return trainer.finish()


def build_optimiser(
    groups: Sequence[list[nn.Parameter]], settings: GradientSettings
) -> torch.optim.Optimizer:
    """Build the optimizer over parameter groups."""
    rate = settings.learning_rate
    params: list[dict[str, Any]] = [
        {"params": group, "initial_lr": rate} for group in groups
    ]
    common: dict[str, Any] = {"lr": rate, "weight_decay": settings.weight_decay}
    # Fused where torch has it: the small network spends a tenth of its time here otherwise.
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            params, momentum=0.9, nesterov=True, fused=True, **common
        )
    if settings.optimiser == "adamax":
        return torch.optim.Adamax(params, **common)
    kind = torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW
    return kind(params, fused=True, **common)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the factor of the learning rate at `step`: linear warm-up, then cosine annealing.

    Sources: Loshchilov and Hutter, SGDR, 2017, without restarts; Goyal et al., 2017.
    """
    warm = max(1, round(WARM_UP_SHARE * steps))
    if step < warm:
        return max(0, step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class _Trainer(Generic[Network]):
    def __init__(
        self,
        task: TrainingTask[Network],
        callback: TrainingCallback,
        checkpoint_folder: Path | None,
    ):
        self.task = task
        self.settings = task.settings
        self.callback = callback
        self.compute = choose_compute(task.settings.precision)
        self.net = task.net.to(self.compute.device)
        self.val = task.val if task.val is not None and len(task.val.y) else None
        self.stops_early = self.val is not None and len(self.val.y) >= MIN_VAL_TO_STOP
        first = task.sampler(make_generator(task.settings.seed, 1))
        self.steps = len(first)
        self.images = sum(len(index) for index in first)
        self.largest_batch = max(len(index) for index in first)
        self.batch_keys: list[BatchKey] = []
        on_gpu = self.compute.device.type == "cuda"
        self.batches = batch_loader(
            task.train, task.settings.seed, self.batch_keys, on_gpu=on_gpu
        )
        self.state = TrainingState()
        self.frozen_epochs = task.frozen_epochs if task.frozen is not None else 0
        frozen = task.frozen.parameters() if task.frozen and self.frozen_epochs else ()
        frozen_ids = {id(weight) for weight in frozen}
        groups = [
            (
                start,
                [
                    w
                    for w in self.net.parameters()
                    if (id(w) in frozen_ids) is is_frozen
                ],
            )
            for start, is_frozen in (
                (0, False),
                (self.frozen_epochs * self.steps, True),
            )
        ]
        self.groups = [(start, weights) for start, weights in groups if weights]
        self.optimiser = build_optimiser(
            [weights for _, weights in self.groups], self.settings
        )
        val = b"" if self.val is None else self.val.y.tobytes()
        facts = self.settings, task.frozen_epochs, task.train.y.tobytes(), val
        self.checkpoint_folder = checkpoint_folder
        self.tag = compute_training_tag(self.net, *facts)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def train(self) -> None:
        self._resume()
        state = self.state
        total = self.steps * self.settings.epochs

        # Warm-up of a group starts when the group is unfrozen.
        def factor_from(start: int) -> Callable[[int], float]:
            return lambda step: learning_rate_factor(step - start, total - start)

        factors = [factor_from(start) for start, _ in self.groups]
        self.schedule = LambdaLR(
            self.optimiser, factors, (state.epoch - 1) * self.steps - 1
        )
        if self.val is not None and not self.stops_early:
            self.callback.say(
                f"val has {len(self.val.y)} images, too few for early stopping: training for all "
                "epochs"
            )
        resumed = (state.epoch - 1) * self.images
        self.callback.on_train_begin(self.images, self.settings.epochs, resumed)
        while state.epoch <= self.settings.epochs and not self._is_out_of_patience():
            self._run_epoch()
            state.epoch += 1
            if time.monotonic() >= self.next_save:
                self._save()
        self._save()

    def _resume(self) -> None:
        saved = (
            load_checkpoint(self.checkpoint_folder) if self.checkpoint_folder else None
        )
        if saved is None or saved[1]["tag"] != self.tag:
            return
        states, values = saved
        self.net.load_state_dict(states["net"])
        load_optimiser_state(self.optimiser, states.get("optimiser", {}))
        progress = values["figures"]
        progress["history"] = [EpochReport(**report) for report in progress["history"]]
        self.state = TrainingState(states.get("best", {}), **progress)
        self.callback.say(f"resumed after epoch {self.state.epoch - 1}")

    def _save(self) -> None:
        if self.checkpoint_folder is None:
            return
        states = {
            "net": self.net.state_dict(),
            "best": self.state.best,
            "optimiser": get_optimiser_state(self.optimiser),
        }
        progress = {
            name: value for name, value in vars(self.state).items() if name != "best"
        }
        progress["history"] = [asdict(report) for report in self.state.history]
        values = {"tag": self.tag, "figures": progress}
        save_checkpoint(self.checkpoint_folder, states, values)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def _run_epoch(self) -> None:
        state = self.state
        self.net.train()
        if self.task.frozen is not None and self.frozen_epochs:
            # While frozen: no gradients, and batch norms keep their statistics.
            is_trained = state.epoch > self.frozen_epochs
            self.task.frozen.requires_grad_(is_trained).train(is_trained)
        start = time.perf_counter()
        sums = self._train_batches()
        loss, accuracy = _means(
            sums
        )  # synchronizes with the GPU before the time is taken
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise UsageError(
                f"training diverged in epoch {state.epoch}: loss {loss}",
                f"lower the learning rate: -o learning_rate={self.settings.learning_rate / 10:g}",
            )
        val_loss = val_accuracy = None
        if self.val is not None:
            net = self.net.eval()
            val_loss, val_accuracy = self.task.objective.evaluate(
                net, self.val, VALIDATION_BATCH
            )
        last_step = state.epoch * self.steps - 1
        total = self.steps * self.settings.epochs
        report = EpochReport(
            state.epoch,
            loss,
            accuracy,
            val_loss,
            val_accuracy,
            seconds,
            self.images / seconds,
            self.settings.learning_rate * learning_rate_factor(last_step, total),
        )
        state.history.append(report)
        self._keep_best(report)
        self.callback.on_epoch_end(report)

    def _train_batches(self) -> torch.Tensor:
        epoch, seed = self.state.epoch, self.settings.seed
        plan = self.task.sampler(make_generator(seed, epoch))
        self.batch_keys[:] = [
            (epoch, number, index) for number, index in enumerate(plan)
        ]
        sums = torch.zeros(4, dtype=torch.float64, device=self.compute.device)
        reported = time.perf_counter()
        for step, (x, y) in enumerate(self.batches):
            state = np.random.SeedSequence((seed, epoch, step)).generate_state(
                1, np.uint64
            )[0]
            sums += self._train_step(x, y, int(state >> 1))
            self.schedule.step()
            if time.perf_counter() - reported > REPORT_INTERVAL_SECONDS:
                reported = time.perf_counter()
                images = (epoch - 1) * self.images + (
                    step + 1
                ) * self.images // self.steps
                self.callback.on_step(epoch, images, *_means(sums))
        return sums

    def _train_step(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.Tensor:
        """Train on a batch; return summed loss, its divisor, correct samples, and samples."""
        torch.default_generator.manual_seed(
            seed
        )  # torch.manual_seed takes longer than a step
        if torch.cuda.is_available():
            torch.cuda.manual_seed_all(seed)
        np.random.seed(seed % 2**32)
        self.optimiser.zero_grad(set_to_none=True)
        y = y.to(self.compute.device, non_blocking=True)
        with self.compute.autocast():
            inputs = to_network(x, self.compute.device)
            terms = self.task.objective.loss_terms(self.net, inputs, y)
        torch.autograd.backward(terms.loss / terms.weight)
        self.optimiser.step()
        count = torch.full((), len(y), dtype=torch.float64, device=y.device)
        return torch.stack([*(term.detach().double() for term in terms), count])

    def _keep_best(self, report: EpochReport) -> None:
        loss = report.val_loss if self.stops_early else None
        if loss is not None and not loss < self.state.best_loss:
            return
        self.state.best_epoch = report.epoch
        self.state.best_loss = math.inf if loss is None else loss
        self.state.best = {
            k: v.detach().clone() for k, v in self.net.state_dict().items()
        }

    def _is_out_of_patience(self) -> bool:
        best_epoch = max(self.state.best_epoch, self.frozen_epochs)
        waited = len(self.state.history) - best_epoch
        return self.stops_early and waited >= self.settings.patience

    def finish(self) -> TrainingResult[Network]:
        state = self.state
        self.net.load_state_dict(state.best)
        self.net.requires_grad_(True)
        facts = {
            "learning_rate": self.settings.learning_rate,
            "steps_per_epoch": self.steps,
        }
        return TrainingResult(
            self.net.eval(),
            tuple(state.history),
            state.best_epoch,
            str(self.compute.device),
            self.compute.name,
            facts,
        )


def _means(sums: torch.Tensor) -> tuple[float, float]:
    loss, weight, correct, count = sums.tolist()
    return (loss / weight, correct / count) if count else (math.nan, math.nan)
