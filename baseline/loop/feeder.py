"""Batches made ahead in threads while the network works, so that it need not wait for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
AHEAD = 2
"""Batches that each thread has ready: more would only cost memory."""


class Feeder(Generic[T]):
    """Gives `make(i)` for each `i` of `numbers`, in order, made in `threads` threads.

    `take_waited` says how many seconds the taker stood still for it.
    """

    def __init__(self, make: Callable[[int], T], numbers: range, threads: int = 1) -> None:
        self._make, self._numbers, self._threads = make, numbers, threads
        self._waited = 0.0

    def __iter__(self) -> Generator[tuple[int, T], None, None]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        ahead: deque[tuple[int, Future[T]]] = deque()
        rest = iter(self._numbers)
        try:
            while True:
                while len(ahead) < AHEAD * self._threads and (n := next(rest, None)) is not None:
                    ahead.append((n, pool.submit(self._make, n)))
                if not ahead:
                    return
                yield self._taken(*ahead.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def take_waited(self) -> float:
        """Seconds of waiting since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def _taken(self, number: int, future: Future[T]) -> tuple[int, T]:
        start = time.perf_counter()
        made = future.result()
        self._waited += time.perf_counter() - start
        return number, made
