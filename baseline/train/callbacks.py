"""Looking on at a training: what it reports while it runs, a bar, a log, TensorBoard events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from baseline.evaluation.run_metrics import EpochReport
from gleanset.files.atomic import disk_errors
from gleanset.work.progress import Progress, ProgressMeter

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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
    """Who looks on. This one does not care; see `baseline.train.callbacks.RunLogger`."""

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


LOG = "log.txt"
EVENTS = "events"


class RunLogger(TrainingCallback):
    """Watches a training whose files lie in `folder`; use it in a `with`.

    `hear` gets what a person should know at once, such as a lack of memory.
    """

    def __init__(
        self,
        folder: Path,
        progress: Progress | None = None,
        hear: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder, self._hear = folder, hear
        self._progress = progress or Progress()
        self._bar = ProgressMeter()
        self._shown = 0
        self._events: SummaryWriter | None = None
        self._images = self._epochs = 0
        self.history: list[EpochReport] = []

    def __enter__(self) -> RunLogger:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.write(f"ended by {type(error).__name__}: {error}")
        self._bar.close()
        # After Ctrl-C its thread may be gone, and closing it would wait for that for ever.
        if self._events is not None and error is None:
            self._events.close()

    def begin(self, images: int, epochs: int, done: int) -> None:
        """Begin the bar over all images of all epochs, so that its time left is the whole one's."""
        self._bar.close()
        self._events = self._events or _events(self.folder / EVENTS)
        if self._events is None:
            self.write("no TensorBoard events: pip install tensorboard")
        self._images, self._epochs = images, epochs
        self._shown = done
        self._bar = self._progress.meter("train", images * epochs, done=done)
        self.write(f"training on {images} images an epoch, {epochs} epochs at most")

    def tick(self, tick: StepReport) -> None:
        """Move the bar; a point in the events."""
        self._add("step/loss", tick.loss, tick.step)
        self._add("step/accuracy", tick.accuracy, tick.step)
        self._add("step/learning_rate", tick.learning_rate, tick.step)
        state = f"loss {tick.loss:.3f}, accuracy {tick.accuracy:.3f}"
        self._show(tick.images, f"epoch {tick.epoch}/{self._epochs}, {state}")

    def epoch(self, report: EpochReport) -> None:
        """Write a line in the log, and a point of each curve."""
        self.history.append(report)
        line = epoch_line(report)
        self.write(f"epoch {report.epoch}/{self._epochs}: {line}")
        for name in (
            "train_loss",
            "train_accuracy",
            "val_loss",
            "val_accuracy",
            "images_per_second",
            "data_wait",
            "learning_rate",
        ):
            if (value := getattr(report, name)) is not None:
                self._add(f"epoch/{name}", value, report.epoch)
        if self._events is not None:
            self._events.flush()
        self._show(report.epoch * self._images, line)

    def say(self, line: str) -> None:
        """Write a line in the log, and show it to the person."""
        self.write(line)
        self._hear(line)

    def write(self, line: str) -> None:
        """Write a line in the log, with the time."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}\n")

    def _add(self, name: str, value: float, step: int) -> None:
        if self._events is not None:
            self._events.add_scalar(name, value, step)

    def _show(self, images: int, note: str) -> None:
        self._bar.advance(images - self._shown, note)
        self._shown = images


def epoch_line(epoch: EpochReport) -> str:
    """Describe an epoch in a few words."""
    val = "" if epoch.val_accuracy is None else f", val {epoch.val_accuracy:.3f}"
    wait = f", {100 * epoch.data_wait:.0f} % waiting for data" if epoch.data_wait >= 0.05 else ""
    return (
        f"loss {epoch.train_loss:.3f}, train {epoch.train_accuracy:.3f}{val}, "
        f"{epoch.images_per_second:.0f} images/s{wait}"
    )


def _events(folder: Path) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    with disk_errors(folder):
        return SummaryWriter(str(folder))
