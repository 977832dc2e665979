"""A training in one file, so that it can be taken up where it was last saved.

safetensors with the figures as JSON in its header: numbers and text, never code. One file that is
replaced as a whole, so a kill at any instruction leaves the last one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.platform import sync_folder

FILE = "checkpoint.safetensors"
FORMAT = "1"
State = dict[str, torch.Tensor]


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
    """What was saved in `folder`; None where there is nothing, or nothing whole."""
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
    """The state under names that begin with `prefix/`."""
    return {f"{prefix}/{name}": value for name, value in state.items()}


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> State:
    """The reverse of `named`."""
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}/")
    }


def optimiser_state(optimiser: torch.optim.Optimizer) -> State:
    """The tensors of an optimiser, named `<number of the weight>/<name>`."""
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
    """The number of the system's error, which safetensors tells in words only."""
    words = str(error)
    for number in (28, 122, 13, 30):
        if f"os error {number})" in words:
            return number, os.strerror(number)
    return 5, words
