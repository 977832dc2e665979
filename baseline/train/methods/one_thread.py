"""Linear algebra on one thread: on a busy machine several wait for each other far too long."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

# Those whose threads are held must be loaded before they are looked for.
import scipy.linalg  # noqa: F401
import sklearn.linear_model  # noqa: F401
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """Hold the libraries of linear algebra to one thread."""
    held: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return held


@cache
def _libraries() -> Any:
    """Look for the libraries once: each time that would take longer than a small solution."""
    return ThreadpoolController()
