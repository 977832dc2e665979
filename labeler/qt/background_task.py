"""Long work beside the window: a thread of its own, its own dataset, progress, and a way out."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal

from gleanset import Dataset
from gleanset.errors import GleansetError
from gleanset.platform import lower_thread_priority
from gleanset.work.progress import Progress

T = TypeVar("T")


class Cancelled(GleansetError):
    """A person has cancelled the work."""


class CancellableProgress(Progress):
    """Reports to a window how far work is, and ends it when it was cancelled.

    `report` takes what is done, how much of it, and how much there is (0: not known).
    """

    def __init__(self, report: Callable[[str, int, int], None], ended: threading.Event) -> None:
        super().__init__(quiet=True)
        self.report, self._ended = report, ended

    @property
    def cancelled(self) -> bool:
        """Whether the work is to end."""
        return self._ended.is_set()

    def over(
        self, items: Iterable[T], what: str, total: int | None = None, unit: str = " images"
    ) -> Iterator[T]:
        """Pass items through, and count them. Raises `Cancelled`; what makes them ends first."""
        try:
            yield from super().over(items, what, total, unit)
        finally:
            _close(items)

    def batches(
        self,
        batches: Iterable[list[T]],
        what: str,
        total: int | None = None,
        unit: str = " images",
        note: Callable[[], str] = lambda: "",
    ) -> Iterator[list[T]]:
        """Pass batches through, and count them. Raises `Cancelled` between two of them."""
        done = 0
        self.report(what, 0, total or 0)
        try:
            for batch in batches:
                if self.cancelled:
                    raise Cancelled("it was cancelled, and nothing was changed")
                yield batch
                done += len(batch)
                self.report(what, done, total or 0)
        finally:
            _close(batches)


def _close(items: Iterable[object]) -> None:
    """End a generator now: its workers must not write on while their folder is taken away."""
    if isinstance(items, Generator):
        items.close()


class BackgroundTask(QObject):
    """One kind of work, at most once at a time; `SessionWorker.task` makes it, and ends it.

    `done` has its answer, `failed` (text) why there is none, `progressed` (what, done, total;
    0 where that is not known) how far it is. `description` says what closing the window would
    cut short; empty where nothing would be lost.
    """

    done = Signal(object)
    failed = Signal(str)
    progressed = Signal(str, int, int)

    def __init__(self, root: Path, description: str = "") -> None:
        super().__init__()
        self._root = root
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.description = description
        self._closed = False
        self.busy = False
        """Until its answer was delivered."""
        for end in (self.done, self.failed):
            end.connect(self._rest)

    def start(self, work: Callable[[Dataset, CancellableProgress], Any]) -> bool:
        """Begin, and return True; False while it is still at it, and once it was closed."""
        if self.busy or self._closed:
            return False
        self.busy = True
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, args=(work,), name="background")
        self._thread.start()
        return True

    def _run(self, work: Callable[[Dataset, CancellableProgress], Any]) -> None:
        lower_thread_priority()

        def report(what: str, done: int, total: int) -> None:
            with suppress(RuntimeError):  # the window is gone already
                self.progressed.emit(what, done, total)

        with suppress(RuntimeError):
            try:
                with Dataset.open(self._root) as dataset:
                    answer = work(dataset, CancellableProgress(report, self._ended))
            except GleansetError as error:
                self.failed.emit(str(error))
            except OSError as error:
                self.failed.emit(f"{error.strerror or error}: {error.filename or self._root}")
            except Exception as error:  # our bug: the window goes on, and says so
                traceback.print_exc(file=sys.stderr)
                self.failed.emit(f"a bug in Gleanset: {error!r}")
            else:
                self.done.emit(answer)

    def _rest(self) -> None:
        self.busy = False

    def cancel(self) -> None:
        """End it at the next picture."""
        self._ended.set()

    def close(self) -> None:
        """End it for good, and wait."""
        self._closed = True
        self.cancel()
        if self._thread is not None:
            self._thread.join()
