"""Code of a compute process: loads the model and works on tasks."""

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from webapp.computations import BATCH_COMPUTATIONS, Task
from webapp.loaded_model import load_model
from webapp.settings import ServeSettings

# Imported once, by the process that forks the others.
for name in ("onnxruntime", "webapp.recognizer"):
    import_module(name)


def load(settings: ServeSettings) -> Callable[[Task], tuple[list[Any], float]]:
    """Load the model of a server; return a function that computes tasks.

    It returns the results and the CPU seconds used. Raises `RefusedRequest` and `Unreadable` for a
    single request.
    """
    if sys.platform == "linux":
        import resource

        max_bytes = settings.limits.memory
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, max_bytes))

    # After the limit, which also holds for loading.
    model = load_model(settings)

    def work(task: Task) -> tuple[list[Any], float]:
        start = time.process_time()
        compute = resolve_name(task.computation)
        if task.computation in BATCH_COMPUTATIONS:
            results = compute(model, task.requests, settings)
        else:
            results = [compute(model, request, settings) for request in task.requests]
        return results, time.process_time() - start

    return work
