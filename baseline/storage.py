"""A trained model in a folder: `weights.safetensors` and `settings.json`.

safetensors holds numbers only, so a folder that came from a stranger runs no code. The
settings carry the SHA-256 of the weights: a pair that does not belong together is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from baseline.model import SmallNet, build_model
from baseline.presets import Settings, settings_from
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic

WEIGHTS = "weights.safetensors"
SETTINGS = "settings.json"
FORMAT = 1
"""Of `settings.json`; a newer one is refused rather than misread."""

_MEND = "Train again: baseline train"


def save_model(
    folder: Path, model: SmallNet, settings: Settings, classes: Sequence[str], *,
    scratch: Path | None = None,
) -> None:  # fmt: skip
    """Write the model into `folder`, which is made; each file is whole or not there at all.

    Unfinished files lie in `scratch`, a folder on the same disk. Raises NotWritable or
    DiskFull where the disk refuses.
    """
    state = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    weights = safetensors.torch.save(state)
    described = {
        "format": FORMAT,
        "classes": list(classes),
        "settings": settings.to_json(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_atomic(folder / WEIGHTS, weights, scratch=scratch)
    # Last, because a folder counts as a model once it has its settings.
    text = json.dumps(described, indent=2, ensure_ascii=False)
    write_atomic(folder / SETTINGS, text.encode(), scratch=scratch)


def load_model(folder: Path) -> tuple[SmallNet, Settings, tuple[str, ...]]:
    """The model of `folder` on the CPU, ready to predict, its settings and its classes.

    Raises InputUnusable that says which file is missing or damaged.
    """
    described = _described(folder)
    try:
        settings = settings_from(described["settings"])
        classes = tuple(str(name) for name in described["classes"])
        digest = described["weights_sha256"]
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise _damaged(folder / SETTINGS, error) from error
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != digest:
        raise _damaged(folder / WEIGHTS, f"its bytes are not those that {SETTINGS} describes")
    return _filled(folder, build_model(settings, len(classes)), weights), settings, classes


def _filled(folder: Path, model: SmallNet, weights: bytes) -> SmallNet:
    try:
        model.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise _damaged(folder / WEIGHTS, error) from error
    return model.eval()


def _described(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        described = json.loads(_read(path))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise _damaged(path, "it does not describe a model")
    if described["format"] > FORMAT:
        raise InputUnusable(f"{path} was written by a newer Gleanset.", "pip install -U gleanset")
    return described


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputUnusable(f"There is no trained model here: {path} is missing.", _MEND) from None
    except OSError as error:
        raise InputUnusable(f"{path} cannot be read: {error.strerror}.", _MEND) from error


def _damaged(path: Path, why: object) -> InputUnusable:
    return InputUnusable(f"{path} is damaged: {why}.", _MEND)
