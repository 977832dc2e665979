"""Checkpoints: an interrupted training resumes and gives the same weights."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from drawn_dataset import fill
from test_methods import RecordingCallback

from baseline.data.runs import CHECKPOINT_FILE as FILE
from baseline.data.runs import remove_checkpoint
from baseline.data.samples import find_examples
from baseline.evaluation.metrics import EpochReport
from baseline.settings import load_preset
from baseline.train import loop
from baseline.train.loop import load_checkpoint, save_checkpoint
from baseline.train.training import TrainingCallback, TrainingData, fit_method
from gleanset import Dataset
from gleanset.errors import DiskFull

SMALL = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "16", "epochs": "3"}
TIMM = {
    "size": "32",
    "weights": "none",
    "backbone": "mobilenetv3_small_050",
    "epochs": "3",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(
        tmp_path_factory.mktemp("checkpoints") / "dataset"
    ) as new_dataset:
        fill(new_dataset, 10)
        yield new_dataset


@pytest.fixture
def fit(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Return a function that trains with a checkpoint after each epoch.

    It returns the losses of each epoch and the weights.
    """
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0)

    def run(
        folder: Path,
        preset: str,
        options: dict[str, str],
        callback: TrainingCallback | None = None,
    ) -> object:
        settings = load_preset(preset, options)
        data = TrainingData(
            dataset, find_examples(dataset), settings, checkpoint_folder=folder
        )
        fitted = fit_method(data, settings, callback)
        losses = [
            (e.train_loss, e.val_loss, e.learning_rate) for e in fitted.course.history
        ]
        return losses, {
            name: value.tobytes() for name, value in fitted.net.state.items()
        }

    return run


class InterruptedCallback(TrainingCallback):
    """Callback that interrupts the training in its second epoch."""

    def on_epoch_end(self, report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("simple", SMALL | {"optimiser": "adam"}),
        ("simple", SMALL | {"optimiser": "sgd"}),
        ("finetune", TIMM | {"batch": "6", "warm_up": "1"}),
        ("triplet", TIMM | {"embedding": "8", "classes_per_batch": "3", "views": "1"}),
    ],
)
def test_interrupted_training_resumes(
    tmp_path: Path, fit: Callable[..., object], preset: str, options: dict[str, str]
) -> None:
    undisturbed = fit(tmp_path / "undisturbed", preset, options)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", preset, options, InterruptedCallback())
    callback = RecordingCallback()
    assert fit(tmp_path / "stopped", preset, options, callback) == undisturbed
    assert "resumed after epoch 1" in callback.lines


def test_foreign_or_damaged_checkpoint_is_ignored(
    tmp_path: Path, fit: Callable[..., object]
) -> None:
    def train(rate: str) -> tuple[object, bool]:
        callback = RecordingCallback()
        result = fit(tmp_path, "simple", SMALL | {"learning_rate": rate}, callback)
        return result, any("resumed" in line for line in callback.lines)

    first, _ = train("0.01")
    assert train("0.01") == (first, True)
    other, is_resumed = train("0.02")
    assert not is_resumed
    assert other != first
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-100])
    assert train("0.01") == (first, False)


def test_full_disk_keeps_old_checkpoint(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("size=1m") / "checkpoint"
    save_checkpoint(folder, {"net": {"a": torch.ones(1000)}}, {"step": 1})
    with pytest.raises(DiskFull, match="no space left"):
        save_checkpoint(folder, {"net": {"a": torch.ones(1_000_000)}}, {"step": 2})
    assert load_checkpoint(folder)[1] == {"step": 1}
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_checkpoint_round_trip_and_removal(tmp_path: Path) -> None:
    weights = torch.arange(6.0).reshape(2, 3).T
    save_checkpoint(tmp_path / "run", {"net": {"w": weights}}, {"loss": 0.1 + 0.2})
    result = load_checkpoint(tmp_path / "run")
    assert result[1] == {"loss": 0.1 + 0.2}
    (tmp_path / "run" / FILE).write_bytes(b"no checkpoint")
    assert torch.equal(result[0]["net"]["w"], weights)
    assert load_checkpoint(tmp_path / "run") is None
    remove_checkpoint(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    remove_checkpoint(tmp_path / "run")
