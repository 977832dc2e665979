"""Threads of the window: the session's thread, background tasks, the embedding task.

Widgets pass functions of the session; they run in order on the worker's thread, and their results
return on the window's thread. A decision that the disk refuses stays first in the queue until it is
saved. Long work runs on a thread of its own (`create_task`).
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
from labeler.sorting.sample_images import cached_paths
from labeler.sorting.session import SortingProgress, SortingSession, StepResult

T = TypeVar("T")


class Cancelled(GleansetError):
    """The user cancelled the work."""


class CancellableProgress(Progress):
    """Progress that is reported to a window and can be cancelled.

    `report` takes the name of the work, the number of items done and the total (0: unknown).
    """

    def __init__(self, report: Callable[[str, int, int], None], ended: threading.Event) -> None:
        super().__init__(quiet=True)
        self.report, self._ended = report, ended

    @property
    def cancelled(self) -> bool:
        return self._ended.is_set()

    def over(
        self, items: Iterable[T], name: str, total: int | None = None, unit: str = " images"
    ) -> Iterator[T]:
        """Yield items and count them. Raises `Cancelled`, after closing the generator of items."""
        try:
            yield from super().over(items, name, total, unit)
        finally:
            _close(items)

    def batches(
        self,
        batches: Iterable[list[T]],
        name: str,
        total: int | None = None,
        unit: str = " images",
        note: Callable[[], str] = lambda: "",
    ) -> Iterator[list[T]]:
        """Yield batches and count them. Raises `Cancelled` between two batches."""
        done = 0
        self.report(name, 0, total or 0)
        try:
            for batch in batches:
                if self.cancelled:
                    raise Cancelled("cancelled; nothing was changed")
                yield batch
                done += len(batch)
                self.report(name, done, total or 0)
        finally:
            _close(batches)


def _close(items: Iterable[object]) -> None:
    # Now, not at garbage collection: workers must stop before their folder is removed.
    if isinstance(items, Generator):
        items.close()


class BackgroundTask(QObject):
    """One kind of work on a thread of its own; made and closed by `SessionWorker`.

    `done` (result), `failed` (text) and `progressed` (name, done, total; 0 if unknown) are emitted
    on the window's thread. `description` says what closing the window would interrupt; empty if
    nothing would be lost.
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
        """True until the result is delivered."""
        for end in (self.done, self.failed):
            end.connect(self._set_idle)

    def start(self, work: Callable[[Dataset, CancellableProgress], Any]) -> bool:
        """Start the work; return False if it is already running or the task is closed."""
        if self.busy or self._closed:
            return False
        self.busy = True
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, args=(work,), name="background")
        self._thread.start()
        return True

    def _run(self, work: Callable[[Dataset, CancellableProgress], Any]) -> None:
        lower_thread_priority()

        def report(name: str, done: int, total: int) -> None:
            with suppress(RuntimeError):  # the window is already deleted
                self.progressed.emit(name, done, total)

        with suppress(RuntimeError):
            try:
                with Dataset.open(self._root) as dataset:
                    result = work(dataset, CancellableProgress(report, self._ended))
            except GleansetError as error:
                self.failed.emit(str(error))
            except OSError as error:
                self.failed.emit(f"{error.strerror or error}: {error.filename or self._root}")
            except Exception as error:  # a bug must not close the window
                traceback.print_exc(file=sys.stderr)
                self.failed.emit(f"bug in Gleanset: {error!r}")
            else:
                self.done.emit(result)

    def _set_idle(self) -> None:
        self.busy = False

    def cancel(self) -> None:
        """Stop the work at the next item."""
        self._ended.set()

    def close(self) -> None:
        self._closed = True
        self.cancel()
        if self._thread is not None:
            self._thread.join()


POLL_MS = 500
RETRY_SECONDS = 1.0
CLOSE_TIMEOUT_SECONDS = 1.0
DROP_TIMEOUT_SECONDS = 20.0
SAVE_DELAY_SECONDS = 3.0


class _Job(NamedTuple):
    work: Callable[[SortingSession], Any]
    on_result: Callable[[Any], None] | None
    on_error: Callable[[GleansetError], None] | None
    decides: bool


