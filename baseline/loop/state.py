"""Where a training is, and how that is saved and found again."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baseline.loop.checkpoint import (
    State,
    fill_optimiser,
    load_checkpoint,
    named,
    optimiser_state,
    save_checkpoint,
    under,
)
from baseline.loop.reports import EpochReport, RateTest
from baseline.loop.steps import Stepper

SELDOM = 20
"""Saving may take at most this fraction of the time: a twentieth."""
AT_LEAST = 2.0
"""Seconds between two savings: what a kill may cost."""


@dataclass
class Place:
    """How far a training has come. `sums` are those of the epoch so far (see `Stepper.step`)."""

    sums: torch.Tensor
    epoch: int = 1
    step: int = 0  # steps of the epoch that are done
    seconds: float = 0.0
    waited: float = 0.0
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best: State = field(default_factory=dict)
    rate: float = 0.0
    test: RateTest | None = None

    def next_epoch(self) -> None:
        """At the beginning of the next one."""
        self.sums.zero_()
        self.epoch, self.step, self.seconds, self.waited = self.epoch + 1, 0, 0.0, 0.0

    def facts(self) -> dict[str, Any]:
        """All but the tensors as JSON values. An infinite loss is None."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "waited": self.waited,
            "history": [asdict(report) for report in self.history],
            "best_epoch": self.best_epoch,
            "rate": self.rate,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "test": self.test and asdict(self.test),
        }

    def fill(self, facts: dict[str, Any]) -> None:
        """The reverse of `facts`."""
        self.epoch, self.step = facts["epoch"], facts["step"]
        self.seconds, self.waited, self.rate = facts["seconds"], facts["waited"], facts["rate"]
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.best_epoch = facts["best_epoch"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        if told := facts["test"]:
            self.test = RateTest(tuple(told["rates"]), tuple(told["losses"]), told["chosen"])


class Saver:
    """Saves a training now and then into a folder, and finds it again; without one, neither.

    `tag` tells one training from another: a checkpoint of other settings or samples is not
    taken up.
    """

    def __init__(self, folder: Path | None, tag: str, stepper: Stepper) -> None:
        self.folder, self.tag, self.stepper = folder, tag, stepper
        self._next = time.monotonic() + AT_LEAST

    def save_if_due(self, place: Place) -> None:
        """Save when the last time is long enough ago for what it takes."""
        if self.folder is not None and time.monotonic() >= self._next:
            self.save(place)

    def save(self, place: Place) -> None:
        """Save now."""
        if self.folder is None:
            return
        start = time.monotonic()
        stepper = self.stepper
        tensors = (
            named("net", stepper.net.state_dict())
            | named("best", place.best)
            | named("optimiser", optimiser_state(stepper.optimiser))
            | {"sums": place.sums}
        )
        facts = {"tag": self.tag, "part": stepper.part, "scaler": stepper.scaler.state_dict()}
        save_checkpoint(self.folder, tensors, facts | place.facts())
        took = time.monotonic() - start
        self._next = time.monotonic() + max(AT_LEAST, SELDOM * took)

    def resume(self, place: Place) -> bool:
        """Go where the last checkpoint was. False, and nothing changed, where none fits."""
        found = load_checkpoint(self.folder) if self.folder is not None else None
        if found is None or found[1]["tag"] != self.tag:
            return False
        tensors, facts = found
        self.stepper.net.load_state_dict(under("net", tensors))
        fill_optimiser(self.stepper.optimiser, under("optimiser", tensors))
        self.stepper.scaler.load_state_dict(facts["scaler"])
        self.stepper.part = facts["part"]
        place.sums.copy_(tensors["sums"])
        place.best = under("best", tensors)
        place.fill(facts)
        return True


def tag_of(net: nn.Module, *told: object) -> str:
    """A hash of what makes a training this one: its network's shape and all that is `told`."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    for thing in told:
        digest.update(thing if isinstance(thing, bytes) else repr(thing).encode())
    return digest.hexdigest()
