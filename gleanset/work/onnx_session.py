"""ONNX networks, run by onnxruntime on the CPU."""

from importlib import import_module
from typing import Any

from gleanset.errors import MissingComponent

_FATAL = 4


def open_onnx_session(model: bytes, threads: int = 1) -> Any:
    """Return an onnxruntime session of a model; it is thread-safe.

    Each call uses `threads` threads, 0 for onnxruntime's default; the default is 1 because there is
    a worker process for each core. Raises `ValueError` for bytes that are not a valid model, and
    `MissingComponent` if onnxruntime cannot be loaded.
    """
    try:
        # Imported here: half of the commands do not need it.
        runtime: Any = import_module("onnxruntime")
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        raise MissingComponent(f"onnxruntime cannot be loaded: {error}", fix) from error

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    try:
        return runtime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's error types are not public
        raise ValueError(str(error)) from error
