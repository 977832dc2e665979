"""The desk: one thread that owns the session, so that the window never waits for a disk.

Widgets hand in a function of the session; it runs on the desk's thread, in order, and its answer
comes back on the window's thread. Decisions that the disk refuses for now are tried again: they
stay first in the queue, and nothing overtakes them.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer, Signal

from gleanset import Dataset
from gleanset.errors import DatasetBusy, DiskFull, GleansetError, NotWritable
from labeler.qt.slow_saving import SlowSaving
from labeler.sorting.files import paths_of
from labeler.sorting.session import Done, Progress, SortingSession

T = TypeVar("T")
POLL_MS = 500
EFFORT_MS = 15_000
PAUSE_SECONDS = 30.0
"""After such a pause nobody was at work."""

RETRY_SECONDS = 1.0
DROP_SECONDS = 20.0


class _Job(NamedTuple):
    work: Callable[[SortingSession], Any]
    then: Callable[[Any], None] | None
    failed: Callable[[GleansetError], None] | None
    decides: bool


class Desk(QObject):
    """Runs work on the session, and says what came of it.

    `progressed` (Progress) comes after every decision, whoever made it; `stepped` (Done) after
    one of this window; `outside` when another program has written; `said` (text, whether it is
    bad) is for the status bar; `waiting` (text) while a decision cannot be saved, '' after.
    """

    progressed = Signal(object)
    stepped = Signal(object)
    outside = Signal()
    said = Signal(str, bool)
    waiting = Signal(str)
    _answered = Signal(object)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.last: Progress | None = None
        self.gestures, self.seconds = 0, 0.0
        self._last_gesture = 0.0
        self._written = 0
        self.stuck = False
        self._slow = SlowSaving()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = threading.Event()
        self._pending = 0
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._timer.start(POLL_MS)
        self._effort = QTimer(self)
        self._effort.timeout.connect(self._write_effort)
        self._effort.start(EFFORT_MS)
        self.ask(lambda session: session.progress(), self._progressed)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._pending > 0

    def ask(
        self, work: Callable[[SortingSession], T], then: Callable[[T], None] | None = None,
        failed: Callable[[GleansetError], None] | None = None,
    ) -> None:  # fmt: skip
        """Read something. What a person can mend goes to `failed`, or else to `said`."""
        self._put(_Job(work, then, failed, decides=False))

    def decide(
        self, work: Callable[[SortingSession], Done], then: Callable[[Done], None] | None = None,
        failed: Callable[[GleansetError], None] | None = None,
    ) -> None:  # fmt: skip
        """Make a decision: it is saved at once, or tried again until it is."""
        self._put(_Job(work, then, failed, decides=True))

    def paths(self, ids: Sequence[int]) -> list[str]:
        """The files of samples, for a drop outside: the one question that is waited for."""
        answer: SimpleQueue[list[str]] = SimpleQueue()

        def look(session: SortingSession) -> None:
            answer.put(paths_of(session.dataset, session.tiles, ids))

        self.ask(look)
        try:
            return answer.get(timeout=DROP_SECONDS)
        except Empty:
            return []

    def undo(self) -> None:
        """Take the last step back."""
        self.decide(lambda session: session.undo())

    def redo(self) -> None:
        """Do the last undone step again."""
        self.decide(lambda session: session.redo())

    def say(self, text: str, bad: bool = False) -> None:
        """Show a line in the status bar."""
        self.said.emit(text, bad)

    def gesture(self) -> None:
        """Count one gesture: a key, a click, a drag or a stroke; and the time since the last."""
        now = time.monotonic()
        self.gestures += 1
        self.seconds += now - self._last_gesture if now - self._last_gesture < PAUSE_SECONDS else 1
        self._last_gesture = now

    def _write_effort(self) -> None:
        gestures, seconds = self.gestures, self.seconds
        if gestures != self._written:
            self._written = gestures
            self.ask(lambda session: session.spend(gestures, seconds), failed=lambda error: None)

    def close(self) -> None:
        """Finish what is queued, and end. Decisions are never dropped."""
        if self._closed.is_set():
            return
        self._timer.stop()
        self._effort.stop()
        self._write_effort()
        self._closed.set()
        self._jobs.put(None)
        self._thread.join()

    def _put(self, job: _Job) -> None:
        if not self._closed.is_set():
            self._pending += 1
            self._slow.queued(job.decides)
            self._jobs.put(job)

    def _poll(self) -> None:
        if self._slow.is_news() and not self.stuck:
            self.stuck = True
            self.waiting.emit(self.tr("another program may be writing here; it is tried on"))
        if not self._pending:
            self.ask(lambda session: session.poll(), self._polled)

    def _polled(self, changed: bool) -> None:
        if changed:
            self.outside.emit()
            self.refresh()

    def refresh(self) -> None:
        """Say anew where the work stands."""
        self.ask(lambda session: session.progress(), self._progressed)

    def _progressed(self, progress: Progress) -> None:
        self.last = progress
        self.progressed.emit(progress)

    def _run(self) -> None:
        """The desk's own thread."""
        session: SortingSession | None = None
        dataset: Dataset | None = None
        while (job := self._jobs.get()) is not None:
            self._slow.begin()
            try:
                if session is None:
                    dataset = Dataset.open(self.root)
                    session = SortingSession(dataset)
                answer = self._carry_out(job, session)
                after = session.progress() if job.decides else None
                self._emit((job, answer, after, None))
            except GleansetError as error:
                self._emit((job, None, None, error))
            except Exception as error:  # our bug: the window goes on, and says so
                traceback.print_exc(file=sys.stderr)
                self._emit((job, None, None, GleansetError(f"a bug in Gleanset: {error!r}")))
            finally:
                self._slow.end()
        if dataset is not None:
            dataset.close()

    def _carry_out(self, job: _Job, session: SortingSession) -> Any:
        refused = False
        while True:
            try:
                answer = job.work(session)
            except (DatasetBusy, DiskFull, NotWritable) as error:
                if not job.decides or self._closed.wait(RETRY_SECONDS if refused else 0):
                    raise
                refused = self.stuck = True
                with suppress(RuntimeError):
                    self.waiting.emit(str(error))
                self._closed.wait(RETRY_SECONDS)
            else:
                self.stuck = False
                if refused:
                    with suppress(RuntimeError):
                        self.waiting.emit("")
                return answer

    def _emit(self, answer: object) -> None:
        with suppress(RuntimeError):  # the window is gone already
            self._answered.emit(answer)

    def _deliver(self, answered: tuple[_Job, Any, Progress | None, GleansetError | None]) -> None:
        job, answer, after, error = answered
        self._pending -= 1
        if self._slow.is_over(job.decides):
            self.stuck = False
            self.waiting.emit("")
        if error is not None:
            if _is_there(job.failed):
                job.failed(error)  # type: ignore[misc]
            elif job.failed is None:
                self.say(str(error), bad=True)
            return
        if after is not None:
            self._progressed(after)
            self.stepped.emit(answer)
        if _is_there(job.then):
            job.then(answer)  # type: ignore[misc]


def _is_there(function: Callable[..., Any] | None) -> bool:
    """Whether a callback can still be called: its widget may be gone."""
    owner = getattr(function, "__self__", None)
    return function is not None and (not isinstance(owner, QObject) or shiboken6.isValid(owner))
