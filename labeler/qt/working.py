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
from gleanset.work.progress import Progress

T = TypeVar("T")


class Cancelled(GleansetError):
    """A person has had enough of it."""


class Reporting(Progress):
    """Progress that tells a window, and ends the work when it is told to."""

    def __init__(self, tell: Callable[[str, int, int], None], ended: threading.Event) -> None:
        super().__init__(quiet=True)
        self._tell, self._ended = tell, ended

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
        self._tell(what, 0, total or 0)
        try:
            for batch in batches:
                if self._ended.is_set():
                    raise Cancelled("it was cancelled, and nothing was changed")
                yield batch
                done += len(batch)
                self._tell(what, done, total or 0)
        finally:
            _close(batches)


def _close(items: Iterable[object]) -> None:
    """End a generator now: its workers must not write on while their folder is taken away."""
    if isinstance(items, Generator):
        items.close()


class Working(QObject):
    """One kind of work, at most once at a time.

    `done` has its answer, `failed` (text) why there is none, `progressed` (what, done, total;
    0 where that is not known) how far it is.
    """

    done = Signal(object)
    failed = Signal(str)
    progressed = Signal(str, int, int)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.busy = False
        """Until its answer was delivered."""
        for end in (self.done, self.failed):
            end.connect(self._rest)

    def start(self, work: Callable[[Dataset, Progress], Any]) -> bool:
        """Begin; False while it is still at it."""
        if self.busy:
            return False
        self.busy = True
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, args=(work,), name="working")
        self._thread.start()
        return True

    def _run(self, work: Callable[[Dataset, Progress], Any]) -> None:
        def tell(what: str, done: int, total: int) -> None:
            with suppress(RuntimeError):  # the window is gone already
                self.progressed.emit(what, done, total)

        with suppress(RuntimeError):
            try:
                with Dataset.open(self._root) as dataset:
                    answer = work(dataset, Reporting(tell, self._ended))
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
        """End it, and wait."""
        self.cancel()
        if self._thread is not None:
            self._thread.join()
