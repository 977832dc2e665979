"""The download loop shared by lists, searches and retries.

The `Scheduler` fetches candidates, its threads measure and stage the files, and the `Importer` of
a candidate records it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.http import Client
from harvest.http.scheduler import JobQueue, Scheduler
from harvest.importer import Importer
from harvest.redirects import RedirectTargets


class DownloadRun(NamedTuple):
    """How a run opens its client and reports its progress."""

    open_client: Callable[[], Client]
    progress: Progress | None = None


class Downloader:
    """Downloads candidates into a dataset, several requests at a time."""

    def __init__(self, dataset: Dataset, client: Client, scratch: Path, run: DownloadRun) -> None:
        self._dataset = dataset
        self._progress = run.progress or Progress()
        self._store = dataset.originals(scratch)
        self._scheduler = Scheduler(client, StageBytes(self._store), dataset.settings.net.threads)
        self._targets = RedirectTargets()

    def importer(self, stage: str, images: set[str] | None = None) -> Importer:
        """Return an importer for one stage, which adds the images it meets to `images`."""
        return Importer(self._dataset, stage, self._store, images, targets=self._targets)

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._scheduler.wake()

    def run(
        self,
        queue: JobQueue,
        record: Callable[[Outcome[Candidate, Measured]], object],
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
