"""The state of a training after an epoch, in one file, so that a killed training can be resumed.

safetensors with the figures as JSON in its header: numbers and text, never code. One file that is
replaced as a whole, so a kill at any instruction leaves the last one or the new one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from baseline.data.runs import CHECKPOINT_FILE
from baseline.judge.run_figures import EpochReport
from gleanset.files.atomic import write_atomic

FORMAT = "4"
State = dict[str, torch.Tensor]
SECONDS_BETWEEN_SAVES = 10.0
"""At least: a save of a large network takes a second."""


@dataclass
class TrainingState:
    """How far a training has come: `epoch` is the next one."""

    best: State = field(default_factory=dict)
    epoch: int = 1
    history: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf

    def figures(self) -> dict[str, Any]:
        """Return all but the tensors as JSON values."""
        values = {name: value for name, value in vars(self).items() if name != "best"}
        return values | {"history": [asdict(report) for report in self.history]}

    def take_up(self, figures: Mapping[str, Any]) -> None:
        """Go on with what `figures` gave."""
        history = [EpochReport(**report) for report in figures["history"]]
        vars(self).update(figures, history=history)


class Checkpointer:
    """Saves a training into a folder, and finds it again; without a folder, neither.

    `tag` tells one training from another: a checkpoint of other settings or samples is not
    resumed.
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

    def save_if_due(self, state: TrainingState) -> None:
        """Save when the last time is long enough ago."""
        if time.monotonic() >= self._next:
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Save now."""
        if self.folder is None:
            return
        states = {
            "net": self.net.state_dict(),
            "best": state.best,
            "optimiser": optimiser_state(self.optimiser),
        }
        known = {"tag": self.tag, "scaler": self.scaler.state_dict(), "figures": state.figures()}
        save_checkpoint(self.folder, states, known)
        self._next = time.monotonic() + SECONDS_BETWEEN_SAVES

    def resume(self, state: TrainingState) -> bool:
        """Go where the last checkpoint was. False, and nothing changed, where none fits."""
        saved = load_checkpoint(self.folder) if self.folder is not None else None
        if saved is None or saved[1]["tag"] != self.tag:
            return False
        states, known = saved
        self.net.load_state_dict(states["net"])
        fill_optimiser(self.optimiser, states.get("optimiser", {}))
        self.scaler.load_state_dict(known["scaler"])
        state.best = states.get("best", {})
        state.take_up(known["figures"])
        return True


def training_tag(net: nn.Module, *facts: object) -> str:
    """Return a hash of what makes a training this one: its network's shape and all of `facts`."""
    digest = hashlib.sha256()
    for name, value in net.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
    for fact in facts:
        digest.update(fact if isinstance(fact, bytes) else repr(fact).encode())
    return digest.hexdigest()


def save_checkpoint(folder: Path, states: Mapping[str, State], known: object) -> None:
    """Write tensors and JSON values into `folder`, which is made. Raises DiskFull, NotWritable."""
    plain = {
        f"{part}/{name}": value.detach().cpu().contiguous()
        for part, state in states.items()
        for name, value in state.items()
    }
    data = safetensors.torch.save(plain, {"format": FORMAT, "known": json.dumps(known)})
    write_atomic(folder / CHECKPOINT_FILE, data)


def load_checkpoint(folder: Path) -> tuple[dict[str, State], Any] | None:
    """Return what was saved in `folder`; None where there is nothing, or nothing whole."""
    states: dict[str, State] = {}
    try:
        with safe_open(folder / CHECKPOINT_FILE, framework="pt") as file:
            notes = file.metadata() or {}
            if notes.get("format") != FORMAT:
                return None
            for path in file.keys():  # noqa: SIM118 - it is no dictionary
                part, _, name = path.partition("/")
                # Copied: no file that is mapped can be replaced on Windows.
                states.setdefault(part, {})[name] = file.get_tensor(path).clone()
            return states, json.loads(notes["known"])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


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
