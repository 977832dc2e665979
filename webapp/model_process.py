"""What a process that computes does: it loads the model in force, and works on requests by it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from webapp.served import LoadedModel, ModelSource, load_model
from webapp.settings import RequestLimits, ServeSettings

# Once, by what forks the processes.
import_module("onnxruntime")
Requests = Sequence[Any]


@dataclass(frozen=True)
class Computation:
    """What is computed of requests, a result for each, as they can travel between processes.

    One of `many` requests at a time returns None for each that must be judged alone.
    """

    function: Callable[[LoadedModel, Requests, RequestLimits], list[Any]]
    many: bool = False


class Task(NamedTuple):
    """Requests for a process: by which model, of which server (`ServeSettings` as text)."""

    computation: Computation
    settings: str
    source: ModelSource
    requests: Requests


def computed(task: Task) -> list[Any]:
    """Return the results of a task. Raises `RefusedRequest` for a request that is alone."""
    settings = _settings(task.settings)
    model = _model(task.settings, task.source)
    return task.computation.function(model, task.requests, settings.limits)


def _ready(_: LoadedModel, __: Requests, ___: RequestLimits) -> list[Any]:
    return []


model_is_ready = Computation(_ready)


@lru_cache(1)
def _settings(text: str) -> ServeSettings:
    settings = ServeSettings.from_text(text)
    # Else a signal waits while a library holds Python's lock, and other processes for that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
