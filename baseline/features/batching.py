"""The one batcher: pictures are gathered, and go through a network as many at once as fit.

Features, evaluation, prediction and the training loop all use it. Nothing here needs torch, so that
a prediction from an exported file does not load it.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

from gleanset.errors import UsageError
from gleanset.html.words import count

P = ParamSpec("P")
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


class BatchSize:
    """How many pictures go through a network at once: halved each time the memory is full."""

    def __init__(self, size: int, least: int = 1) -> None:
        self.size = size
        self.least = least

    def attempt(
        self, items: int, compute: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Return what `compute` gives of its arguments, or None where the memory was full.

        `items` says how many items go through the network in that call.
        `size` is then half of them. Raises `UsageError` where `items` were no more than
        `least`, and whatever else `compute` raises.
        """
        try:
            return compute(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: the traceback of its error holds on to what filled the memory.
        free_memory()
        if items <= self.least:
            raise no_memory(items)
        self.size = max(self.least, -(-items // 2))
        return None


def no_memory(pictures: int = 1) -> UsageError:
    """Return the error where the memory does not suffice for so few pictures."""
    return UsageError(
        f"the memory does not even suffice for {count(pictures, 'picture')} at once",
        "take smaller pictures (-o size=…) or a smaller network, or end other programs",
    )


def in_batches(
    count: int, batch: BatchSize, compute: Callable[[slice], T], *, padded: bool = False
) -> Iterator[T]:
    """Yield what `compute` gives for one slice of 0..`count` after the other, in order.

    No slice is longer than `batch.size`; one that did not fit into memory is cut. `padded` says
    that `compute` fills the last slice up to that size. Raises what `batch` and `compute` raise.
    """
    done = 0
    while done < count:
        part = slice(done, min(done + batch.size, count))
        items = batch.size if padded else part.stop - part.start
        found = batch.attempt(items, compute, part)
        if found is not None:
            yield found
            done = part.stop


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


def free_memory() -> None:
    """Give back what nothing refers to any longer, on the device as well."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, torch or a library under it says that memory is full."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return any(words in text for words in _MEMORY_FULL) or bool(_NO_PRIMITIVE.search(text))