class SessionWorker(QObject):
    """Runs functions of the session on one thread and reports their results.

    Signals: `progressed` (SortingProgress) after every decision of any process; `stepped`
    (StepResult) after a decision of this window; `changed_outside` when another process has
    written; `classes_changed` (removed names); `message` (text, is an error) for the status bar;
    `save_delayed` (reason) while a decision cannot be saved, '' afterwards.
    """

    progressed = Signal(object)
    stepped = Signal(object)
    changed_outside = Signal()
    classes_changed = Signal(object)
    message = Signal(str, bool)
    save_delayed = Signal(str)
    _answered = Signal(object)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.progress: SortingProgress | None = None
        self.decision_count = self.unsaved_count = self.lost_count = 0
        """Numbers of decisions: all, without an answer yet, and not saved."""
        self.stuck = False
        self._dataset: Dataset | None = None  # like the session, owned by the worker's thread
        self._session: SortingSession | None = None
        self._gives_up = False
        self._job_started: float | None = None
        self._slow = self._is_polling = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = threading.Event()
        self._emit_lock, self._ended = threading.Lock(), False
        self._pending = 0
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._tasks: list[BackgroundTask] = []
        self._unfinished_checks: list[Callable[[], str]] = []
        self._thread = threading.Thread(target=self._run, name="session-worker", daemon=True)
        self._thread.start()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._timer.start(POLL_MS)
        self.refresh()

    def create_task(self, description: str = "") -> BackgroundTask:
        """Return a background task that is closed with this worker."""
        task = BackgroundTask(self.root, description)
        self._tasks.append(task)
        return task

    def add_unfinished_check(self, check: Callable[[], str]) -> None:
        """Register a function that says what closing would interrupt ('' for nothing)."""
        self._unfinished_checks.append(check)

    def unfinished_work(self) -> str:
        """Return what would be lost if the window closed now; '' for nothing."""
        if self.unsaved_count:
            return self.tr("changes are being saved")
        busy = (task.description for task in self._tasks if task.busy)
        checks = (check() for check in self._unfinished_checks)
        return next(filter(None, (*busy, *checks)), "")

    def wait_until_saved(self, timeout: float) -> bool:
        """Wait for the answers to all decisions, at most `timeout` seconds."""
        end = time.monotonic() + timeout
        while self.unsaved_count and time.monotonic() < end:
            QCoreApplication.sendPostedEvents(self, QEvent.Type.MetaCall)
            time.sleep(0.002)
        return not self.unsaved_count

    @property
    def busy(self) -> bool:
        return self._pending > 0

    @property
    def keys(self) -> dict[str, str]:
        """The key of each class; empty until the first progress arrives."""
        return self.progress.keys if self.progress else {}

    def class_for_key(self, key: str) -> str | None:
        return next((name for name, its in self.keys.items() if its == key), None)

    def ask(
        self,
        work: Callable[[SortingSession], T],
        on_result: Callable[[T], None] | None = None,
        on_error: Callable[[GleansetError], None] | None = None,
    ) -> None:
        """Read something. Errors go to `on_error`, by default to `message`."""
        self._put(_Job(work, on_result, on_error, decides=False))

    def decide(
        self,
        work: Callable[[SortingSession], StepResult],
        on_result: Callable[[StepResult], None] | None = None,
        on_error: Callable[[GleansetError], None] | None = None,
        classes: Iterable[str] = (),
    ) -> None:
        """Make a decision, retried until it is saved.

        Refused if one of `classes` exists now and is removed before the decision runs.
        """
        self.decision_count += 1
        existing = set(classes) & self.keys.keys()

        def checked(session: SortingSession) -> StepResult:
            session.check_classes_exist(existing)
            return work(session)

        self._put(_Job(checked, on_result, on_error, decides=True))

    def paths(self, ids: Sequence[int]) -> list[str]:
        """Return the files of samples, for a drop outside; the only call that blocks."""
        result: SimpleQueue[list[str]] = SimpleQueue()
        self.ask(lambda session: result.put(cached_paths(session.dataset, session.tiles, ids)))
        try:
            return result.get(timeout=DROP_TIMEOUT_SECONDS)
        except Empty:
            return []

    def undo(self) -> None:
        self.decide(lambda session: session.undo())

    def redo(self) -> None:
        self.decide(lambda session: session.redo())

    def show_message(self, text: str, bad: bool = False) -> None:
        self.message.emit(text, bad)

    def close(self, give_up: bool = False) -> None:
        """Close all tasks, finish the queue and end; `lost_count` counts unsaved decisions.

        With `give_up`, decisions that are not saved yet are dropped.
        """
        if self._closed.is_set():
            return
        for task in self._tasks:
            task.close()
        self._timer.stop()
        self._gives_up = give_up
        self._closed.set()
        self._jobs.put(None)
        self._thread.join(None if self.unsaved_count and not give_up else CLOSE_TIMEOUT_SECONDS)
        with self._emit_lock:
            self._ended = True

    def _put(self, job: _Job) -> None:
        if not self._closed.is_set():
            self._pending += 1
            self.unsaved_count += job.decides
            self._jobs.put(job)

    def _poll(self) -> None:
        started = self._job_started
        slow = started is not None and time.monotonic() - started > SAVE_DELAY_SECONDS
        if slow and self.unsaved_count and not self._slow and not self.stuck:
            # SQLite reports a busy database only after half a minute.
            self.stuck = self._slow = True
            text = self.tr("another process may be writing to the dataset; retrying")
            self.save_delayed.emit(text)
        if not self._is_polling:
            self._is_polling = True
            self.ask(lambda session: session.poll(), self._polled, self._poll_failed)

    def _poll_failed(self, error: GleansetError) -> None:
        self._is_polling = False
        self.show_message(str(error), bad=True)

    def _polled(self, changed: bool) -> None:
        self._is_polling = False
        if changed:
            self.changed_outside.emit()
            self.refresh()

    def refresh(self) -> None:
        self.ask(lambda session: session.progress(), self._progressed)

    def _progressed(self, progress: SortingProgress) -> None:
        before, self.progress = set(self.keys), progress
        self.progressed.emit(progress)
        if before != set(self.keys):
            removed = before - set(self.keys)
            QTimer.singleShot(0, self, lambda: self.classes_changed.emit(removed))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._job_started = time.monotonic()
            try:
                answer = self._carry_out(job)
                self._emit(self._answered, (job, answer, self._progress_after(job), None))
            except Exception as error:
                reported = error
                if not isinstance(error, GleansetError):  # a bug must not close the window
                    traceback.print_exc(file=sys.stderr)
                    reported = GleansetError(f"bug in Gleanset: {error!r}")
                self.lost_count += job.decides and self._closed.is_set()
                self._emit(self._answered, (job, None, None, reported))
            finally:
                self._job_started = None
        if self._dataset is not None:
            self._dataset.close()

    def _open_session(self) -> SortingSession:
        if self._session is None:
            self._dataset = self._dataset or Dataset.open(self.root)
            self._session = SortingSession(self._dataset)
        return self._session

    def _progress_after(self, job: _Job) -> SortingProgress | None:
        # A saved decision counts even if the progress cannot be read.
        try:
            return self._open_session().progress() if job.decides else None
        except GleansetError:
            return self.progress

    def _carry_out(self, job: _Job) -> Any:
        if job.decides and self._gives_up:
            raise GleansetError("unsaved changes were discarded")
        refused = False
        while True:
            try:
                answer = job.work(self._open_session())
            except (DatasetBusy, DiskFull, NotWritable) as error:
                read_only = self._dataset is not None and self._dataset.read_only
                if read_only or not job.decides:
                    raise
                if self._closed.wait(RETRY_SECONDS if refused else 0):
                    self._gives_up = True  # each of the others would wait as long
                    raise
                refused = self.stuck = True
                self._emit(self.save_delayed, str(error))
                self._closed.wait(RETRY_SECONDS)
            else:
                self.stuck = False
                if refused:
                    self._emit(self.save_delayed, "")
                return answer

    def _emit(self, signal: SignalInstance, value: object) -> None:
        # The thread may outlive `close`, and Qt crashes on a signal of a deleted object.
        with self._emit_lock:
            if not self._ended:
                signal.emit(value)

    def _deliver(
        self, answered: tuple[_Job, Any, SortingProgress | None, GleansetError | None]
    ) -> None:
        job, answer, progress, error = answered
        self._pending -= 1
        self.unsaved_count -= job.decides
        if self._slow and not self.unsaved_count:
            self.stuck = self._slow = False
            self.save_delayed.emit("")
        if error is not None:
            if _is_alive(job.on_error):
                job.on_error(error)  # type: ignore[misc]
            elif job.on_error is None:
                self.show_message(str(error), bad=True)
            return
        if progress is not None:
            self._progressed(progress)
        if job.decides:
            self.stepped.emit(answer)
        if _is_alive(job.on_result):
            job.on_result(answer)  # type: ignore[misc]


