"""Worker threads in place of worker processes, which take a tenth of a second to start."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gleanset.work.pool import Processes


class ThreadWorkers:
    """A worker thread with the interface of `WorkerPool`; values are copied as to a process."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    def schedule(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Start the function on a copy of an item; the result is a copy, too."""
        return self._executor.submit(_call_with_copies, pickle.dumps((function, item)))


def _call_with_copies(call: bytes) -> Any:
    function, item = pickle.loads(call)
    return pickle.loads(pickle.dumps(function(item)))


@contextmanager
def keep_thread(workers: Processes, job: str) -> Iterator[Processes]:
    """Stand in for `Processes.keep`."""
    with ThreadPoolExecutor(1) as executor:
        yield replace(workers, open_pool=ThreadWorkers(executor))  # type: ignore[arg-type]
