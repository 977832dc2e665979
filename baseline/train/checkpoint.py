"""Where a training is, and that in one file, so that it can be taken up where it was last saved.

safetensors with the figures as JSON in its header: numbers and text, never code. One file that is
replaced as a whole, so a kill at any instruction leaves the last one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from baseline.judge.run_figures import EpochReport
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.platform import sync_folder

FILE = "checkpoint.safetensors"
FORMAT = "2"
State = dict[str, torch.Tensor]
REST_PER_SAVE = 20
"""Times as long as a save took that training goes on before the next: saving takes a twentieth."""
SECONDS_BETWEEN_SAVES = 2.0
"""At least: what a kill may cost."""


@dataclass
class TrainingState:
    """How far a training has come.

    `sums` are the loss, its divisor, how many were right and how many there were in the epoch so
    far; `part` is how many samples go through the network at once, None for whole batches.
    """

    sums: torch.Tensor
    epoch: int = 1
    step: int = 0  # steps of the epoch that are done
    seconds: float = 0.0
    waited: float = 0.0
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best: State = field(default_factory=dict)
    part: int | None = None

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.sums.zero_()
        self.epoch, self.step, self.seconds, self.waited = self.epoch + 1, 0, 0.0, 0.0

    def facts(self) -> dict[str, Any]:
        """Return all but the tensors as JSON values. An infinite loss is None."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "waited": self.waited,
            "history": [asdict(report) for report in self.history],
            "best_epoch": self.best_epoch,
            "part": self.part,
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
        }

    def fill(self, facts: dict[str, Any]) -> None:
        """Take over what `facts` gave."""
        self.epoch, self.step = facts["epoch"], facts["step"]
        self.seconds, self.waited, self.part = facts["seconds"], facts["waited"], facts["part"]
        self.history = [EpochReport(**report) for report in facts["history"]]
        self.best_epoch = facts["best_epoch"]
        self.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]


class Checkpointer:
    """Saves a training now and then into a folder, and finds it again; without one, neither.

    `tag` tells one training from another: a checkpoint of other settings or samples is not
    taken up.
    """

    def __init__(
        self,
        folder: Path | None,
        tag: str,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.folder, self.tag = folder, tag
        self.net, self.optimiser, self.scaler = net, optimiser, scaler
        self._next = time.monotonic() + SECONDS_BETWEEN_SAVES

    def save_if_due(self, place: TrainingState) -> None:
        """Save when the last time is long enough ago for what it takes."""
        if self.folder is not None and time.monotonic() >= self._next:
            self.save(place)

    def save(self, place: TrainingState) -> None:
        """Save now."""
        if self.folder is None:
            return
        start = time.monotonic()
        tensors = (
            named("net", self.net.state_dict())
            | named("best", place.best)
            | named("optimiser", optimiser_state(self.optimiser))
            | {"sums": place.sums}
        )
        facts = {"tag": self.tag, "scaler": self.scaler.state_dict()}
        save_checkpoint(self.folder, tensors, facts | place.facts())
        took = time.monotonic() - start
        self._next = time.monotonic() + max(SECONDS_BETWEEN_SAVES, REST_PER_SAVE * took)

    def resume(self, place: TrainingState) -> bool:
        """Go where the last checkpoint was. False, and nothing changed, where none fits."""
        found = load_checkpoint(self.folder) if self.folder is not None else None
        if found is None or found[1]["tag"] != self.tag:
            return False
        tensors, facts = found
        self.net.load_state_dict(under("net", tensors))
        fill_optimiser(self.optimiser, under("optimiser", tensors))
        self.scaler.load_state_dict(facts["scaler"])
        place.sums.copy_(tensors["sums"])
        place.best = under("best", tensors)
        place.fill(facts)
        return True


def training_tag(net: nn.Module, *told: object) -> str:
    """Return a hash of what makes a training this one: its network's shape and all of `told`."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    for thing in told:
        digest.update(thing if isinstance(thing, bytes) else repr(thing).encode())
    return digest.hexdigest()


def save_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], facts: object) -> None:
    """Write tensors and JSON values into `folder`, which is made. Raises DiskFull, NotWritable."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    partial = folder / f"{PARTIAL}{FILE}"
    with disk_errors(folder / FILE):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            save_file(plain, partial, {"format": FORMAT, "facts": json.dumps(facts)})
        except SafetensorError as error:
            raise OSError(*_system_error(error)) from error
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(folder / FILE)
        sync_folder(folder)


def load_checkpoint(folder: Path) -> tuple[State, Any] | None:
    """Return what was saved in `folder`; None where there is nothing, or nothing whole."""
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            told = file.metadata() or {}
            if told.get("format") != FORMAT:
                return None
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(told["facts"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def forget_checkpoint(folder: Path) -> None:
    """Remove what was saved in `folder`, and the folder."""
    for name in (FILE, f"{PARTIAL}{FILE}"):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def named(prefix: str, state: Mapping[str, torch.Tensor]) -> State:
    """Return the state under names that begin with `prefix/`."""
    return {f"{prefix}/{name}": value for name, value in state.items()}


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> State:
    """Return the tensors under `prefix/`, by their own names: the reverse of `named`."""
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}/")
    }


def optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """Return the tensors of an optimiser, named `<number of the weight>/<name>`."""
    return {
        f"{number}/{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }


def fill_optimiser(optimiser: torch.optim.Optimizer, saved: State) -> None:
    """Put the tensors back, in the order in memory that their weights have."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, State] = {}
    for place, value in saved.items():
        number, _, name = place.partition("/")
        state.setdefault(int(number), {})[name] = _laid_out(value, weights[int(number)])
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


def _laid_out(value: torch.Tensor, weight: nn.Parameter) -> torch.Tensor:
    return torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value


def _system_error(error: SafetensorError) -> tuple[int, str]:
    """Return the number of the system's error, which safetensors tells in words only."""
    words = str(error)
    for number in (28, 122, 13, 30):
        if f"os error {number})" in words:
            return number, os.strerror(number)
    return 5, words
