"""Training: from the arrays of two splits to a model, epoch by epoch.

On the CPU the same seed, settings, pictures and machine give the same figures to the last
digit: order and augmentation are drawn from a generator of their own, and each epoch seeds
what torch draws itself, so nothing that a caller does in between changes the outcome.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from baseline.arrays import Arrays, batches, to_float
from baseline.augmentation import augment
from baseline.compute import choose_compute, reproducible
from baseline.evaluation import predict_logits
from baseline.model import SmallNet, build_model
from baseline.optimiser import build_optimiser, learning_rate_factor
from baseline.presets import Settings
from gleanset.errors import InputUnusable, UsageError

__all__ = ["Arrays", "EpochReport", "Trained", "train"]

STEPS_AN_EPOCH = 12
"""Small sets take smaller batches to come to about so many steps, but none under 8 pictures."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One pass over the training pictures. Validation figures are None without such pictures.

    Losses are cross entropies in nats, weighted by class where `class_weights` is set;
    `seconds` and `images_per_second` count training, not validation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The best model of a run and how it came about.

    `best_epoch` is the epoch (from 1) whose weights were kept: that of the lowest validation
    loss, or the last one where `validated` is False. `stopped_early` tells of patience lost.
    """

    model: SmallNet
    history: tuple[EpochReport, ...]
    best_epoch: int
    stopped_early: bool
    validated: bool
    device: str
    precision: str


def train(
    train: Arrays,
    val: Arrays,
    classes: Sequence[str],
    settings: Settings,
    on_epoch: Callable[[EpochReport], None],
    weights: Sequence[float] = (),
) -> Trained:
    """Train a network on `train`, watch it on `val`, keep the best weights.

    `weights` are those of the classes in the loss, in their order; none means all alike.
    `on_epoch` is called after every epoch. An empty `val` is allowed: then there is no early
    stopping and the last weights are kept. Raises InputUnusable where nothing can be learnt,
    UsageError where the settings make the loss infinite.
    """
    _check(train, classes)
    run = _Run(train, val, len(classes), settings, weights)
    for epoch in range(1, settings.epochs + 1):
        on_epoch(run.epoch(epoch))
        if run.patience_lost(epoch):
            break
    return run.finish()


def _check(train: Arrays, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise InputUnusable(
            f"A classifier needs at least 2 classes, and there is {len(classes)}.",
            "Label pictures of another class, then split again: labeler split",
        )
    if not len(train):
        raise InputUnusable(
            "There is no picture to train on: the train split is empty.",
            "Label pictures, then split them: labeler split",
        )
    counts = np.bincount(train.y, minlength=len(classes))
    bare = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if bare:
        raise InputUnusable(
            f"No training picture for: {', '.join(bare)}.",
            "Label more pictures of it, or give train a larger share: labeler split --ratio 8:1:1",
        )


class _Run:
    """The moving parts of one training run."""

    def __init__(
        self, train: Arrays, val: Arrays, classes: int, settings: Settings,
        weights: Sequence[float],
    ) -> None:  # fmt: skip
        self.train, self.val, self.settings = train, val, settings
        self.compute = choose_compute(settings.precision)
        with reproducible(settings.seed):
            self.model = build_model(settings, classes).to(self.compute.device)
        self.random = torch.Generator().manual_seed(settings.seed)
        self.weights = _class_weights(train, classes, settings, weights).to(self.compute.device)
        self.batch = min(settings.batch, max(8, len(train) // STEPS_AN_EPOCH))
        self.optimiser = build_optimiser(self.model, settings)
        steps = settings.epochs * math.ceil(len(train) / self.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: learning_rate_factor(step, steps)
        )
        self.history: list[EpochReport] = []
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_weights = self.model.state_dict()

    def epoch(self, number: int) -> EpochReport:
        """One pass over the training pictures and, where there are any, the validation ones."""
        start = time.perf_counter()
        with reproducible(self.settings.seed + number):
            loss, accuracy = self._learn()
            seconds = time.perf_counter() - start
            self._check_finite(number, loss)
            val_loss, val_accuracy = self._validate()
        report = EpochReport(
            number, loss, accuracy, val_loss, val_accuracy, seconds, len(self.train) / seconds
        )
        self.history.append(report)
        self._keep_best(report)
        return report

    def _learn(self) -> tuple[float, float]:
        self.model.train()
        totals = _Totals()
        order = torch.randperm(len(self.train), generator=self.random)
        for index in batches(order, self.batch):
            x = to_float(self.train.x, index, self.compute.device)
            if self.settings.augment:
                x = augment(x, self.random)
            y = torch.from_numpy(self.train.y[index.numpy()]).to(self.compute.device)
            totals.add(self._step(x, y), y, self.weights)
        return totals.loss, totals.accuracy

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with self.compute.autocast():
            logits: torch.Tensor = self.model(x)
        loss = functional.cross_entropy(logits.float(), y, self.weights)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.schedule.step()
        return logits.detach().float()

    def _check_finite(self, number: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise UsageError(
                f"Training went astray in epoch {number}: the loss is {loss}.",
                f"Learn slower: -o learning_rate={self.settings.learning_rate / 10:g}",
            )

    def _validate(self) -> tuple[float | None, float | None]:
        if not len(self.val):
            return None, None
        totals = _Totals()
        logits = torch.from_numpy(predict_logits(self.model, self.val))
        totals.add(logits, torch.from_numpy(self.val.y), self.weights.cpu())
        return totals.loss, totals.accuracy

    def _keep_best(self, report: EpochReport) -> None:
        if report.val_loss is not None and not report.val_loss < self.best_loss:
            return
        self.best_epoch = report.epoch
        self.best_loss = math.inf if report.val_loss is None else report.val_loss
        self.best_weights = copy.deepcopy(self.model.state_dict())

    def patience_lost(self, number: int) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        return bool(len(self.val)) and number - self.best_epoch >= self.settings.patience

    def finish(self) -> Trained:
        """The best weights put back, ready to predict."""
        self.model.load_state_dict(self.best_weights)
        return Trained(
            self.model.eval(),
            tuple(self.history),
            self.best_epoch,
            len(self.history) < self.settings.epochs,
            bool(len(self.val)),
            str(self.compute.device),
            "bf16" if self.compute.bf16 else "fp32",
        )


@dataclass(slots=True)
class _Totals:
    """Sums over the batches of an epoch."""

    losses: list[float] = field(default_factory=list)
    weight: float = 0.0
    right: int = 0
    count: int = 0

    def add(self, logits: torch.Tensor, y: torch.Tensor, weights: torch.Tensor) -> None:
        self.losses.append(float(functional.cross_entropy(logits, y, weights, reduction="sum")))
        self.weight += float(weights[y].sum())
        self.right += int((logits.argmax(1) == y).sum())
        self.count += len(y)

    @property
    def loss(self) -> float:
        return math.fsum(self.losses) / self.weight

    @property
    def accuracy(self) -> float:
        return self.right / self.count


def _class_weights(
    train: Arrays, classes: int, settings: Settings, given: Sequence[float]
) -> torch.Tensor:
    weights = torch.tensor(given, dtype=torch.float32) if given else torch.ones(classes)
    if not settings.class_weights:
        return weights
    counts = np.bincount(train.y, minlength=classes)
    return torch.tensor(len(train) / (classes * counts), dtype=torch.float32)
