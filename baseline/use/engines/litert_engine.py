"""An exported LiteRT file, computed by its interpreter: one picture at a time, as on a phone."""

from __future__ import annotations

import io
import threading
import zipfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from baseline.data.pixels import Pixels
from baseline.use.engines.base import Floats, NetworkOutputs
from baseline.use.export.card import FILE, read_card
from gleanset.errors import InputUnusable, MissingComponent


class LiteRtEngine:
    """Computes what a LiteRT model of `baseline export` says of pictures."""

    def __init__(self, model: Path | bytes) -> None:
        """Raise `InputUnusable` for no model of ours, `MissingComponent` without the runtime."""
        if find_spec("ai_edge_litert") is None:
            raise MissingComponent("ai-edge-litert is not installed", "pip install ai-edge-litert")
        name = model if isinstance(model, Path) else Path("model.tflite")
        data = _bytes(model)
        self.card = _card(data, name)
        self.facts = self.card.facts
        self._interpreter = _interpreter(data, name)
        # An interpreter has one set of tensors.
        self._lock = threading.Lock()

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        """Return what the network says of pictures uint8 N x size x size x 3."""
        with self._lock:
            rows = [self._one(picture) for picture in pictures]
        columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
        return NetworkOutputs(*columns)

    def _one(self, picture: Pixels) -> list[Floats]:
        """Return the outputs in the order of the description."""
        place = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.set_tensor(place, picture[None])
        self._interpreter.invoke()
        # Their names count: StatefulPartitionedCall:0 or output_0, output_1, …
        details = sorted(self._interpreter.get_output_details(), key=lambda one: str(one["name"]))
        return [self._interpreter.get_tensor(one["index"]).copy() for one in details]


def _bytes(model: Path | bytes) -> bytes:
    if isinstance(model, bytes):
        return model
    try:
        return model.read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"{model} cannot be read: {error.strerror}", "name a file of: baseline export"
        ) from error


def _card(data: bytes, name: Path) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return read_card(archive.read(FILE), name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputUnusable(
            f"{name} is no model that Gleanset exported", "write one: baseline export"
        ) from error


def _interpreter(data: bytes, name: Path) -> Any:
    runtime = import_module("ai_edge_litert.interpreter")
    try:
        interpreter = runtime.Interpreter(model_content=data)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputUnusable(f"{name} cannot be loaded: {error}", "write it again") from error
    return interpreter
