"""Functions compiled to machine code by numba, for inner loops that NumPy and OpenCV do not have.

Compiling takes some seconds once; the result is kept beside the function's file, or in the user's
own cache where that folder cannot be written, and later starts load it in a few milliseconds.
Where no folder can be written each process that calls the function compiles it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` as machine code, kept on disk where that is possible."""
    try:
        return cast("Function", njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba found no folder that it can write to
        return cast("Function", njit(nogil=True)(function))
