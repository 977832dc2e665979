"""A training whose process may have only so many megabytes more than it has at its beginning.

    python little_memory.py MEGABYTES BATCH SIZE...

A picture of 256 pixels takes 67 MB in the first layer, one of 32 a megabyte.
Of each size prints what a person is told, then the figures as a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from drawn_patterns import SIDE, none, patterns

from baseline.data.samples import Arrays
from baseline.features.compute import reproducible
from baseline.settings import Simple, load_preset
from baseline.train.callbacks import TrainingCallback
from baseline.train.loop import classifier_task, train_network
from baseline.train.networks import build_net
from gleanset.errors import UsageError


class Told(TrainingCallback):
    """Passes on what a person is told."""

    def say(self, line: str) -> None:
        print(line, flush=True)  # noqa: T201


def enlarged(pictures: Arrays, times: int) -> Arrays:
    """The same pictures, so many times as wide and high."""
    return replace(pictures, x=pictures.x.repeat(times, axis=2).repeat(times, axis=3))


def main(megabytes: int, batch: str, *sizes: int) -> None:
    """Take what libraries need once and for all, then train with so little memory left."""
    torch.set_num_threads(1)
    train("4", 32, pictures=8, epochs="1")
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
    for size in sizes:
        print(json.dumps(train(batch, size)), flush=True)  # noqa: T201


def train(
    batch: str,
    size: int,
    *,
    pictures: int = 64,
    epochs: str = "2",
    watch: TrainingCallback | None = None,
) -> dict[str, Any]:
    """Train on so many pictures of each class; the figures, or the error with its mend."""
    options = {
        "size": str(size),
        "blocks": "256,8",
        "dense": "8",
        "epochs": epochs,
        "precision": "fp32",
        "learning_rate": "0.01",
        "dropout": "0",
        "colour": "grayscale",
        "batch": batch,
    }
    settings = load_preset("simple", options)
    assert isinstance(settings, Simple)
    arrays = enlarged(patterns((pictures,) * 3, 1, channels=1), size // SIDE)
    with reproducible(0):
        net = build_net(settings, 3)
    try:
        fitted = train_network(classifier_task(net, arrays, none(), settings), watch or Told())
    except UsageError as error:
        return {"error": error.what, "mend": error.mend}
    return {"losses": [report.train_loss for report in fitted.history]} | fitted.facts


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
