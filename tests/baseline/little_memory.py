"""A training whose process may have only so many megabytes more than it has at its beginning.

    python little_memory.py MEGABYTES BATCH

Prints what a person is told, then the figures as a line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch
from drawn_patterns import CLASSES, none, patterns

from baseline.compute import reproducible
from baseline.loop.reports import Watch
from baseline.networks import build_net
from baseline.settings import Simple, load_preset
from baseline.training import learn_pictures
from gleanset.errors import InputUnusable


class Told(Watch):
    """Passes on what a person is told."""

    def say(self, line: str) -> None:
        print(line, flush=True)  # noqa: T201


def main(megabytes: int, batch: str) -> None:
    torch.set_num_threads(1)
    options = {"size": "32", "blocks": "256,8", "dense": "8", "epochs": "2", "precision": "fp32",
               "learning_rate": "0.01", "dropout": "0", "batch": batch}  # fmt: skip
    settings = load_preset("simple", options)
    assert isinstance(settings, Simple)
    pictures = patterns((128, 128, 128), 1)
    with reproducible(0):
        net = build_net(settings, 3)
    learn_small = load_preset("simple", options | {"batch": "4", "epochs": "1"})
    assert isinstance(learn_small, Simple)
    # Threads and libraries take what they need once and for all.
    learn_pictures(build_net(settings, 3), patterns((8, 8, 8), 1), none(), CLASSES, learn_small)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
    try:
        fitted = learn_pictures(net, pictures, none(), CLASSES, settings, watch=Told())
    except InputUnusable as error:
        print(json.dumps({"error": error.what, "mend": error.mend}))  # noqa: T201
        return
    losses = [report.train_loss for report in fitted.history]
    print(json.dumps({"losses": losses} | fitted.facts))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
