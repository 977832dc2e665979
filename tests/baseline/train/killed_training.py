"""A training in a process of its own, for the tests that kill it.

    python killed_training.py FOLDER RESULT [OPTION=VALUE ...]

Writes checkpoints to FOLDER, and metrics and a hash of the weights to RESULT. With
`dataset=PATH` and `preset=NAME` it trains that preset on the dataset, otherwise a small network
on drawn patterns.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from drawn_patterns import patterns

from baseline.data.samples import find_examples
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train import loop
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import make_classifier_task, train_network
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import build_net, to_trained_net
from baseline.train.trained_net import TrainedNet
from gleanset import Dataset

TINY = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "16", "epochs": "6"}


class Told(TrainingCallback):
    """A callback that keeps the messages for the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def main(folder: Path, result: Path, options: dict[str, str]) -> str:
    """Train, write the result, and return the messages, one a line."""
    loop.SECONDS_BETWEEN_SAVES = 0
    torch.set_num_threads(1)
    callback, rest = Told(), dict(options)
    if root := rest.pop("dataset", ""):
        fitted = by_preset(Path(root), folder, rest.pop("preset"), rest, callback)
    else:
        fitted = small(folder, rest, callback)
    clocks = ("seconds", "images_per_second", "data_wait")
    epochs = [{k: v for k, v in asdict(e).items() if k not in clocks} for e in fitted.history]
    weights = b"".join(value.tobytes() for value in fitted.net.state.values())
    output = {
        "epochs": epochs,
        "best": fitted.best_epoch,
        "rate": fitted.facts["learning_rate"],
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    result.write_text(json.dumps(output))
    return "\n".join(callback.lines)


def small(
    folder: Path, options: dict[str, str], callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train a network whose first layers are frozen for two epochs."""
    settings = load_preset("simple", TINY | options)
    assert isinstance(settings, Simple)
    with reproducible(settings.seed):
        net = build_net(settings, 3)
    task = make_classifier_task(net, patterns((40, 24, 16), 1), patterns((8, 8, 8), 2), settings)
    resting = replace(task, frozen=net.get_submodule("features"), frozen_epochs=2)
    fitted = train_network(resting, callback, folder)
    return fitted.with_net(to_trained_net(fitted.net, settings))


def by_preset(
    root: Path, folder: Path, preset: str, options: dict[str, str], callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Train with any method, as `baseline train` does."""
    with Dataset.open(root) as dataset:
        settings = load_preset(preset, options)
        return fit_method(
            TrainingData(dataset, find_examples(dataset), settings, checkpoint_folder=folder),
            settings,
            callback,
        )


if __name__ == "__main__":
    words = dict(word.split("=", 1) for word in sys.argv[3:])
    print(main(Path(sys.argv[1]), Path(sys.argv[2]), words))  # noqa: T201
