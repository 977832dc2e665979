"""Threads of the window: the session's thread, background tasks, the embedding task.

Widgets pass functions of the session; they run in order on the worker's thread, and their results
return on the window's thread. A decision that the disk refuses stays first in the queue until it is
saved. Long work runs on a thread of its own (`create_task`).
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import shiboken6
from PySide6.QtCore import (
    QCoreApplication,
    QEvent,
    QObject,
    Qt,
    QTimer,
    Signal,
    SignalInstance,
)

from gleanset import Dataset
from gleanset.db.sorting import LabelCounts
from gleanset.errors import DatasetBusy, DiskFull, GleansetError, NotWritable
from gleanset.platform import lower_thread_priority
from labeler.qt.translations import tr
from labeler.sorting.session import (
    SortingProgress,
    SortingSession,
    StepKind,
    StepResult,
)

T = TypeVar("T")


POLL_MS = 500
RETRY_SECONDS = 1.0
CLOSE_TIMEOUT_SECONDS = 1.0
SAVE_DELAY_SECONDS = 3.0
Work = Callable[[Dataset, "BackgroundTask"], Any]


class BackgroundTask(QObject):
    """One kind of work on a thread of its own; made and closed by `SessionWorker`.

    `done` (result), `failed` (text) and `progressed` (a number) are emitted on the window's thread.
    The work gets the dataset and this task, to stop when it is `cancelled`.
    """

    done = Signal(object)
    failed = Signal(str)
    progressed = Signal(int)
    _returned = Signal(object, object)

    def __init__(self, root: Path):
        super().__init__()
        self._root = root
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self.busy = False
        """True until the result is delivered."""
        self._next: Work | None = None
        self._returned.connect(self._deliver)

    @property
    def is_cancelled(self) -> bool:
        return self._cancel.is_set()

    def start(self, work: Work) -> bool:
        """Start the work; return False if the task is closed.

        While other work is running, this follows it, and the result of the other is dropped.
        """
        if self.is_cancelled:
            return False
        if self.busy:
            self._next = work
            return True
        self.busy = True
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="background"
        )
        self._thread.start()
        return True

    def _run(self, work: Work) -> None:
        lower_thread_priority()
        with suppress(RuntimeError):  # the window is already deleted
            try:
                with Dataset.open(self._root) as dataset:
                    result = work(dataset, self)
            except GleansetError as error:
                self._returned.emit(self.failed, str(error))
            except OSError as error:
                self._returned.emit(
                    self.failed,
                    f"{error.strerror or error}: {error.filename or self._root}",
                )
            except Exception as error:  # a bug must not close the window
                traceback.print_exc(file=sys.stderr)
                self._returned.emit(
                    self.failed,
                    f"bug in Gleanset: {error!r}",
                )
            else:
                self._returned.emit(self.done, result)

    def _deliver(self, signal: SignalInstance, value: object) -> None:
        self.busy = False
        work = self._next
        self._next = None
        if work is None:
            signal.emit(value)
        else:
            self.start(work)

    def close(self) -> None:
        """Cancel the work, and wait until it has ended."""
        self._cancel.set()
        if self._thread is not None:
            self._thread.join()


class _Job(NamedTuple):
    work: Callable[[SortingSession], Any]
    on_result: Callable[[Any], object] | None
    on_failure: Callable[[], object] | None
    decides: bool = False
    is_quiet: bool = False


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

    def __init__(self, root: Path):
        super().__init__()
        self.root = root
        self.progress: SortingProgress | None = None
        self.unsaved_count = self.lost_count = 0
        """Numbers of decisions: without an answer yet, and not saved."""
        # The worker's thread opens both, and uses them alone.
        self._dataset: Dataset | None = None
        self._session: SortingSession | None = None
        self._gives_up = False
        self._job: _Job | None = None
        """The work that is done now."""
        self._job_started = 0.0
        self._is_delay_reported = False
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = threading.Event()
        self._emit_lock = threading.Lock()
        self._is_over = False
        self._pending = 0
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._tasks: list[BackgroundTask] = []
        self.unfinished_checks: list[Callable[[], str]] = []
        """Functions that say what closing would interrupt ('' for nothing)."""
        self._thread = threading.Thread(
            target=self._run, name="session-worker", daemon=True
        )
        self._thread.start()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._timer.start(POLL_MS)
        self.refresh()

    def create_task(self) -> BackgroundTask:
        """Return a background task that is closed with this worker."""
        task = BackgroundTask(self.root)
        self._tasks.append(task)
        return task

    def describe_unfinished_work(self) -> str:
        """Return what would be lost if the window closed now; '' for nothing."""
        if self.unsaved_count:
            return tr("changes are being saved")
        return next(filter(None, (check() for check in self.unfinished_checks)), "")

    def wait_until_saved(self, timeout: float) -> None:
        """Wait for the answers to all decisions, at most `timeout` seconds."""
        end = time.monotonic() + timeout
        while self.unsaved_count and time.monotonic() < end:
            QCoreApplication.sendPostedEvents(self, QEvent.Type.MetaCall)
            time.sleep(0.002)

    @property
    def busy(self) -> bool:
        return self._pending > 0

    @property
    def keys(self) -> dict[str, str]:
        """The key of each class; empty until the first progress arrives."""
        return self.progress.keys if self.progress else {}

    @property
    def counts(self) -> LabelCounts | None:
        """The numbers of samples; None until the first progress arrives."""
        return self.progress.counts if self.progress else None

    def class_for_key(self, key: str) -> str | None:
        """Return the class of a key; if there is none, say so."""
        label = next((name for name, its in self.keys.items() if its == key), None)
        if label is None:
            self.show_message(tr("No class has the key {key}", key=key.upper()))
        return label

    def ask(
        self,
        work: Callable[[SortingSession], T],
        on_result: Callable[[T], object] | None = None,
        on_failure: Callable[[], object] | None = None,
        *,
        is_quiet: bool = False,
    ) -> None:
        """Read something. An error goes to `message`, unless `is_quiet`, after `on_failure`."""
        self._put(_Job(work, on_result, on_failure, is_quiet=is_quiet))

    def decide(
        self,
        work: Callable[[SortingSession], StepResult],
        on_result: Callable[[StepResult], object] | None = None,
        on_failure: Callable[[], object] | None = None,
        classes: Iterable[str] = (),
    ) -> None:
        """Make a decision, retried until it is saved.

        Refused if one of `classes` exists now and is removed before the decision runs.
        """
        # A class that is new now cannot have been deleted; it is created by the decision. `keys`
        # has every class with its key.
        existing = set(classes) & self.keys.keys()

        def check_and_work(session: SortingSession) -> StepResult:
            session.check_classes_exist(existing)
            return work(session)

        self._put(_Job(check_and_work, on_result, on_failure, decides=True))

    def take_back(self, kind: StepKind) -> None:
        """Undo or redo the last step."""
        is_undo = kind is StepKind.UNDO
        self.decide(SortingSession.undo if is_undo else SortingSession.redo)

    def show_message(self, text: str) -> None:
        self.message.emit(text, False)

    def show_error(self, error: GleansetError | str) -> None:
        self.message.emit(str(error), True)

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
        self._thread.join(
            None if self.unsaved_count and not give_up else CLOSE_TIMEOUT_SECONDS
        )
        with self._emit_lock:
            self._is_over = True

    def _put(self, job: _Job) -> None:
        if not self._closed.is_set():
            self._pending += 1
            self.unsaved_count += job.decides
            self._jobs.put(job)

    def _poll(self) -> None:
        job = self._job
        slow = time.monotonic() - self._job_started > SAVE_DELAY_SECONDS
        if job is not None and slow and self.unsaved_count:
            self._is_delay_reported = True
            # SQLite reports a busy database only after half a minute.
            reason = tr(
                "another process may be writing to the dataset; retrying"
                if job.decides
                else "the next page is computed first"
            )
            self.save_delayed.emit(reason)

        if not self.busy:
            self.ask(SortingSession.poll, self._on_poll)

    def _on_poll(self, changed: bool) -> None:
        if changed:
            self.changed_outside.emit()
            self.refresh()

    def refresh(self) -> None:
        self.ask(SortingSession.progress, self._on_progress)

    def _on_progress(self, progress: SortingProgress) -> None:
        before = set(self.keys)
        self.progress = progress  # which has the keys
        self.progressed.emit(progress)
        if before != set(self.keys):
            removed = before - set(self.keys)
            QTimer.singleShot(
                0,
                self,
                lambda: self.classes_changed.emit(removed),
            )

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._job_started = time.monotonic()
            self._job = job
            try:
                answer = self._carry_out(job)
                self._emit(
                    self._answered, (job, answer, self._progress_after(job), None)
                )
            except Exception as error:
                reported = error
                # A bug must not close the window.
                if not isinstance(error, GleansetError):
                    traceback.print_exc(file=sys.stderr)
                    reported = GleansetError(f"bug in Gleanset: {error!r}")
                if job.decides and self._closed.is_set():
                    # No window is left to show it: the program says so at its end.
                    self.lost_count += 1
                self._emit(
                    self._answered,
                    (job, None, None, reported),
                )
            finally:
                self._job = None

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
        while True:
            try:
                return job.work(self._open_session())
            except (DatasetBusy, DiskFull, NotWritable) as error:
                if (
                    self._dataset is not None and self._dataset.read_only
                ) or not job.decides:
                    raise

                if self._closed.is_set():
                    self._gives_up = True  # each of the others would wait as long
                    raise
                self._is_delay_reported = True
                self._emit(self.save_delayed, str(error))
                self._closed.wait(RETRY_SECONDS)
                # The pause does not make the next attempt a slow one, which would be reported with
                # another reason.
                self._job_started = time.monotonic()

    def _emit(self, signal: SignalInstance, value: object) -> None:
        # The thread may outlive `close`, and Qt crashes on a signal of a deleted object.
        with self._emit_lock:
            if not self._is_over:
                signal.emit(value)

    def _deliver(
        self, answered: tuple[_Job, Any, SortingProgress | None, GleansetError | None]
    ) -> None:
        job, answer, progress, error = answered
        self._pending -= 1
        self.unsaved_count -= job.decides
        if self._is_delay_reported and (progress is not None or not self.unsaved_count):
            self._is_delay_reported = False
            self.save_delayed.emit("")
        if error is not None:
            if job.on_failure is not None:
                _call(job.on_failure)
            if not job.is_quiet:
                self.show_error(error)
            return
        if progress is not None:
            self._on_progress(progress)
        if job.decides:
            self.stepped.emit(answer)
        if job.on_result is not None:
            _call(job.on_result, answer)


def _call(function: Callable[..., object], *arguments: object) -> None:
    # The widget of a callback may have been deleted.
    owner = getattr(function, "__self__", None)
    if not isinstance(owner, QObject) or shiboken6.isValid(owner):
        function(*arguments)


EMBEDDING_PAUSE_SECONDS = 0.01


class EmbeddingTask(QObject):
    """Computes missing embeddings in the background; `left` counts down."""

    left = Signal(int)

    def __init__(self, worker: SessionWorker):
        super().__init__(worker)
        self._task = worker.create_task()
        self._task.progressed.connect(self.left)
        self._task.done.connect(self._on_end)
        self._task.failed.connect(self._on_end)
        self._task.failed.connect(worker.show_error)

    def begin(self) -> None:
        """Start, or start again after the current run."""
        self._task.start(compute_embeddings)

    def _on_end(self) -> None:
        self.left.emit(0)


def compute_embeddings(dataset: Dataset, task: BackgroundTask) -> None:
    """Compute the embeddings of all samples without one; report how many are left."""
    from labeler.sorting.descriptor_queue import count_unmeasured, measure_in_batches

    left = count_unmeasured(dataset)
    with closing(measure_in_batches(dataset)) as parts:
        while not task.is_cancelled and (measured := next(parts, None)) is not None:
            left = max(left - measured, 0)
            task.progressed.emit(left)
            time.sleep(EMBEDDING_PAUSE_SECONDS)
