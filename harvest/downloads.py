"""Downloads of lists, and of `harvest retry`, by the loop that searches share.

The `Scheduler` fetches candidates, its threads measure and stage the files, and the `Importer` of
a candidate records it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.errors import FORGOTTEN, InputUnusable
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.candidates import CandidateQueue
from harvest.http import Client
from harvest.http.scheduler import JobQueue, Scheduler
from harvest.importer import Importer, SimulatedImporter
from harvest.lists import NO_OPTIONS, ListOptions, check_list, read_list
from harvest.redirects import RedirectTargets
from harvest.results import HarvestCounts, RetryResult

URLS_STAGE = "harvest-urls"
KEYWORD_STAGE = "harvest-keyword"
Record = Callable[[Outcome[Candidate, Measured]], object]


class DownloadRun(NamedTuple):
    """How a run opens its client and reports its progress; `simulate` downloads nothing."""

    open_client: Callable[[], Client]
    progress: Progress = NO_PROGRESS
    simulate: bool = False

    @contextmanager
    def open(
        self, dataset: Dataset, stage: str
    ) -> Iterator[Downloader | SimulatedDownloader]:
        """Open the downloader of a stage, which is locked."""
        if self.simulate:
            with self.open_client() as client:
                yield SimulatedDownloader(dataset, client)
        else:
            with dataset.stage(stage) as scratch, self.open_client() as client:
                yield Downloader(dataset, stage, client, scratch, self.progress)


class Downloader:
    """Downloads candidates into a dataset, several requests at a time."""

    def __init__(
        self,
        dataset: Dataset,
        stage: str,
        client: Client,
        scratch: Path,
        progress: Progress,
    ):
        self.client = client
        self._dataset = dataset
        self._stage = stage
        self._progress = progress
        self._store = dataset.originals(scratch)
        self._scheduler = Scheduler(
            client, StageBytes(self._store), dataset.settings.net.threads
        )
        self._targets = RedirectTargets()

    def importer(self, *images: set[str]) -> Importer:
        """Return an importer, which adds the images it meets to these sets."""
        return Importer(
            self._dataset, self._stage, self._store, images, targets=self._targets
        )

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._scheduler.wake()

    def run(
        self,
        queue: JobQueue,
        record: Record,
        name: str,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """Download the candidates of a queue; outcomes of a batch share one transaction.

        The progress shows `name` and `note()`. It counts the images of a queue that has a limit,
        otherwise all outcomes.
        """
        with (
            closing(self._scheduler.run(queue)) as batches,
            self._progress.meter(name, queue.limit) as meter,
        ):
            done_count = 0
            for batch in batches:
                with self._dataset.publishing(self._store):
                    for outcome in batch:
                        record(outcome)
                steps = len(batch)
                if queue.limit is not None:
                    steps = len(queue.images) - done_count
                meter.advance(steps, note())
                done_count += steps


class SimulatedDownloader:
    """Lists the addresses that a `Downloader` would request first."""

    def __init__(self, dataset: Dataset, client: Client):
        self.client = client
        self._dataset = dataset
        self._wakes = SimpleQueue[None]()

    def importer(self, *images: set[str]) -> Importer:
        """Return an importer that lists what is new."""
        return SimulatedImporter(self._dataset, images or (set(),))

    def wake(self) -> None:
        """Make `run` look at its queue again; for threads that add to it."""
        self._wakes.put(None)

    def run(self, queue: JobQueue, record: Record, *_: object) -> None:
        """Record each candidate without downloading it.

        The other arguments of `Downloader.run` are not needed: there is no progress to show.
        """
        while True:
            candidate = queue.pop_candidate()
            if candidate:
                record(Outcome(candidate))
                queue.mark_settled(candidate)
            elif queue.is_searching or not self._wakes.empty():
                self._wakes.get()  # waits for the next call of `wake`
            else:
                return


def harvest_urls(
    dataset: Dataset,
    files: Iterable[Path],
    run: DownloadRun,
    options: ListOptions = NO_OPTIONS,
    *,
    limit: int | None = None,
) -> HarvestCounts:
    """Download every URL of some lists; return the counts.

    Stops at `limit` distinct images. Raises `InputUnusable` for a list that does not exist.
    """
    lists = list(files)
    for file in lists:
        check_list(file, options)

    images = set[str]()
    candidates = chain.from_iterable(read_list(file, options) for file in lists)
    with run.open(dataset, URLS_STAGE) as downloader:
        # Without a limit the hashes are not needed, and a list may be long.
        image_sets = [] if limit is None else [images]
        importer = downloader.importer(*image_sets)
        queue = CandidateQueue(candidates, importer, images, limit)
        try:
            downloader.run(queue, importer.record_download, "images")
        except InputUnusable as error:  # of a list; what came before is kept
            importer.finish()
            error.result = importer.result()
            raise
        importer.finish()
    return importer.result()


def retry(dataset: Dataset, run: DownloadRun, reason: str | None = None) -> RetryResult:
    """Retry every failed download, or those that failed for `reason`; return the counts.

    What succeeds loses its rejection; what fails again keeps its new reason.
    """
    tally = Counter[str]()
    reasons = Counter[str]()
    for stage in (URLS_STAGE, KEYWORD_STAGE):
        with run.open(dataset, stage) as downloader:
            importer = downloader.importer()
            queue = JobQueue(_iter_failed_candidates(dataset, stage, reason))
            downloader.run(
                queue,
                importer.record_download,
                f"retry {stage}",
            )
            importer.finish()
        tally += importer.tally
        reasons += importer.reasons

    # Another run has fetched these since: they were not tried. Zeros are gone from the tally,
    # because adding counters drops them.
    tally.pop("known", None)
    result = RetryResult(added=0, duplicate=0, rejected=0, nothing_to_retry=not tally)
    return result.with_facts({**tally, "reasons": dict(reasons.most_common())})


def _iter_failed_candidates(
    dataset: Dataset, stage: str, reason: str | None
) -> Iterator[Candidate]:
    for fetch in dataset.fetches.iter_failed():
        is_selected = fetch.stage == stage and reason in (None, fetch.reason)
        # Images that a person removed stay away.
        if is_selected and fetch.candidate and fetch.reason != FORGOTTEN:
            yield msgspec.convert(
                json.loads(fetch.candidate),
                Candidate,
            )
