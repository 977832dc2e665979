"""How the worker processes of a pool begin and end, without a word on the terminal.

On Linux a server, itself a fresh process that only imports, forks them: what each of them would
import is imported once, and stays in memory once. Elsewhere each is spawned, because a fork after
some libraries of the system ran is not safe there.

Ctrl-C reaches every process of a terminal, also one that is only just starting and has not
come to ignore it; and a pool may end while one is starting. Either would show a traceback.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any

from pebble import ProcessPool

from gleanset.errors import GleansetError
from gleanset.platform import end_when_closed, interrupts_blocked

if sys.platform == "linux":
    from multiprocessing.context import ForkServerContext as Context
    from multiprocessing.context import ForkServerProcess as Process
else:
    from multiprocessing.context import SpawnContext as Context
    from multiprocessing.context import SpawnProcess as Process

POOLS = 5
"""How often a run begins workers before nothing more is hoped of them."""

SECONDS_BETWEEN_LOOKS = 0.1


class WorkerProcess(Process):
    """A new process that is deaf to Ctrl-C from its first instruction on."""

    def start(self) -> None:
        """As every process is started, in a thread that blocks what the new one inherits."""
        with interrupts_blocked():
            super().start()


class WorkerContext(Context):
    """Starts workers, and keeps named locks, which they look up, until the last has ended."""

    Process = WorkerProcess

    def __init__(self, job: str) -> None:
        super().__init__()
        self.locks: list[Any] = []
        # What the server imports when it begins; one that runs already serves this pool, too.
        self.set_forkserver_preload(["__main__", "gleanset.work.one_thread", __name__, job])

    def RLock(self) -> Any:  # noqa: N802 - the name that it has in every context
        """Return a lock for several processes."""
        self.locks.append(lock := super().RLock())
        return lock


class WorkerPool:
    """Worker processes, started again when all were lost; `GleansetError` after `POOLS` times."""

    def __init__(self, number: int, seconds_per_item: float, job: str) -> None:
        self._number = number
        self._job = job
        self._seconds = seconds_per_item
        self._begun = 0
        self._workers: _Workers | None = None

    def schedule(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Have an item done by the next worker that is free; `BrokenProcessPool` if all die."""
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise _workers_die()
        while True:
            if self._workers is None:
                self._workers = _Workers(self._number, self._job)
                self._workers.begin()
                self._begun += 1
            try:
                return self._workers.schedule(function, item, self._seconds)
            except RuntimeError as error:
                self.stop()
                if self._begun == POOLS:
                    raise _workers_die() from error

    def close(self) -> None:
        """Wait until all is done, and let the workers go."""
        if self._workers is not None:
            self._workers.close()

    def stop(self) -> None:
        """End the workers, whatever they do."""
        if self._workers is not None:
            self._workers.stop()
        self._workers = None


class _Workers:
    """A pool of pebble's, which gives up on itself when its workers die with nothing in hand.

    What was given to it by then may never be answered: `_keep` sees to that.
    """

    def __init__(self, number: int, job: str) -> None:
        self._context = WorkerContext(job)
        self._pool = ProcessPool(
            number,
            context=self._context,
            initializer=begin_worker,
            initargs=(os.environ.copy(),),
        )
        self._unanswered: set[Future[Any]] = set()
        self._begun, self._lost, self._over = (threading.Event() for _ in range(3))
        self._joining = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def begin(self) -> None:
        """Only the main thread gets interrupts, and one must not leave a pool half begun."""
        self._keeper.start()
        self._begun.wait()

    def schedule(self, function: Any, item: Any, seconds: float) -> Future[Any]:
        """Raises `RuntimeError` where the pool is no more."""
        future: Future[Any] = self._pool.schedule(function, args=(item,), timeout=seconds)
        self._unanswered.add(future)
        future.add_done_callback(self._unanswered.discard)
        if self._lost.is_set():
            self._answer()
        return future

    def close(self) -> None:
        with self._joining:
            self._pool.close()
            self._pool.join()

    def stop(self) -> None:
        if sys.is_finalizing():
            # Its threads stand still by now: who waits for one of them waits for ever.
            for worker in multiprocessing.active_children():
                worker.kill()
            return
        if self._keeper.ident is not None:
            self._begun.wait()
        self._over.set()
        self._pool.stop()
        with self._joining:
            self._pool.join()
        self._context.locks.clear()

    def _keep(self) -> None:
        try:
            _ = self._pool.active  # asked whether it is active, a pool begins
        except (RuntimeError, OSError):
            self._pool.stop()
        self._begun.set()
        while self._pool.active:
            self._over.wait(SECONDS_BETWEEN_LOOKS)
        if not self._over.is_set():
            with self._joining:  # pebble answers what it can, until its own threads have ended
                self._pool.join()
            self._lost.set()
            self._answer()

    def _answer(self) -> None:
        for future in list(self._unanswered):
            with suppress(InvalidStateError):
                future.set_exception(BrokenProcessPool("all workers were lost"))


@contextmanager
def worker_pool(number: int, seconds_per_item: float, job: str) -> Iterator[WorkerPool]:
    """Worker processes for a `job` (module), none of which outlives the block."""
    pool = WorkerPool(number, seconds_per_item, job)
    try:
        yield pool
        pool.close()
    finally:
        pool.stop()


def _workers_die() -> GleansetError:
    return GleansetError(
        "the worker processes end as soon as they begin",
        "close other programs and try --workers 1; put what a script of your own does behind: "
        "if __name__ == '__main__':",
    )


def begin_worker(environment: Mapping[str, str]) -> None:
    """Leave Ctrl-C to the parent, end when the parent does, keep C libraries quiet.

    It has the environment that the parent has now, not that of the server when it began. Python's
    own errors travel back as values; what libtiff says of a broken file does not belong between
    progress bars.
    """
    from gleanset.images.decode import limit_pillow
    from gleanset.work.one_thread import compute_on_one_thread

    limit_pillow()
    gc.freeze()  # what is shared with the server of workers stays shared
    os.environ.clear()
    os.environ.update(environment)
    compute_on_one_thread()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        end_when_closed(parent.sentinel)  # also while a library holds Python's lock


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
