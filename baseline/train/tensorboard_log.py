"""TensorBoard events of a training, in its run's folder."""

import shlex
from collections.abc import Callable
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from baseline.evaluation.metrics import EpochReport
from baseline.train.training import RunLogger
from gleanset.work.progress import Progress


class TensorBoardLogger(RunLogger):
    """Run logger that also writes events of epochs to `tensorboard/`."""

    def __init__(self, folder: Path, progress: Progress, say: Callable[[str], None]):
        super().__init__(folder, progress, say)
        events = str(folder / "tensorboard")
        self._writer = SummaryWriter(events)
        self.say(f"TensorBoard: tensorboard --logdir {shlex.quote(events)}")

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        self._writer.close()
        super().__exit__(kind, error, trace)

    def on_epoch_end(self, report: EpochReport) -> None:
        """Write loss, accuracy and learning rate of the epoch."""
        super().on_epoch_end(report)
        figures = {
            "loss/train": report.train_loss,
            "loss/val": report.val_loss,
            "accuracy/train": report.train_accuracy,
            "accuracy/val": report.val_accuracy,
            "learning_rate": report.learning_rate,
        }

        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, report.epoch)

        # Visible while the training goes on.
        self._writer.flush()
