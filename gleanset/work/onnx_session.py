"""Networks in ONNX form, run by onnxruntime on the CPU."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FATAL = 4


def onnx_session(model: bytes, threads: int = 1) -> Any:
    """Return onnxruntime's session of a model; any thread may ask it, at the same time as others.

    One call is computed by so many `threads`, 0 for as many as onnxruntime takes by itself: worker
    processes are as many as cores already. onnxruntime has a kind of exception of its own, none of
    them public, for each way in which bytes are no model.
    """
    runtime: Any = import_module("onnxruntime")  # half of our commands do without
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
