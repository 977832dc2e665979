"""A trained model in a folder: `weights.safetensors` and `settings.json`.

safetensors holds numbers only, so a folder that came from a stranger runs no code. The
settings carry the SHA-256 of the weights: a pair that does not belong together is noticed. They
also name the samples behind the vectors of a gallery, so that both are replaced at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.settings import Settings, settings_from
from baseline.train.trained_net import GalleryHead, TrainedNet, refuse_other_classes, trained_net
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.installation import update_command

FORMAT = 3
"""Of `settings.json`, raised when a network comes to be built otherwise; others are refused."""

# Not what somebody keeps beside them, such as weights-best.safetensors.
_OUR_WEIGHTS = re.compile(r"weights(-[0-9a-f]{16})?\.safetensors")
_MEND = "Train again: baseline train"


def save_model(
    folder: Path,
    model: TrainedNet,
    settings: Settings,
    classes: Sequence[str],
    *,
    scratch: Path | None = None,
) -> None:
    """Write the model into `folder`, which is made; each file is whole or not there at all.

    Unfinished files lie in `scratch`, a folder on the same disk. Where another model is there
    already, its weights stay until the settings name the new ones. Raises NotWritable or DiskFull
    where the disk refuses.
    """
    state = {name: np.ascontiguousarray(value) for name, value in model.state.items()}
    weights = safetensors.numpy.save(state)
    digest = hashlib.sha256(weights).hexdigest()
    described = {
        "format": FORMAT,
        "classes": list(classes),
        "settings": settings.to_json(),
        "weights": _name_beside(folder, digest),
        "weights_sha256": digest,
    }
    if isinstance(model.head, GalleryHead):
        described["known"] = model.head.known
    path = folder / str(described["weights"])
    for name, data in model.backbone.kept_files.items():
        # Named by what they hold: one that is there is not written again.
        if not (folder / name).is_file():
            write_atomic(folder / name, data, scratch=scratch)
    write_atomic(path, weights, scratch=scratch)
    # Last, because a folder counts as a model once it has its settings.
    text = json.dumps(described, indent=2, ensure_ascii=False)
    write_atomic(folder / SETTINGS, text.encode(), scratch=scratch)
    for old in folder.glob("weights*.safetensors"):
        if old != path and _OUR_WEIGHTS.fullmatch(old.name):
            old.unlink(missing_ok=True)


def _name_beside(folder: Path, digest: str) -> str:
    """Return a name for weights that leaves alone those of another model in the same folder."""
    try:
        described = json.loads((folder / SETTINGS).read_bytes())
        there = (described.get("weights", WEIGHTS), described["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return WEIGHTS
    if there[1] == digest:
        return str(there[0])
    return WEIGHTS if there[0] != WEIGHTS else f"weights-{digest[:16]}.safetensors"


def load_model(folder: Path) -> tuple[TrainedNet, Settings, tuple[str, ...]]:
    """Return the model of `folder`, ready to predict, its settings and its classes.

    Raises InputUnusable that says which file is missing or damaged.
    """
    described = _described(folder)
    try:
        # The penalty was a setting once; nothing that predicts goes by it.
        known = {key: value for key, value in described["settings"].items() if key != "penalty"}
        settings = settings_from(known)
        classes = tuple(str(name) for name in described["classes"])
        digest = described["weights_sha256"]
        path = folder / Path(described.get("weights", WEIGHTS)).name
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise _damaged(folder / SETTINGS, error) from error
    weights = _read(path)
    if hashlib.sha256(weights).hexdigest() != digest:
        raise _damaged(path, f"its bytes are not those that {SETTINGS} describes")
    net = _filled(path, settings, len(classes), weights)
    if isinstance(net.head, GalleryHead):
        net.head = replace(net.head, known=_known_samples(folder, described))
    return net, settings, classes


def _known_samples(folder: Path, described: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the keys of the samples behind the vectors of a gallery, by class."""
    try:
        return tuple(tuple(map(str, row)) for row in described["known"])
    except (KeyError, TypeError) as error:
        raise _damaged(folder / SETTINGS, f"its known pictures cannot be read ({error})") from error


def _filled(path: Path, settings: Settings, classes: int, weights: bytes) -> TrainedNet:
    try:
        state = safetensors.numpy.load(weights)
    except (SafetensorError, KeyError) as error:
        raise _damaged(path, error) from error
    try:
        net = trained_net(settings, state, path.parent)
        refuse_other_classes(net, classes)
    except ValueError as error:
        # The bytes are those that were saved: it is the network that differs.
        raise InputUnusable(
            f"{path} does not fit the network that {SETTINGS} describes: {SETTINGS} was changed, "
            "or this version of timm builds another backbone by that name.",
            _MEND,
        ) from error
    return net


def _described(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        described = json.loads(_read(path))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise _damaged(path, "it does not describe a model")
    if described["format"] > FORMAT:
        raise InputUnusable(f"{path} was written by a newer Gleanset.", update_command())
    if described["format"] < FORMAT:
        raise InputUnusable(f"{path} was written by an older Gleanset.", _MEND)
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
