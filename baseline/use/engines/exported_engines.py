"""Engines for exported files: ONNX with onnxruntime, LiteRT with its interpreter."""

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
from baseline.use.engines.base import FILE, KEY, Floats, NetworkOutputs, name_outputs, read_card
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.work.onnx_session import open_onnx_session


class OnnxEngine:
    """Engine for an ONNX file of `baseline export`."""

    def __init__(self, model: Path | bytes, threads: int = 0) -> None:
        """Load a model; `threads` is for each call, 0 for the default of onnxruntime.

        Raises `InputUnusable` for a file of another program, and for one that does not match its
        card.
        """
        name, data = _read_model(model, "model.onnx")
        try:
            self._session = open_onnx_session(data, threads)
        except (OSError, ValueError) as error:
            raise _load_error(name, error) from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.facts = read_card(metadata.get(KEY), name).facts
        self._input = self._session.get_inputs()[0].name
        self._check_shapes(name)

    def __call__(self, images: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3."""
        values = self._session.run(None, {self._input: np.ascontiguousarray(images)})
        return name_outputs(self.facts, values)

    def _check_shapes(self, name: Path) -> None:
        """Raise `InputUnusable` if the output shapes do not match the card."""
        facts, size = self.facts, self.facts.size
        try:
            outputs = self(np.zeros((1, size, size, 3), np.uint8))
        except Exception as error:  # onnxruntime has many exception classes
            problem = f"it fails for an image of {size} x {size}: {error}"
            raise _mismatch_error(name, problem) from error
        columns, labels = outputs.probabilities.shape[1], len(facts.classes)
        if columns != labels:
            raise _mismatch_error(name, f"it has {columns} outputs and {labels} labels")
        gallery = None if facts.gallery is None else (1, labels)
        similarity = None if outputs.similarity is None else outputs.similarity.shape[:2]
        width = outputs.embeddings.shape[1]
        if similarity != gallery or (facts.scale and len(facts.scale.mean) != width):
            raise _mismatch_error(name, "its gallery or its scale belongs to another model")


def _mismatch_error(name: Path, problem: str) -> InputUnusable:
    return InputUnusable(
        f"{name} does not match its card: {problem}", "export it again: baseline export"
    )


class LiteRtEngine:
    """Engine for a LiteRT file of `baseline export`."""

    def __init__(self, model: Path | bytes) -> None:
        """Raise `InputUnusable` for another file, `MissingComponent` without the runtime."""
        if find_spec("ai_edge_litert") is None:
            raise MissingComponent("ai-edge-litert is not installed", "pip install ai-edge-litert")
        name, data = _read_model(model, "model.tflite")
        self.card = _card(data, name)
        self.facts = self.card.facts
        self._interpreter = _interpreter(data, name)
        # An interpreter is not thread-safe.
        self._lock = threading.Lock()

    def __call__(self, images: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3."""
        with self._lock:
            rows = [self._run_image(image) for image in images]
        columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
        return name_outputs(self.facts, columns)

    def _run_image(self, image: Pixels) -> list[Floats]:
        index = self._interpreter.get_input_details()[0]["index"]
        self._interpreter.set_tensor(index, image[None])
        self._interpreter.invoke()
        # Outputs are ordered by name: StatefulPartitionedCall:0 or output_0, output_1, …
        outputs = sorted(self._interpreter.get_output_details(), key=lambda o: str(o["name"]))
        return [self._interpreter.get_tensor(output["index"]).copy() for output in outputs]


def _read_model(model: Path | bytes, default_name: str) -> tuple[Path, bytes]:
    if isinstance(model, bytes):
        return Path(default_name), model
    try:
        return model, model.read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"{model} cannot be read: {error.strerror}", "export one: baseline export"
        ) from error


def _load_error(name: Path, error: Exception) -> InputUnusable:
    return InputUnusable(f"{name} cannot be loaded: {error}", "export it again: baseline export")


def _card(data: bytes, name: Path) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return read_card(archive.read(FILE), name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputUnusable(
            f"not a model exported by Gleanset: {name}", "export one: baseline export"
        ) from error


def _interpreter(data: bytes, name: Path) -> Any:
    runtime = import_module("ai_edge_litert.interpreter")
    try:
        interpreter = runtime.Interpreter(model_content=data)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _load_error(name, error) from error
    return interpreter
