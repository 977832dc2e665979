"""New samples: dropped files are taken in, and what is new is measured for likeness."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from gleanset import Dataset
from labeler.qt.background_task import CancellableProgress
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.dropped import DropResult

PAUSE = 0.01
"""Seconds between a few samples and the next: the window's own threads come first."""


class Intake(QObject):
    """Beside the window. `measuring` (left) counts down, `taking` up; `taken` is a `DropResult`.

    `failed` (why) where files cannot be taken in.
    """

    measuring = Signal(int)
    taking = Signal(int)
    taken = Signal(object)
    failed = Signal(str)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._measuring = worker.task()
        self._taking = worker.task(self.tr("files are being taken in"))
        self._drops: list[tuple[list[Path], str | None, bool]] = []
        self._again = False
        self._measuring.progressed.connect(lambda what, done, left: self.measuring.emit(left))
        self._measuring.done.connect(self._measured)
        self._measuring.failed.connect(self._measured)
        self._taking.progressed.connect(lambda what, done, total: self.taking.emit(done))
        self._taking.done.connect(self._took)
        self._taking.failed.connect(self.failed)
        self._taking.failed.connect(self._next)
        for task in (self._measuring, self._taking):
            task.failed.connect(lambda why: worker.say(why, bad=True))

    def measure(self) -> None:
        """Give every sample a descriptor, a few at a time, so that look-alikes can be found."""
        self._again = not self._measuring.start(measure_all)

    def _measured(self) -> None:
        self.measuring.emit(0)
        if self._again:
            self.measure()

    @property
    def busy(self) -> bool:
        """Whether files are being taken in."""
        return self._taking.busy

    def take(self, paths: Sequence[Path], label: str | None, *, hints: bool = False) -> None:
        """Take dropped files in as they are, one drop after the other.

        With `hints` the names of their folders are hints.
        """
        self._drops.append((list(paths), label, hints))
        self._next()

    def stop(self) -> None:
        """Take no more in: what is taken in by now counts."""
        self._drops.clear()
        self._taking.cancel()

    def _next(self) -> None:
        if self._taking.busy or not self._drops:
            return
        files, label, hints = self._drops.pop(0)

        def work(dataset: Dataset, progress: CancellableProgress) -> DropResult:
            # Nobody drops a file before the window is there: it need not wait for this.
            from labeler.sorting.drop_import import take_in

            def report(count: int) -> None:
                progress.report("taking in", count, 0)

            return take_in(dataset, files, label, report, lambda: progress.cancelled, hints=hints)

        self._taking.start(work)

    def _took(self, result: DropResult) -> None:
        self.taken.emit(result)
        self._next()


def measure_all(dataset: Dataset, progress: CancellableProgress) -> None:
    """Measure what has no descriptor until nothing is left; reports how many that are."""
    from labeler.sorting.measuring import count_unmeasured, measured_by_parts

    left = count_unmeasured(dataset)
    with closing(measured_by_parts(dataset)) as parts:
        while not progress.cancelled and (done := next(parts, None)) is not None:
            left = max(left - done, 0)
            progress.report("measuring", done, left)
            time.sleep(PAUSE)
