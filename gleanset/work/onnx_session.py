"""ONNX networks, run by onnxruntime on the CPU."""

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
        import onnxruntime
    except ImportError as error:
        fix = "pip install --force-reinstall onnxruntime"
        raise MissingComponent(f"onnxruntime cannot be loaded: {error}", fix) from error

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    # Waiting threads would use a core each: 1.5 times the CPU of 16 images, and no less time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's error types are not public
        raise ValueError(str(error)) from error
