"""Work of its own thread beside the desk: measuring what is new, taking in what was dropped.

Each thread opens the dataset for itself; the catalogue is where they meet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from PySide6.QtCore import QObject, Signal, SignalInstance

from gleanset import Dataset
from gleanset.errors import GleansetError
from labeler.sorting.dropped import take_in
from labeler.sorting.traits import count_unmeasured, measure_some

A_FEW = 16
PAUSE = 0.01
TAKING = "taking in"


class Background(QObject):
    """Threads that end with the window. `measuring` (left) counts down; `taken` is a `Taken`."""

    measuring = Signal(int)
    taking = Signal(int)
    taken = Signal(object)
    failed = Signal(str)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[Dataset], None], name: str) -> None:
        """Run something on a thread with its own dataset; its errors go to `failed`."""

        def run() -> None:
            try:
                with Dataset.open(self._root) as dataset:
                    work(dataset)
            except GleansetError as error:
                self._emit(self.failed, str(error))

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def measure(self) -> None:
        """Give every sample a descriptor, a few at a time, so that look-alikes can be found."""
        self.start(self._measure, "measuring")

    def _measure(self, dataset: Dataset) -> None:
        left, after = count_unmeasured(dataset), 0
        while left > 0 and not self._end.is_set():
            after = measure_some(dataset, A_FEW, after)
            if not after:
                break
            left -= A_FEW
            self._emit(self.measuring, max(left, 0))
            time.sleep(PAUSE)
        self._emit(self.measuring, 0)

    @property
    def takes(self) -> bool:
        """Whether files are being taken in."""
        return any(one.name == TAKING and one.is_alive() for one in self._threads)

    def take(self, paths: Sequence[str], label: str | None) -> None:
        """Take dropped files in."""
        files = [Path(path) for path in paths]

        def work(dataset: Dataset) -> None:
            def progress(count: int) -> None:
                self._emit(self.taking, count)

            self._emit(self.taken, take_in(dataset, files, label, progress, self._end.is_set))

        self.start(work, TAKING)

    @staticmethod
    def _emit(signal: SignalInstance, value: object) -> None:
        with suppress(RuntimeError):  # the window is gone already
            signal.emit(value)

    def close(self) -> None:
        """End all threads at the next file or sample."""
        self._end.set()
        for thread in self._threads:
            thread.join()
