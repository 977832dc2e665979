"""TensorBoard events of a training, in its run's folder."""

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from baseline.evaluation.metrics import EpochReport
from baseline.train.training import TrainingCallback

FOLDER = "tensorboard"


class TensorBoardLogger(TrainingCallback):
    """Callback that passes everything on to another one, and writes events of epochs."""

    def __init__(self, folder: Path, logger: TrainingCallback) -> None:
        self._logger = logger
        self._writer = SummaryWriter(str(folder / FOLDER))

    def on_train_begin(self, images: int, epochs: int, finished_images: int) -> None:
        """Pass it on."""
        self._logger.on_train_begin(images, epochs, finished_images)

    def on_step(self, epoch: int, images: int, loss: float, accuracy: float) -> None:
        """Pass it on."""
        self._logger.on_step(epoch, images, loss, accuracy)

    def on_epoch_end(self, report: EpochReport) -> None:
        """Write loss, accuracy and learning rate of the epoch."""
        self._logger.on_epoch_end(report)
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

    def say(self, line: str) -> None:
        """Pass it on."""
        self._logger.say(line)

    def close(self) -> None:
        """Close the file of events."""
        self._writer.close()
