"""Training callbacks: progress bar and log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from baseline.evaluation.run_metrics import EpochReport
from gleanset.work.progress import Progress, ProgressMeter

Network = TypeVar("Network")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class StepReport:
    """Progress within an epoch; loss and accuracy are means over the epoch so far."""

    epoch: int
    images: int  # seen in the whole training
    loss: float
    accuracy: float


class TrainingCallback:
    """Callback that does nothing."""

    def on_train_begin(self, images: int, epochs: int, finished_images: int) -> None:
        """Start of a training of `epochs` x `images` samples, including resumed ones."""

    def on_step(self, report: StepReport) -> None:
        """A few times a second."""

    def on_epoch_end(self, report: EpochReport) -> None:
        """After each epoch."""

    def say(self, line: str) -> None:
        """A message for the user."""


@dataclass(frozen=True, slots=True)
class TrainingResult(Generic[Network]):
    """The best network of a training.

    `best_epoch` (from 1) has the lowest validation loss, or is the last one if `validated` is
    False. `facts` are JSON values for the metrics.
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
        """Return the result with another network and more `facts`."""
        changes: dict[str, Any] = {"net": net, "facts": {**self.facts, **facts}}
        return cast(TrainingResult[Other], replace(self, **changes))


LOG = "log.txt"


class RunLogger(TrainingCallback):
    """Context manager that logs a training in `folder`; `say` prints messages for the user."""

    def __init__(
        self,
        folder: Path,
        progress: Progress | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder, self._say = folder, say
        self._progress = progress or Progress()
        self._bar = ProgressMeter()
        self._displayed_images = 0
        self._images = self._epochs = 0

    def __enter__(self) -> RunLogger:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.write(f"stopped by {type(error).__name__}: {error}")
        self._bar.close()

    def on_train_begin(self, images: int, epochs: int, finished_images: int) -> None:
        """Start the progress bar over all images of all epochs."""
        self._bar.close()
        self._images, self._epochs = images, epochs
        self._displayed_images = finished_images
        self._bar = self._progress.meter("train", images * epochs, done=finished_images)
        self.write(f"training on {images} images per epoch, at most {epochs} epochs")

    def on_step(self, report: StepReport) -> None:
        """Update the bar."""
        metrics = f"loss {report.loss:.3f}, accuracy {report.accuracy:.3f}"
        self._show(report.images, f"epoch {report.epoch}/{self._epochs}, {metrics}")

    def on_epoch_end(self, report: EpochReport) -> None:
        """Write the epoch to the log."""
        line = format_epoch(report)
        self.write(f"epoch {report.epoch}/{self._epochs}: {line}")
        self._show(report.epoch * self._images, line)

    def say(self, line: str) -> None:
        """Write a line to the log and print it."""
        self.write(line)
        self._say(line)

    def write(self, line: str) -> None:
        """Write a line to the log, with the time."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}\n")

    def _show(self, images: int, note: str) -> None:
        self._bar.advance(images - self._displayed_images, note)
        self._displayed_images = images


def format_epoch(epoch: EpochReport) -> str:
    """Format the metrics of an epoch as a line."""
    val = "" if epoch.val_accuracy is None else f", val {epoch.val_accuracy:.3f}"
    return (
        f"loss {epoch.train_loss:.3f}, train {epoch.train_accuracy:.3f}{val}, "
        f"{epoch.images_per_second:.0f} images/s"
    )
