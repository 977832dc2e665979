"""The download loop shared by lists, searches and retries.

The `Scheduler` fetches candidates, its threads measure and stage the files, and the `Importer` of
a candidate records it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from gleanset import Dataset
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.http import Client
from harvest.http.scheduler import JobQueue, Scheduler
from harvest.importer import Importer, SimulatedImporter
from harvest.redirects import RedirectTargets

Record = Callable[[Outcome[Candidate, Measured]], object]


class DownloadRun(NamedTuple):
    """How a run opens its client and reports its progress; with `show` it is simulated."""

    open_client: Callable[[], Client]
    progress: Progress | None = None
    show: Callable[[str], None] | None = None

    @contextmanager
    def open(self, dataset: Dataset, stage: str) -> Iterator[Downloader | SimulatedDownloader]:
        """Open the downloader of a stage, which is locked."""
        if self.show is not None:
            with self.open_client() as client:
                yield SimulatedDownloader(dataset, client, self.show)
        else:
            with dataset.stage(stage) as scratch, self.open_client() as client:
                yield Downloader(dataset, stage, client, scratch, self.progress or Progress())


class Downloader:
    """Downloads candidates into a dataset, several requests at a time."""

    def __init__(
        self, dataset: Dataset, stage: str, client: Client, scratch: Path, progress: Progress
    ) -> None:
        self.client = client
        self._dataset, self._stage, self._progress = dataset, stage, progress
        self._store = dataset.originals(scratch)
        self._scheduler = Scheduler(client, StageBytes(self._store), dataset.settings.net.threads)
        self._targets = RedirectTargets()

    def importer(self, *images: set[str]) -> Importer:
        """Return an importer, which adds the images it meets to these sets."""
        return Importer(self._dataset, self._stage, self._store, images, targets=self._targets)

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._scheduler.wake()

    def run(
        self,
        queue: JobQueue,
        record: Record,
        what: str,
        goal: tuple[int, set[str]] | None = None,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """Download the candidates of a queue; outcomes of a batch share one transaction.

        The progress shows `what` and `note()`. With `goal`, a number of images and the set of
        those that were met, it counts these; otherwise it counts all outcomes.
        """
        limit, images = (None, None) if goal is None else goal
        with (
            closing(self._scheduler.run(queue)) as batches,
            self._progress.meter(what, limit) as meter,
        ):
            counted = 0
            for batch in batches:
                with self._dataset.publishing(self._store):
                    for outcome in batch:
                        record(outcome)
                steps = len(batch) if images is None else len(images) - counted
                meter.advance(steps, note())
                counted += steps


class SimulatedDownloader:
    """Shows the addresses that a `Downloader` would request first."""

    def __init__(self, dataset: Dataset, client: Client, show: Callable[[str], None]) -> None:
        self.client = client
        self._dataset, self._show = dataset, show
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def importer(self, *images: set[str]) -> Importer:
        """Return an importer that shows what is new."""
        return SimulatedImporter(self._dataset, self._show, images or (set(),))

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._wakes.put(None)

    def run(self, queue: JobQueue, record: Record, *_: object) -> None:
        """Record each candidate without downloading it."""
        while (
            (candidate := queue.pop_candidate()) is not None
            or queue.is_searching
            or not self._wakes.empty()
        ):
            if candidate is None:
                self._wakes.get()
            else:
                record(Outcome(candidate))
                queue.mark_settled(candidate)
