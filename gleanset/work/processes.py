"""Start and end of the worker processes of a pool, without output on the terminal.

On Linux a fork server, a new process that only imports, forks the workers: their imports are done
once and share memory. Elsewhere each worker is spawned, because a fork after some system libraries
ran is not safe there.

Ctrl-C reaches every process of a terminal, including a worker that is still starting and does not
ignore it yet; and a pool may end while a worker starts. Both would print a traceback.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, Self

from pebble import ProcessPool

from gleanset.errors import CurrentFolderMissing, GleansetError
from gleanset.platform import (
    block_interrupts,
    defer_interrupts,
    end_when_closed,
    has_current_folder,
    keep_freed_memory,
)

if sys.platform == "linux":
    from multiprocessing.context import ForkServerContext as Context
    from multiprocessing.context import ForkServerProcess as Process
else:
    from multiprocessing.context import SpawnContext as Context
    from multiprocessing.context import SpawnProcess as Process

MAX_POOL_STARTS = 5
"""How often a run starts its workers before it gives up."""

POLL_INTERVAL_SECONDS = 0.1

DEATH_REPORT_PAUSES = 10
DEATH_REPORT_PAUSE_SECONDS = 0.01
"""Time in which pebble reads the last messages of a worker before it learns of the death."""


class WorkerProcess(Process):
    """A process that ignores Ctrl-C from its first instruction."""

    _is_end_known = False

    def start(self) -> None:
        """Start the process with interrupts blocked, which it inherits."""
        with block_interrupts():
            super().start()

    def terminate(self) -> None:
        """End the process; `is_alive` need not report that end late."""
        self._is_end_known = True
        super().terminate()

    def is_alive(self) -> bool:
        """Return whether the process runs; report an unexpected end 0.1 s late.

        Pebble notices a death in another thread than it reads messages in. If it looked for the
        task of a worker that acknowledged one and died at once before it had read that message,
        the task would stay pending until its timeout.
        """
        if super().is_alive():
            return True

        if not self._is_end_known:
            self._is_end_known = True
            # Several pauses: in one the other thread might not get the interpreter.
            for _ in range(DEATH_REPORT_PAUSES):
                time.sleep(DEATH_REPORT_PAUSE_SECONDS)
        return False


class WorkerContext(Context):
    """A context that starts workers and keeps their named locks until the last one ends."""

    Process = WorkerProcess

    def __init__(self, job: str):
        super().__init__()
        self.locks: list[Any] = []
        # Imports of the fork server at its start; a running server is reused for this pool.
        self.set_forkserver_preload(
            ["__main__", "gleanset.work.one_thread", __name__, job]
        )

    def RLock(self) -> Any:  # noqa: N802 - name in multiprocessing contexts
        """Return a lock shared by processes, and keep a reference to it."""
        lock = super().RLock()
        self.locks.append(lock)
        return lock


@dataclass
class WorkerPool:
    """Worker processes, started again up to `MAX_POOL_STARTS` times if all are lost.

    An item may take `_seconds`. They have the module `_job` preloaded, and end with the `with`
    block.
    """

    _number: int
    _seconds: float
    _job: str
    _start_count: int = field(default=0, init=False)
    _workers: "_Workers | None" = field(default=None, init=False)

    def schedule(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Run an item in a free worker. Raises `GleansetError` after `MAX_POOL_STARTS` starts."""
        with defer_interrupts():
            while True:
                if not self._workers:
                    self._workers = _Workers(self._number, self._job)
                    self._start_count += 1
                try:
                    return self._workers.schedule(function, item, self._seconds)
                except RuntimeError as error:
                    # All workers were lost, perhaps while they were idle.
                    self.stop()
                    if self._start_count == MAX_POOL_STARTS:
                        raise _workers_die() from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        try:
            if error is None and self._workers is not None:
                self._workers.close()  # waits for all items
        finally:
            self.stop()

    def stop(self) -> None:
        """End the workers immediately."""
        if self._workers:
            self._workers.stop()
        self._workers = None


class _Workers:
    """A pebble pool, which stops when its workers die while they are idle.

    Pebble may then leave futures pending forever: `_watch` fails them.
    """

    def __init__(self, number: int, job: str):
        self._context = WorkerContext(job)
        self._pool = ProcessPool(
            number,
            context=self._context,
            initializer=begin_worker,
            initargs=(os.environ.copy(),),
        )
        self._pending = set[Future[Any]]()
        self._are_lost = threading.Event()
        self._is_over = threading.Event()
        self._joining = threading.Lock()

        try:
            _ = self._pool.active  # reading `active` starts the pool
        except (RuntimeError, OSError):
            # `schedule` fails then, and `WorkerPool` starts others or says what is wrong.
            self._pool.stop()
        threading.Thread(target=self._watch, daemon=True).start()

    def schedule(self, function: Any, item: Any, seconds: float) -> Future[Any]:
        """Schedule an item. Raises `RuntimeError` if the pool has stopped."""
        future: Future[Any] = self._pool.schedule(
            function, args=(item,), timeout=seconds
        )
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        # `_watch` may have failed the pending ones before this one was among them.
        if self._are_lost.is_set():
            self._fail_pending()
        return future

    def close(self) -> None:
        with self._joining:
            self._pool.close()
            self._pool.join()

    def stop(self) -> None:
        if sys.is_finalizing():
            # Daemon threads have stopped by now: joining one would block forever.
            for worker in multiprocessing.active_children():
                worker.kill()
            return

        self._is_over.set()
        self._pool.stop()
        with self._joining:
            self._pool.join()
        # Pebble forgets items that it got while its workers were lost.
        self._fail_pending()
        # Without workers, the locks can be deleted.
        self._context.locks.clear()

    def _watch(self) -> None:
        while self._pool.active:
            self._is_over.wait(POLL_INTERVAL_SECONDS)
        if not self._is_over.is_set():
            # Pebble settles futures until its threads have ended.
            with self._joining:
                self._pool.join()
            self._are_lost.set()
            self._fail_pending()

    def _fail_pending(self) -> None:
        for future in list(self._pending):
            with suppress(InvalidStateError):
                future.set_exception(BrokenProcessPool("all workers were lost"))


def _workers_die() -> GleansetError:
    """Return the error for workers that were lost at each start."""
    if not has_current_folder():  # multiprocessing starts workers there
        return CurrentFolderMissing()
    return GleansetError(
        "the worker processes end as soon as they begin",
        "close other programs and try --workers 1; put what a script of your own does behind: "
        "if __name__ == '__main__':",
    )


def begin_worker(environment: Mapping[str, str]) -> None:
    """Set up a worker: no Ctrl-C, end with parent, silent C libraries.

    The worker gets the parent's current `environment`, not that of the fork server at its start.
    Python exceptions are returned to the parent; stderr is discarded because libraries such as
    libtiff would write between progress bars.
    """
    from gleanset.images.decode import limit_pillow
    from gleanset.work.one_thread import compute_on_one_thread

    limit_pillow()
    keep_freed_memory()
    gc.freeze()  # keeps memory shared with the fork server
    os.environ.clear()
    os.environ.update(environment)
    compute_on_one_thread()

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    parent = multiprocessing.parent_process()
    if parent:
        # Two ways to end with the parent. The thread works on every system, the signal of Linux
        # even while a library holds the GIL.
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        end_when_closed(parent.sentinel)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
