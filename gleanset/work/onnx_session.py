"""Networks in ONNX form, run by onnxruntime on the CPU."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gleanset.errors import MissingComponent

_FATAL = 4


def onnx_session(model: bytes, threads: int = 1) -> Any:
    """Return onnxruntime's session of a model; any thread may ask it, at the same time as others.

    One call is computed by so many `threads`, 0 for as many as onnxruntime takes by itself: worker
    processes are as many as cores already. Raises `ValueError` for bytes that are no model for it,
    and `MissingComponent` where it cannot be loaded itself.
    """
    try:
        runtime: Any = import_module("onnxruntime")  # half of our commands do without
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        raise MissingComponent(f"onnxruntime cannot be loaded: {error}", fix) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a kind of its own, not public, for each way to fail
        raise ValueError(str(error)) from error