def _is_alive(function: Callable[..., Any] | None) -> bool:
    # The widget of a callback may have been deleted.
    owner = getattr(function, "__self__", None)
    return function is not None and (not isinstance(owner, QObject) or shiboken6.isValid(owner))


EMBEDDING_PAUSE_SECONDS = 0.01


class EmbeddingTask(QObject):
    """Computes missing embeddings in the background; `left` counts down."""

    left = Signal(int)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._task = worker.create_task()
        self._restart = False
        self._task.progressed.connect(lambda name, done, remaining: self.left.emit(remaining))
        self._task.done.connect(self._ended)
        self._task.failed.connect(self._ended)
        self._task.failed.connect(lambda error: worker.show_message(error, bad=True))

    def begin(self) -> None:
        """Start, or start again after the current run."""
        self._restart = not self._task.start(compute_embeddings)

    def _ended(self) -> None:
        if self._restart:
            self.begin()
        else:
            self.left.emit(0)


def compute_embeddings(dataset: Dataset, progress: CancellableProgress) -> None:
    """Compute the embeddings of all samples without one; report how many are left."""
    from labeler.sorting.descriptor_queue import count_unmeasured, measure_in_batches

    left = count_unmeasured(dataset)
    with closing(measure_in_batches(dataset)) as parts:
        while not progress.cancelled and (measured := next(parts, None)) is not None:
            left = max(left - measured, 0)
            progress.report("embeddings", measured, left)
            time.sleep(EMBEDDING_PAUSE_SECONDS)
