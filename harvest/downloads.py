"""The loop that lists, searches and retries share: candidates are downloaded and recorded.

`CandidateQueue` decides which candidates are still worth a download, the `Scheduler` fetches them,
its threads measure and stage what came, and the `Importer` of a candidate records it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

from gleanset import Dataset
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured, Origin
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.host_answers import RedirectTargets
from harvest.http import Client
from harvest.http.scheduler import MOST_PENDING, JobQueue, Scheduler
from harvest.importer import Importer, Seen

DownloadOutcome = Outcome[Candidate, Measured]


class DownloadRun(NamedTuple):
    """How a run downloads: what opens its client, and who is told."""

    open_client: Callable[[], Client]
    progress: Progress | None = None


class KnownPlaces(Protocol):
    """What is known of the places that candidates name: an `Importer`, or what stands in for it."""

    tally: Counter[str]

    def seen(self, origin: Origin) -> Seen:
        """Return what is known of a place, and count it where it needs no download."""

    def met_again(self, origin: Origin) -> None:
        """Note a place that this run has just visited."""


class CandidateFeed(Protocol):
    """Candidates in the order of a list or a site, some of which may not be there yet."""

    def poll(self, wanted: float) -> Candidate | None:
        """Return the next one; None where it is not there yet, or never will be.

        `wanted` is how many there are to be.
        """

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""

    @property
    def busy(self) -> bool:
        """Whether more may come without another `poll`."""


class IterableFeed:
    """The candidates of an iterable: the next one is always there."""

    busy = False

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._candidates = iter(candidates)
        self.ended = False

    def poll(self, _: float) -> Candidate | None:
        """Return the next candidate."""
        candidate = next(self._candidates, None)
        self.ended = candidate is None
        return candidate


class CandidateQueue:
    """The candidates still worth a download, no more of them than are still missing.

    Known candidates count before anything behind them is begun, so that a run that is taken up
    again ends with the same images as one that was never stopped. For the same reason one
    that failed before is tried again only when the known ones are not enough.

    `images` are the distinct images met so far, `limit` how many there may be.
    """

    def __init__(
        self, feed: CandidateFeed, places: KnownPlaces, images: set[str], limit: int | None
    ) -> None:
        self._feed = feed
        self._places = places
        self._images = images
        self.limit = limit
        self._failed: list[Candidate] = []
        self._ready: deque[Candidate] = deque()
        # By the place of what is ready or under way: what names the same place and waits for it.
        self._copies: dict[tuple[str, str], list[Candidate]] = {}
        self._waiting = 0
        self._exhausted = False
        self._pending = 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left, whatever the limit, and nothing is under way."""
        return self._exhausted and not self._ready and not self._pending

    @property
    def asking(self) -> bool:
        """Whether the feed may have more without another candidate being settled."""
        return self._feed.busy

    def take(self) -> Candidate | None:
        """Return the next candidate that is needed, should all those under way succeed.

        Where more images than are wanted were not asked for, because their hosts refuse, the
        search is left.
        """
        if self.limit is not None and self._places.tally["not_asked"] > self.limit:
            self._exhausted = True
        while (missing := self._missing()) > 0 and not self._ready and not self._full:
            candidate = self._feed.poll(missing)
            if candidate is not None:
                self._sort(candidate)
            elif self._feed.ended:
                self._exhausted = True
                self._make_ready()
            else:
                return None
        if missing <= 0 or not self._ready:
            return None
        self._pending += 1
        return self._ready.popleft()

    def settled(self, candidate: Candidate) -> None:
        """Note that what became of one candidate is recorded, and so of its place."""
        self._pending -= 1
        copies = self._copies.pop(_place(candidate))
        self._waiting -= len(copies)
        for copy in copies:
            self._places.met_again(copy.origin)

    @property
    def _full(self) -> bool:
        return self._exhausted or self._waiting >= MOST_PENDING

    def _missing(self) -> float:
        # In their order: a known one behind those that are under way waits as well.
        return math.inf if self.limit is None else self.limit - len(self._images) - self._pending

    def _sort(self, candidate: Candidate) -> None:
        seen = self._places.seen(candidate.origin)
        if seen is Seen.AGAIN and self.limit is not None:
            self._failed.append(candidate)
        elif seen is not Seen.KNOWN:
            self._make_ready(candidate)

    def _make_ready(self, *new: Candidate) -> None:
        for candidate in (*self._failed, *new):
            if (copies := self._copies.get(_place(candidate))) is not None:
                copies.append(candidate)
                self._waiting += 1
            else:
                self._copies[_place(candidate)] = []
                self._ready.append(candidate)
        self._failed.clear()


def _place(candidate: Candidate) -> tuple[str, str]:
    return candidate.origin.source, candidate.origin.key


class Downloader:
    """Downloads candidates into a dataset with some requests under way at a time."""

    def __init__(
        self,
        dataset: Dataset,
        client: Client,
        scratch: Path,
        run: DownloadRun,
    ) -> None:
        self.client = client
        self._dataset = dataset
        self._progress = run.progress or Progress()
        self._store = dataset.originals(scratch)
        process = StageBytes(self._store)
        self._scheduler = Scheduler(client, process, dataset.settings.net.threads)
        self._targets = RedirectTargets()

    def importer(self, stage: str, images: set[str] | None = None) -> Importer:
        """Return what records the downloads of one stage; it notes the images met in `images`."""
        return Importer(self._dataset, stage, self._store, images, targets=self._targets)

    def wake(self) -> None:
        """Let `run` look at its queue again; for threads that add to it."""
        self._scheduler.wake()

    def run(
        self,
        queue: JobQueue,
        record: Callable[[DownloadOutcome], object],
        what: str,
        total: int | None = None,
        note: Callable[[], str] = lambda: "",
    ) -> None:
        """Download what the queue gives; what is ready together is recorded in one transaction.

        `what`, `total` and `note` are shown with the progress.
        """
        with closing(self._scheduler.run(queue)) as batches:
            for batch in self._progress.batches(batches, what, total, note=note):
                with self._dataset.publishing(self._store):
                    for outcome in batch:
                        record(outcome)
