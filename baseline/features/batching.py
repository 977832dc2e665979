"""Gathering images into batches, and what is said where the memory is full. No PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gleanset.errors import GleansetError, UsageError
from gleanset.html.words import count

T = TypeVar("T")

_MEMORY_FULL = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a memory",
    "insufficient memory",
    "unable to allocate",
    "cannot allocate memory",
)
# oneDNN's word for it; a primitive descriptor that it cannot create is an error of ours.
_NO_PRIMITIVE = re.compile(r"could not create a primitive(?! descriptor)")


@contextmanager
def full_memory_explained(images: int) -> Iterator[None]:
    """Raise `UsageError` where the memory does not suffice for so many images at once."""
    try:
        yield
    except Exception as error:  # onnxruntime has a kind of its own for each way to fail
        if isinstance(error, GleansetError) or not is_out_of_memory(error):
            raise
        raise UsageError(
            f"out of memory with {count(images, 'image')} at once",
            "take smaller batches (-o batch=…) or images (-o size=…), or a smaller network",
        ) from error


def batches_of(count: int, size: int) -> list[slice]:
    """Return slices of 0..`count` of at most `size` each, in order."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def gathered(
    items: Iterable[T], size: int, pictures: Callable[[T], int] = lambda item: 1
) -> Iterator[list[T]]:
    """Yield the items in lists, each as soon as it holds `size` pictures; the last may hold fewer.

    `pictures` says how many pictures an item has.
    """
    waiting: list[T] = []
    held = 0
    for item in items:
        waiting.append(item)
        held += pictures(item)
        if held >= size:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, torch or a library under it says that memory is full."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return any(words in text for words in _MEMORY_FULL) or bool(_NO_PRIMITIVE.search(text))
