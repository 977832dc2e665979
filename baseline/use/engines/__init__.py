"""What computes a model's answers: one module for each runtime, loaded when it is used.

A run's folder is computed by PyTorch, an exported file by the runtime of its kind.
"""

from __future__ import annotations

from pathlib import Path

from baseline.use.engines.base import InferenceEngine
from gleanset.errors import InputUnusable


def engine_of(path: Path) -> InferenceEngine:
    """Return the engine for a run's folder, an `.onnx` or a `.tflite` file.

    Raises `InputUnusable` for what is none of them, `MissingComponent` without its runtime.
    """
    if path.suffix == ".onnx":
        from baseline.use.engines.onnx_engine import OnnxEngine

        return OnnxEngine(path)
    if path.suffix == ".tflite":
        from baseline.use.engines.litert_engine import LiteRtEngine

        return LiteRtEngine(path)
    if not path.is_dir():
        raise InputUnusable(
            f"there is no model in {path}", "name a run's folder, an .onnx or a .tflite file"
        )
    from baseline.use.engines.torch_engine import TorchEngine

    return TorchEngine.of(path)
