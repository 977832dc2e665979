"""What a process that computes does: it loads the model, and works on requests by it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from webapp.computations import Task
from webapp.loaded_model import load_model
from webapp.settings import ServeSettings

# Once, by what forks the processes.
for name in ("onnxruntime", "webapp.recognizer"):
    import_module(name)


def load(text: str) -> Callable[[Task], tuple[list[Any], float]]:
    """Load the model of `ServeSettings`; return what does tasks by it.

    That returns the results, and the seconds that this process has computed for them. It raises
    `RefusedRequest` for a request that is alone.
    """
    settings = ServeSettings.from_text(text)
    _limit_memory(settings.limits.memory)
    model = load_model(settings)

    def work(task: Task) -> tuple[list[Any], float]:
        begun = time.process_time()
        results: list[Any] = resolve_name(task.computation)(model, task.requests, settings)
        return results, time.process_time() - begun

    return work


def _limit_memory(most: int) -> None:
    """Let this process have so many bytes: what a picture takes beyond them is refused."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
