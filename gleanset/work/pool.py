"""Parallel execution of a function over items in processes or threads.

The function must return values and have no side effects; only the caller writes to a dataset.
Results are yielded as they are ready, in bounded memory. If a worker process dies, its item is
tried once more and then becomes a failure; an item that exceeds the timeout becomes a failure.
Workers are not forks of this process: after OpenCV or Qt ran, a fork can deadlock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from gleanset.errors import GleansetError, Unreadable
from gleanset.platform import count_cores, defer_interrupts

if TYPE_CHECKING:
    from gleanset.work.processes import WorkerPool

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)

IN_FLIGHT_PER_WORKER = 2
ATTEMPTS = 2
_SECONDS_PER_BATCH = 0.1


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """The outcome of one item: a result, or the reason and detail of its failure."""

    item: Item
    result: Result | None = None
    reason: str | None = None
    detail: str = ""

    def unwrap(self) -> Result:
        """Return the result. Raises `Unreadable` with reason and detail of a failure."""
        if self.result is None:
            raise Unreadable(self.reason or "?", self.detail)
        return self.result


class OpenPool(NamedTuple):
    """Workers that accept items, at most `capacity` at once."""

    submit: Callable[[Any], Future[Any]]
    capacity: int


@dataclass(frozen=True)
class Processes:
    """Worker processes (0: one per core) for decoding and detection, which may crash or hang."""

    number: int = 0
    seconds_per_item: float = 120.0
    open_pool: WorkerPool | None = None

    @contextmanager
    def pool(self, function: Callable[[Any], Any]) -> Iterator[OpenPool]:
        """Open a pool of new processes, or reuse those of `keep`."""
        # A callable object has the module of its class.
        job = getattr(function, "__module__", None) or type(function).__module__
        kept = nullcontext(self) if self.open_pool else self.keep(job)
        with kept as workers:
            pool = workers.open_pool
            assert pool
            in_flight = (self.number or count_cores()) * IN_FLIGHT_PER_WORKER
            yield OpenPool(partial(pool.schedule, function), in_flight)

    @contextmanager
    def keep(self, job: str) -> Iterator[Processes]:
        """Keep workers for all runs in the block, with module `job` preloaded."""
        # Imported here: threads do not need it.
        from gleanset.work.processes import WorkerPool

        with WorkerPool(
            self.number or count_cores(), self.seconds_per_item, job
        ) as pool:
            yield replace(self, open_pool=pool)


@dataclass(frozen=True)
class Threads:
    """Threads: for network I/O. `stop` aborts pending requests when the run is interrupted."""

    number: int = 16
    stop: Callable[[], None] = lambda: None

    @contextmanager
    def pool(self, function: Callable[[Any], Any]) -> Iterator[OpenPool]:
        """Open a pool of threads; an early stop drops queued items."""
        pool = ThreadPoolExecutor(self.number, thread_name_prefix="gleanset")
        try:
            in_flight = self.number * IN_FLIGHT_PER_WORKER
            yield OpenPool(
                lambda item: pool.submit(function, item),
                in_flight,
            )
        except BaseException:
            self.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


Workers = Processes | Threads


def run_over(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: Workers,
    may_start: Callable[[int], bool] = lambda in_flight: True,
) -> Iterator[Outcome[Item, Result]]:
    """Run `function` over `items`; yield an `Outcome` for each when finished.

    `items` is read lazily, only a few ahead. Before an item is read, `may_start` is called with the
    number in flight: if it returns False, nothing new starts until an item finishes, and the run
    ends when nothing is in flight. An `Unreadable` or any other exception of one item becomes its
    failure; a `GleansetError` (disk full, missing component, workers that cannot start) ends the
    run. If `items` or `may_start` raises (a site blocks page two), the items in flight are finished
    and yielded first.
    """
    feed = _Feed(items, may_start)
    first, workers = _read_first_items(feed, workers)
    if first or not feed.over:
        with workers.pool(function) as pool:
            yield from _process_items(feed, first, pool)

    if feed.trouble:
        raise feed.trouble


def run_batches(
    function: Callable[[Item], Result], items: Iterable[Item], workers: Workers
) -> Iterator[list[Outcome[Item, Result]]]:
    """Run as `run_over`, but yield the outcomes of 0.1 s together, as one transaction."""
    batch = []
    yielded = 0.0  # long ago: the first outcome is yielded at once
    try:
        for outcome in run_over(function, items, workers):
            batch.append(outcome)
            if monotonic() - yielded > _SECONDS_PER_BATCH:
                yield batch
                batch = []
                yielded = monotonic()
    except (Exception, KeyboardInterrupt):
        # Outcomes before the error are not lost.
        yield batch
        raise
    if batch:
        yield batch


def _process_items(
    feed: _Feed[Item], first: list[Item], pool: OpenPool
) -> Iterator[Outcome[Item, Any]]:
    in_flight = {}
    ready = SimpleQueue[Future[Any]]()

    def start(item: Item, attempt: int) -> None:
        # Together: a future that is not in `in_flight` would be lost.
        with defer_interrupts():
            future = pool.submit(item)
            in_flight[future] = (item, attempt)
            future.add_done_callback(ready.put)

    while True:
        while len(in_flight) < pool.capacity:
            next_items = first or feed.take(len(in_flight))
            if not next_items:
                break
            start(next_items.pop(0), attempt=1)
        if not in_flight:
            return

        future = ready.get()
        item, attempt = in_flight.pop(future)
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            start(item, attempt)  # all workers were lost before one started the item
        elif _is_lost_worker(error) and attempt < ATTEMPTS:
            start(item, attempt + 1)
        else:
            yield make_failure(item, error) if error else Outcome(item, future.result())


def _read_first_items(
    feed: _Feed[Item], workers: Workers
) -> tuple[list[Item], Workers]:
    """Return the first items, and workers limited to the number of items."""
    if isinstance(workers, Threads):
        return [], workers  # an executor starts threads only as items come
    first = feed.first(workers.number or count_cores())
    if feed.over:
        workers = replace(workers, number=max(1, len(first)))
    return first, workers


class _Feed(Generic[Item]):
    """Reads items one by one, and stores the exception that ended the iteration."""

    def __init__(self, items: Iterable[Item], may_start: Callable[[int], bool]):
        self._items = iter(items)
        self._may_start = may_start
        self.trouble: Exception | None = None
        self.over = False

    def first(self, number: int) -> list[Item]:
        """Return up to `number` items, fewer if no more may start now."""
        items: list[Item] = []
        while len(items) < number:
            next_items = self.take(len(items))
            if not next_items:
                break
            items += next_items
        return items

    def take(self, in_flight: int) -> list[Item]:
        """Return a list of one item, empty if none may start."""
        try:
            if not self.over and self._may_start(in_flight):
                return [next(self._items)]
        except StopIteration:
            self.over = True
        except Exception as error:  # raised again as soon as nothing is in flight
            self.over = True
            self.trouble = error
        return []


def _is_lost_worker(error: BaseException | None) -> bool:
    if not error or isinstance(error, GleansetError):
        return False
    # Imported here: most runs have no such error, and threads do not use pebble.
    from pebble import ProcessExpired

    return isinstance(error, ProcessExpired)


def make_failure(item: Item, error: BaseException) -> Outcome[Item, Any]:
    """Return the failure of an item; raise errors that end the run."""
    if isinstance(error, Unreadable):
        log.debug("%r is rejected", item, exc_info=error)
        return Outcome(item, None, error.reason, error.detail)
    if isinstance(error, GleansetError) or not isinstance(error, Exception):
        raise error
    if _is_lost_worker(error):
        return Outcome(item, None, "crashed", "the worker died on it twice")
    if isinstance(error, TimeoutError):
        return Outcome(item, None, "too slow", "it took longer than an item may")
    log.error("unexpected error on %r", item, exc_info=error)
    return Outcome(
        item,
        None,
        "internal error",
        f"{type(error).__name__}: {error}",
    )
