"""The training loop, with early stopping and checkpoints after epochs.

A checkpoint is one safetensors file with the metrics as JSON in its header, replaced atomically.
"""

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn, optim

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
    choose_batch_size,
    make_batch_loader,
    make_generator,
    make_shuffled_sampler,
)
from baseline.train.training import TrainingCallback, TrainingCourse
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

FORMAT = "4"
State = dict[str, Tensor]
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
    tensors: State = {}
    for state_name, state in states.items():
        for name, value in state.items():
            tensors[f"{state_name}/{name}"] = value.detach().cpu().contiguous()

    metadata = {"format": FORMAT, "known": json.dumps(values)}
    write_atomic(
        folder / CHECKPOINT_FILE,
        safetensors.torch.save(tensors, metadata),
    )


def load_checkpoint(folder: Path) -> tuple[dict[str, State], Any] | None:
    """Return tensors and JSON values of the checkpoint in `folder`; None without a valid one."""
    states: dict[str, State] = {}

    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                return None
            for path in file.keys():  # noqa: SIM118 - not a dictionary
                state_name, _, name = path.partition("/")
                # Copied, because Windows cannot replace a mapped file.
                states.setdefault(state_name, {})[name] = file.get_tensor(path).clone()
            return states, json.loads(metadata["known"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def get_optimiser_state(optimiser: optim.Optimizer) -> State:
    """Return the tensors of an optimizer, named `<number of the weight>/<name>`."""
    state: State = {}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                state[f"{number}/{name}"] = value
    return state


def load_optimiser_state(optimiser: optim.Optimizer, tensors: State) -> None:
    """Load saved tensors into an optimizer, in the memory format of their weights."""
    # An optimizer numbers the weights of all its groups.
    weights: list[Tensor] = []
    for group in optimiser.param_groups:
        weights += group["params"]

    state = defaultdict[int, State](dict)
    for path, value in tensors.items():
        number, _, name = path.partition("/")
        weight = weights[int(number)]
        # Moments have the shape of the weight; others are counters of steps.
        if value.shape == weight.shape:
            value = torch.empty_like(weight).copy_(value)
        state[int(number)][name] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": dict(state)})


REPORT_INTERVAL_SECONDS = 0.25
"""Between two step reports, because each synchronizes with the GPU."""
VALIDATION_BATCH = 128
MIN_VAL_TO_STOP = 50
"""Validation samples needed for early stopping: on six photos the loss is noise and stopped
trainings after a third of their epochs (docs/experiments.md)."""
WARM_UP_SHARE = 0.15
"""Share of the steps with a linearly rising learning rate."""


class TrainingTask(NamedTuple):
    """A network with its samples, batches and objective.

    `frozen` is a part of `net` that is not trained in the first `frozen_epochs`.
    """

    net: nn.Module
    train: LabelledSamples
    objective: Objective
    sampler: BatchSampler
    settings: GradientSettings
    val: LabelledSamples
    frozen: nn.Module | None = None
    frozen_epochs: int = 0


def make_classifier_task(
    net: nn.Module, train: Arrays, val: Arrays, settings: Simple | Finetune
) -> TrainingTask:
    """Return the task of classifying images; `val` may be empty.

    Each class has images in `train`.
    """
    weights = compute_class_weights(train.y, int(train.y.max()) + 1, settings.balance)
    batch = choose_batch_size(len(train), settings.batch)
    return TrainingTask(
        # Convolutions are faster in this memory format (docs/experiments.md).
        net=net.to(memory_format=torch.channels_last),
        train=ImageSamples(train, settings.augment),
        objective=CrossEntropyObjective(torch.from_numpy(weights)),
        sampler=make_shuffled_sampler(len(train), batch),
        settings=settings,
        val=ImageSamples(val),
    )


def train_network(
    task: TrainingTask, callback: TrainingCallback, checkpoint_folder: Path | None
) -> TrainingCourse:
    """Train the network of `task` in place and restore its best weights.

    With fewer than `MIN_VAL_TO_STOP` samples in val there is no early stopping and the last
    weights are used. Training resumes from a checkpoint in `checkpoint_folder`. Raises UsageError
    if training diverges or memory is insufficient.
    """
    with reproducible(task.settings.seed):
        trainer = _Trainer(task, callback, checkpoint_folder)
        with explain_out_of_memory(trainer.largest_batch):
            trainer.train()
        return trainer.finish()


def build_optimiser(
    groups: Sequence[list[nn.Parameter]], settings: GradientSettings
) -> optim.Optimizer:
    """Build the optimizer over parameter groups."""
    rate = settings.learning_rate
    # A schedule that resumes after some steps needs `initial_lr`.
    params: list[dict[str, Any]] = [
        {"params": group, "initial_lr": rate} for group in groups
    ]
    common: dict[str, Any] = {
        "lr": rate,
        "weight_decay": settings.weight_decay,
    }
    if settings.optimiser == "adamax":
        return optim.Adamax(params, **common)

    # Otherwise the small network spends a tenth of its time here.
    common["fused"] = True
    if settings.optimiser == "sgd":
        return optim.SGD(
            params,
            momentum=0.9,
            nesterov=True,
            **common,
        )
    if settings.optimiser == "adam":
        return optim.Adam(params, **common)
    return optim.AdamW(params, **common)


def compute_learning_rate_factor(step: int, steps: int) -> float:
    """Return the factor of the learning rate at `step`: linear warm-up, then cosine annealing.

    Sources: Loshchilov and Hutter, SGDR, 2017, without restarts; Goyal et al., 2017.
    """
    warm_up_steps = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up_steps:
        # A group that is still frozen has negative steps.
        return max(0, step + 1) / warm_up_steps
    progress = (step - warm_up_steps) / max(1, steps - warm_up_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


class _WeightGroup(NamedTuple):
    """Weights that are trained from the step `start` on."""

    start: int
    weights: list[nn.Parameter]


class _Trainer:
    def __init__(
        self,
        task: TrainingTask,
        callback: TrainingCallback,
        checkpoint_folder: Path | None,
    ):
        self.task = task
        self.settings = task.settings
        self.callback = callback
        self.compute = choose_compute(task.settings.precision)
        self.net = task.net.to(self.compute.device)
        self.val = task.val if len(task.val.y) else None
        self.stops_early = self.val is not None and len(self.val.y) >= MIN_VAL_TO_STOP

        # Drawn to count: each epoch has as many steps and images as the first.
        first_epoch = task.sampler(make_generator(task.settings.seed, 1))
        sizes = [len(index) for index in first_epoch]
        self.steps = len(sizes)
        self.images = sum(sizes)
        self.largest_batch = max(sizes)
        # Refilled in place when an epoch begins, because the loader keeps this list.
        self.batch_keys: list[BatchKey] = []
        self.batches = make_batch_loader(
            task.train,
            task.settings.seed,
            self.batch_keys,
            on_gpu=self.compute.device.type == "cuda",
        )

        self.state = TrainingState()
        self.groups = self._group_weights()
        self.optimiser = build_optimiser(
            [group.weights for group in self.groups], self.settings
        )

        # A checkpoint of other settings or labels is not resumed.
        val_labels = b"" if self.val is None else self.val.y.tobytes()
        facts = (self.settings, task.frozen_epochs, task.train.y.tobytes(), val_labels)
        self.checkpoint_folder = checkpoint_folder
        self.tag = compute_training_tag(self.net, *facts)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def _group_weights(self) -> list[_WeightGroup]:
        """Return the weights that are trained from the start, and those frozen at first."""
        frozen_ids: set[int] = set()
        if self.task.frozen is not None and self.task.frozen_epochs:
            frozen_ids = {id(weight) for weight in self.task.frozen.parameters()}

        trainable = _WeightGroup(0, [])
        frozen = _WeightGroup(
            self.task.frozen_epochs * self.steps,
            [],
        )
        for weight in self.net.parameters():
            group = frozen if id(weight) in frozen_ids else trainable
            group.weights.append(weight)
        return [group for group in (trainable, frozen) if group.weights]

    def train(self) -> None:
        self._resume()
        state = self.state
        total = self.steps * self.settings.epochs

        # The warm-up of a group starts when it is unfrozen.
        def make_factor(start: int) -> Callable[[int], float]:
            return lambda step: compute_learning_rate_factor(
                step - start, total - start
            )

        factors = [make_factor(group.start) for group in self.groups]
        last_step = (state.epoch - 1) * self.steps - 1
        self.schedule = optim.lr_scheduler.LambdaLR(self.optimiser, factors, last_step)
        if self.val is not None and not self.stops_early:
            self.callback.say(
                f"val has {len(self.val.y)} images, too few for early stopping: training for all "
                "epochs"
            )

        finished_images = (state.epoch - 1) * self.images
        self.callback.on_train_begin(self.images, self.settings.epochs, finished_images)
        while state.epoch <= self.settings.epochs and not self._is_out_of_patience():
            self._run_epoch()
            state.epoch += 1
            if time.monotonic() >= self.next_save:
                self._save()

        self._save()

    def _resume(self) -> None:
        if self.checkpoint_folder is None:
            return
        checkpoint = load_checkpoint(self.checkpoint_folder)
        if checkpoint is None:
            return
        states, values = checkpoint
        if values["tag"] != self.tag:  # of another training
            return

        self.net.load_state_dict(states["net"])
        load_optimiser_state(self.optimiser, states.get("optimiser", {}))
        progress = values["figures"]
        progress["history"] = msgspec.convert(
            progress["history"],
            list[EpochReport],
        )
        self.state = TrainingState(
            states.get("best", {}),
            **progress,
        )
        self.callback.say(f"resumed after epoch {self.state.epoch - 1}")

    def _save(self) -> None:
        if self.checkpoint_folder is None:
            return

        states = {
            "net": self.net.state_dict(),
            "best": self.state.best,
            "optimiser": get_optimiser_state(self.optimiser),
        }
        progress = dict(vars(self.state))
        del progress["best"]
        progress["history"] = msgspec.to_builtins(self.state.history)
        values = {"tag": self.tag, "figures": progress}
        save_checkpoint(self.checkpoint_folder, states, values)
        self.next_save = time.monotonic() + SECONDS_BETWEEN_SAVES

    def _run_epoch(self) -> None:
        """Train and validate for one epoch, and report it."""
        state = self.state
        self.net.train()
        if self.task.frozen is not None and self.task.frozen_epochs:
            # While frozen: no gradients, and batch norms keep their statistics.
            is_trained = state.epoch > self.task.frozen_epochs
            self.task.frozen.requires_grad_(is_trained).train(is_trained)

        start = time.perf_counter()
        sums = self._train_batches()
        # Synchronizes with the GPU before the time is taken.
        loss, accuracy = _compute_means(sums)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise UsageError(
                f"training diverged in epoch {state.epoch}: loss {loss}",
                f"lower the learning rate: -o learning_rate={self.settings.learning_rate / 10:g}",
            )

        val_loss = None
        val_accuracy = None
        if self.val is not None:
            net = self.net.eval()
            val_loss, val_accuracy = self.task.objective.evaluate(
                net, self.val, VALIDATION_BATCH
            )

        # The learning rate of the last step, of the weights that are trained from the start.
        last_step = state.epoch * self.steps - 1
        total = self.steps * self.settings.epochs
        factor = compute_learning_rate_factor(last_step, total)
        report = EpochReport(
            epoch=state.epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            images_per_second=self.images / seconds,
            learning_rate=self.settings.learning_rate * factor,
        )
        state.history.append(report)
        self._keep_best(report)
        self.callback.on_epoch_end(report)

    def _train_batches(self) -> Tensor:
        epoch = self.state.epoch
        seed = self.settings.seed
        batches = self.task.sampler(make_generator(seed, epoch))
        # In place, because the loader has this list.
        self.batch_keys[:] = [
            (epoch, number, index) for number, index in enumerate(batches)
        ]

        # The four sums that `_train_step` returns, on the device until they are reported.
        sums = torch.zeros(4, dtype=torch.float64, device=self.compute.device)
        last_report = time.perf_counter()
        for step, (x, y) in enumerate(self.batches):
            # A seed for each step, so that a resumed training draws the same numbers.
            sequence = np.random.SeedSequence((seed, epoch, step))
            (step_seed,) = sequence.generate_state(1, np.uint64)
            # Torch takes 63 bits.
            sums += self._train_step(x, y, int(step_seed >> 1))
            self.schedule.step()

            if time.perf_counter() - last_report > REPORT_INTERVAL_SECONDS:
                last_report = time.perf_counter()
                images_in_epoch = (step + 1) * self.images // self.steps
                images = (epoch - 1) * self.images + images_in_epoch
                loss, accuracy = _compute_means(sums)
                self.callback.on_step(epoch, images, loss, accuracy)

        return sums

    def _train_step(self, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Train on a batch; return summed loss, its divisor, correct samples, and samples."""
        # torch.manual_seed takes longer than a step.
        torch.default_generator.manual_seed(seed)
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
        count = torch.full(
            (),
            len(y),
            dtype=torch.float64,
            device=y.device,
        )
        sums = [term.detach().double() for term in terms]
        return torch.stack([*sums, count])

    def _keep_best(self, report: EpochReport) -> None:
        """Keep the weights of the lowest loss of val, or the last ones without early stopping."""
        loss = report.val_loss if self.stops_early else None
        # A loss that is not a number is not better, either.
        if loss is not None and not loss < self.state.best_loss:
            return
        self.state.best_epoch = report.epoch
        self.state.best_loss = math.inf if loss is None else loss
        self.state.best = {
            name: value.detach().clone()
            for name, value in self.net.state_dict().items()
        }

    def _is_out_of_patience(self) -> bool:
        # Epochs with a frozen part do not count.
        best_epoch = max(self.state.best_epoch, self.task.frozen_epochs)
        epochs_since_best = len(self.state.history) - best_epoch
        return self.stops_early and epochs_since_best >= self.settings.patience

    def finish(self) -> TrainingCourse:
        state = self.state
        self.net.load_state_dict(state.best)
        self.net.requires_grad_(True).eval()
        return TrainingCourse(
            history=tuple(state.history),
            best_epoch=state.best_epoch,
            device=str(self.compute.device),
            precision=self.compute.name,
        )


def _compute_means(sums: Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    loss, weight, correct, count = sums.tolist()
    if not count:
        return math.nan, math.nan
    return loss / weight, correct / count
