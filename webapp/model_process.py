"""What a process that computes does: it loads the model in force, and works on requests by it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from webapp.computations import ModelSource, Task
from webapp.loaded_model import LoadedModel, load_model
from webapp.settings import ServeSettings

# Once, by what forks the processes.
for name in ("onnxruntime", "webapp.recognizer"):
    import_module(name)


def results_of(task: Task) -> tuple[list[Any], float]:
    """Return the results of a task, and the seconds that this process has computed for them.

    Raises `RefusedRequest` for a request that is alone.
    """
    settings = _settings(task.settings)
    model = _model(task.settings, task.source)
    begun = time.process_time()
    results: list[Any] = resolve_name(task.computation)(model, task.requests, settings)
    return results, time.process_time() - begun


def told_of_model(loaded: LoadedModel, places: Sequence[str], settings: ServeSettings) -> list[Any]:
    """Return what functions tell of a model."""
    return [resolve_name(place)(settings, loaded) for place in places]


@lru_cache(1)
def _settings(text: str) -> ServeSettings:
    settings = ServeSettings.from_text(text)
    _bound_memory(settings.limits.memory)
    return settings


@lru_cache(1)
def _model(settings: str, source: ModelSource) -> LoadedModel:
    served = _settings(settings)
    return load_model(source, served.web, served.detector)


def _bound_memory(most: int) -> None:
    """Let this process have so many bytes: what a picture takes beyond them is refused."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
