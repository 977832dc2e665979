"""What is new is measured beside the window, so that look-alikes can be found."""

from __future__ import annotations

import time
from contextlib import closing

from PySide6.QtCore import QObject, Signal

from gleanset import Dataset
from labeler.qt.background_task import CancellableProgress
from labeler.qt.session_worker import SessionWorker

PAUSE = 0.01
"""Seconds between a few samples and the next: the window's own threads come first."""


class Measuring(QObject):
    """Gives every sample a descriptor, a few at a time; `left` counts down."""

    left = Signal(int)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._task = worker.task()
        self._again = False
        self._task.progressed.connect(lambda what, done, left: self.left.emit(left))
        self._task.done.connect(self._ended)
        self._task.failed.connect(self._ended)
        self._task.failed.connect(lambda why: worker.say(why, bad=True))

    def begin(self) -> None:
        """Measure what is new; once more afterwards where it is at that already."""
        self._again = not self._task.start(measure_all)

    def _ended(self) -> None:
        self.left.emit(0)
        if self._again:
            self.begin()


def measure_all(dataset: Dataset, progress: CancellableProgress) -> None:
    """Measure what has no descriptor until nothing is left; reports how many that are."""
    from labeler.sorting.measuring import count_unmeasured, measured_by_parts

    left = count_unmeasured(dataset)
    with closing(measured_by_parts(dataset)) as parts:
        while not progress.cancelled and (done := next(parts, None)) is not None:
            left = max(left - done, 0)
            progress.report("measuring", done, left)
            time.sleep(PAUSE)
