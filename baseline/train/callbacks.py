"""What a training tells while it runs, and what it gives in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from baseline.judge.run_figures import EpochReport

Network = TypeVar("Network")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where a training is in the middle of an epoch; loss and accuracy are the epoch's so far."""

    epoch: int
    step: int  # of the whole training, from 1
    images: int  # seen in the whole training
    loss: float
    accuracy: float
    learning_rate: float


class TrainingCallback:
    """Who looks on. This one does not care; see `baseline.train.run_logger.RunLogger`."""

    def begin(self, images: int, epochs: int, done: int) -> None:
        """Be told that a training of `epochs` x `images` samples starts, `done` of them earlier."""

    def tick(self, tick: StepReport) -> None:
        """Be told a few times a second how it goes."""

    def epoch(self, report: EpochReport) -> None:
        """Be told of an epoch, after it."""

    def say(self, line: str) -> None:
        """Be told what a person should know."""


@dataclass(frozen=True, slots=True)
class TrainingResult(Generic[Network]):
    """The best network of a training and how it came about.

    `best_epoch` is the epoch (from 1) whose weights were kept: that of the lowest validation
    loss, or the last one where `validated` is False. `stopped_early` tells of patience lost.
    `facts` are JSON values for the metrics: the learning rate, the steps, the batch.
    """

    net: Network
    history: tuple[EpochReport, ...]
    best_epoch: int
    stopped_early: bool
    validated: bool
    device: str
    precision: str
    facts: dict[str, Any] = field(default_factory=dict)

    def with_net(
        self, net: Other, facts: Mapping[str, Any] = MappingProxyType({})
    ) -> TrainingResult[Other]:
        """Return the result of the same training for a network made of its own; more `facts`."""
        how = (self.history, self.best_epoch, self.stopped_early, self.validated)
        return TrainingResult(net, *how, self.device, self.precision, {**self.facts, **facts})
