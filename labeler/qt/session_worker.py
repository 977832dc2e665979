"""The threads beside the window: the session's own, tasks of their own, and measuring.

The window never waits for a disk. Widgets hand in a function of the session; it runs on the
worker's thread, in order, and its answer comes back on the window's thread. Decisions that the disk
refuses for now are tried again: they stay first in the queue, and nothing overtakes them. Long work
gets a thread of its own from `task`; whether anything is under way, and ending it all, is here.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal, SignalInstance

from gleanset import Dataset
from gleanset.errors import DatasetBusy, DiskFull, GleansetError, NotWritable
from gleanset.platform import lower_thread_priority
from gleanset.work.progress import Progress
from labeler.sorting.sample_images import paths_of
from labeler.sorting.session import SortingProgress, SortingSession, StepResult

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
        self._closed = True
        self.cancel()
        if self._thread is not None:
            self._thread.join()


POLL_MS = 500

RETRY_SECONDS = 1.0
CLOSE_ANSWER_SECONDS = 1.0
DROP_SECONDS = 20.0
REPORT_WAITING_SECONDS = 3.0


class _Job(NamedTuple):
    work: Callable[[SortingSession], Any]
    then: Callable[[Any], None] | None
    failed: Callable[[GleansetError], None] | None
    decides: bool


class SessionWorker(QObject):
    """Runs work on the session, and says what came of it.

    `progressed` (SortingProgress) comes after every decision, whoever made it; `stepped`
    (StepResult) after one of this window; `outside` when another program has written;
    `classes_changed` (those that are gone) when there are other classes than before; `message`
    (text, whether it is bad) is for the status bar; `waiting` (text) while a decision cannot be
    saved, '' after.
    """

    progressed = Signal(object)
    stepped = Signal(object)
    outside = Signal()
    classes_changed = Signal(object)
    message = Signal(str, bool)
    waiting = Signal(str)
    _answered = Signal(object)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.last: SortingProgress | None = None
        self.decided = 0
        """How many decisions it was given so far."""
        self.stuck = False
        self.lost = 0
        """Decisions that could not be saved before the end."""
        self._dataset: Dataset | None = None  # as the session, of the worker's thread
        self._session: SortingSession | None = None
        self._gives_up = False
        self.unsaved = 0
        """How many decisions have no answer yet."""
        self._begun: float | None = None  # when its thread took what it is at
        self._slow = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = threading.Event()
        self._emitting, self._ended = threading.Lock(), False
        self._pending = 0
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._tasks: list[BackgroundTask] = []
        self._others: list[Callable[[], str]] = []
        self._thread = threading.Thread(target=self._run, name="session-worker", daemon=True)
        self._thread.start()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._timer.start(POLL_MS)
        self.ask(lambda session: session.progress(), self._progressed)

    def task(self, description: str = "") -> BackgroundTask:
        """Make a task beside the session, which ends with this worker; see `BackgroundTask`."""
        made = BackgroundTask(self.root, description)
        self._tasks.append(made)
        return made

    def watch(self, under_way: Callable[[], str]) -> None:
        """Have `under_way` ask somebody else, too: empty where nothing would be lost."""
        self._others.append(under_way)

    def under_way(self) -> str:
        """Return what would be lost if everything ended now; empty for nothing."""
        if self.unsaved:
            return self.tr("changes are being saved")
        busy = (task.description for task in self._tasks if task.busy)
        return next(filter(None, (*busy, *(ask() for ask in self._others))), "")

    def settle(self, seconds: float) -> bool:
        """Wait for the answers to all decisions, at most so long; return whether they have come."""
        end = time.monotonic() + seconds
        while self.unsaved and time.monotonic() < end:
            QCoreApplication.sendPostedEvents(self, QEvent.Type.MetaCall)
            time.sleep(0.002)
        return not self.unsaved

    @property
    def busy(self) -> bool:
        return self._pending > 0

    @property
    def keys(self) -> dict[str, str]:
        """The classes and their keys, as far as they are known."""
        return self.last.keys if self.last else {}

    def class_of(self, key: str) -> str | None:
        return next((name for name, its in self.keys.items() if its == key), None)

    def ask(
        self,
        work: Callable[[SortingSession], T],
        then: Callable[[T], None] | None = None,
        failed: Callable[[GleansetError], None] | None = None,
    ) -> None:
        """Read something. What a person can act on goes to `failed`, or else to `message`."""
        self._put(_Job(work, then, failed, decides=False))

    def decide(
        self,
        work: Callable[[SortingSession], StepResult],
        then: Callable[[StepResult], None] | None = None,
        failed: Callable[[GleansetError], None] | None = None,
        of: Iterable[str] = (),
    ) -> None:
        """Make a decision: it is saved at once, or tried again until it is. Nothing is done where a
        class that it is `of` was there when it was made and is gone by then.
        """
        self.decided += 1
        known = set(of) & self.keys.keys()

        def checked(session: SortingSession) -> StepResult:
            session.refuse_gone(known)
            return work(session)

        self._put(_Job(checked, then, failed, decides=True))

    def paths(self, ids: Sequence[int]) -> list[str]:
        """Return the files of samples, for a drop outside: the one question that is waited for."""
        answer: SimpleQueue[list[str]] = SimpleQueue()

        def read(session: SortingSession) -> None:
            answer.put(paths_of(session.dataset, session.tiles, ids))

        self.ask(read)
        try:
            return answer.get(timeout=DROP_SECONDS)
        except Empty:
            return []

    def undo(self) -> None:
        self.decide(lambda session: session.undo())

    def redo(self) -> None:
        self.decide(lambda session: session.redo())

    def say(self, text: str, bad: bool = False) -> None:
        self.message.emit(text, bad)

    def close(self, give_up: bool = False) -> None:
        """End all tasks, finish what is queued, and end; `lost` counts what could not be saved.

        With `give_up` those that are not saved yet are dropped: a person said so.
        """
        if self._closed.is_set():
            return
        for task in self._tasks:
            task.close()
        self._timer.stop()
        self._gives_up = give_up
        self._closed.set()
        self._jobs.put(None)
        self._thread.join(None if self.unsaved and not give_up else CLOSE_ANSWER_SECONDS)
        with self._emitting:
            self._ended = True

    def _put(self, job: _Job) -> None:
        if not self._closed.is_set():
            self._pending += 1
            self.unsaved += job.decides
            self._jobs.put(job)

    def _poll(self) -> None:
        begun = self._begun
        slow = begun is not None and time.monotonic() - begun > REPORT_WAITING_SECONDS
        if slow and self.unsaved and not self._slow and not self.stuck:
            # SQLite itself says so after half a minute only.
            self.stuck = self._slow = True
            self.waiting.emit(self.tr("another process may be writing to the dataset; retrying"))
        if not self._pending:
            self.ask(lambda session: session.poll(), self._polled)

    def _polled(self, changed: bool) -> None:
        if changed:
            self.outside.emit()
            self.refresh()

    def refresh(self) -> None:
        self.ask(lambda session: session.progress(), self._progressed)

    def _progressed(self, progress: SortingProgress) -> None:
        before, self.last = set(self.keys), progress
        self.progressed.emit(progress)
        if before != set(self.keys):
            gone = before - set(self.keys)
            QTimer.singleShot(0, self, lambda: self.classes_changed.emit(gone))

    def _run(self) -> None:
        """Carry out what is handed in: the worker's own thread."""
        while (job := self._jobs.get()) is not None:
            self._begun = time.monotonic()
            try:
                answer = self._carry_out(job)
                self._emit(self._answered, (job, answer, self._progress_after(job), None))
            except Exception as error:
                why = error
                if not isinstance(error, GleansetError):  # the window goes on, and says so
                    traceback.print_exc(file=sys.stderr)
                    why = GleansetError(f"a bug in Gleanset: {error!r}")
                self.lost += job.decides and self._closed.is_set()
                self._emit(self._answered, (job, None, None, why))
            finally:
                self._begun = None
        if self._dataset is not None:
            self._dataset.close()

    def _opened(self) -> SortingSession:
        if self._session is None:
            self._dataset = self._dataset or Dataset.open(self.root)
            self._session = SortingSession(self._dataset)
        return self._session

    def _progress_after(self, job: _Job) -> SortingProgress | None:
        """Return where the work stands after a decision, which counts even where that cannot be
        read.
        """
        if not job.decides:
            return None
        try:
            return self._opened().progress()
        except GleansetError:
            return self.last

    def _carry_out(self, job: _Job) -> Any:
        if job.decides and self._gives_up:
            raise GleansetError("it was given up")
        refused = False
        while True:
            try:
                answer = job.work(self._opened())
            except (DatasetBusy, DiskFull, NotWritable) as error:
                never = self._dataset is not None and self._dataset.read_only
                if never or not job.decides:
                    raise
                if self._closed.wait(RETRY_SECONDS if refused else 0):
                    self._gives_up = True  # the others would wait as long, each of them
                    raise
                refused = self.stuck = True
                self._emit(self.waiting, str(error))
                self._closed.wait(RETRY_SECONDS)
            else:
                self.stuck = False
                if refused:
                    self._emit(self.waiting, "")
                return answer

    def _emit(self, signal: SignalInstance, value: object) -> None:
        """Emit from the worker's thread; never once `close` has returned.

        The thread may outlive that, and Qt crashes where a signal meets its object's deletion.
        """
        with self._emitting:
            if not self._ended:
                signal.emit(value)

    def _deliver(
        self, answered: tuple[_Job, Any, SortingProgress | None, GleansetError | None]
    ) -> None:
        job, answer, after, error = answered
        self._pending -= 1
        self.unsaved -= job.decides
        if self._slow and not self.unsaved:
            self.stuck = self._slow = False
            self.waiting.emit("")
        if error is not None:
            if _is_there(job.failed):
                job.failed(error)  # type: ignore[misc]
            elif job.failed is None:
                self.say(str(error), bad=True)
            return
        if after is not None:
            self._progressed(after)
        if job.decides:
            self.stepped.emit(answer)
        if _is_there(job.then):
            job.then(answer)  # type: ignore[misc]


def _is_there(function: Callable[..., Any] | None) -> bool:
    """Return whether a callback can still be called: its widget may be gone."""
    owner = getattr(function, "__self__", None)
    return function is not None and (not isinstance(owner, QObject) or shiboken6.isValid(owner))


MEASURE_PAUSE_SECONDS = 0.01


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
            time.sleep(MEASURE_PAUSE_SECONDS)
