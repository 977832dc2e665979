"""Lists of URLs, and the loop that downloads candidates of any source."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.files.store import Store
from gleanset.images.staging import StageBytes
from gleanset.records import Candidate, Measured, Origin
from gleanset.work.pool import Outcome, Threads
from gleanset.work.progress import Progress
from harvest.http import Client
from harvest.http.supply import Fed
from harvest.http.turns import in_turns
from harvest.importer import Importer, Seen

STAGE = "harvest-urls"


class Download:
    """Download one candidate, measure and stage it; runs in a thread."""

    def __init__(self, client: Client, keep: StageBytes) -> None:
        self.client = client
        self._keep = keep

    @property
    def store(self) -> Store:
        """Where the pictures are staged."""
        return self._keep.store

    def __call__(self, candidate: Candidate) -> Measured:
        """Raises `Unreadable` with what was wrong."""
        return self._keep(self.client.download(candidate.url, referer=candidate.referer).data)

    def stop(self) -> None:
        """Cut off all downloads under way."""
        self.client.close()


class Wanted:
    """The candidates still worth a download, no more of them than are still missing.

    Known candidates count before anything new is begun, so that a run that is taken up
    again ends with the same images as one that was never stopped. For the same reason one
    that failed before is tried again only when the known ones are not enough.

    `images` are the distinct images met so far, `limit` how many there may be.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        intake: Importer,
        images: set[str],
        limit: int | None,
    ) -> None:
        self._candidates = iter(candidates)
        self._intake = intake
        self._images = images
        self.limit = limit
        self._failed: list[Candidate] = []
        self._ready: deque[Candidate] = deque()
        self._exhausted = False

    @property
    def ended(self) -> bool:
        """Whether there is no candidate left, whatever the limit."""
        return self._exhausted and not self._ready

    def __iter__(self) -> Iterator[Candidate]:
        while self._look():
            yield self._ready.popleft()

    def may_start(self, in_flight: int) -> bool:
        """Whether one more download is needed, should all those in flight succeed."""
        if self.limit is None:
            return True
        self._look()
        return len(self._images) + in_flight < self.limit

    def _look(self) -> bool:
        """Whether there is a candidate to begin with."""
        while not self._full() and not self._ready and not self._exhausted:
            candidate = next(self._candidates, None)
            if candidate is None:
                self._exhausted = True
                self._make_ready()
            else:
                self._sort(candidate)
        return bool(self._ready) and not self._full()

    def _sort(self, candidate: Candidate) -> None:
        seen = self._intake.seen(candidate.origin)
        if seen is Seen.AGAIN and self.limit is not None:
            self._failed.append(candidate)
        elif seen is not Seen.KNOWN:
            self._make_ready(candidate)

    def _make_ready(self, *new: Candidate) -> None:
        self._ready.extend((*self._failed, *new))
        self._failed.clear()

    def _full(self) -> bool:
        return self.limit is not None and len(self._images) >= self.limit


def fetch_wanted(
    wanted: Wanted,
    intake: Importer,
    download: Download,
    *,
    threads: int,
    progress: Progress | None = None,
    what: str = "images",
    total: int | None = None,
) -> None:
    """Download what is wanted and take it in."""
    workers = Threads(threads, stop=download.stop)
    batches = in_turns(download, Fed(wanted, wanted.may_start), workers, download.client)
    take_batches(batches, intake, progress or Progress(), what, total)


def take_batches(
    batches: Iterable[list[Outcome[Candidate, Measured]]],
    intake: Importer,
    progress: Progress,
    what: str,
    total: int | None = None,
) -> None:
    """Take in downloads as they come: what is ready together in one transaction."""
    for batch in progress.batches(batches, what, total):
        with intake.together():
            for outcome in batch:
                told = None if outcome.result else written(outcome.item)
                intake.take(outcome.item.origin, outcome, candidate=told)


def written(candidate: Candidate) -> str:
    """A candidate as one line of plain ASCII, for `read_back`."""
    return json.dumps(asdict(candidate))


def read_back(text: str) -> Candidate:
    """The candidate that was written so."""
    told = json.loads(text)
    origin = told["origin"]
    origin["tags"] = tuple(origin["tags"])
    return Candidate(**{**told, "origin": Origin(**origin)})


def harvest_urls(
    dataset: Dataset,
    files: Iterable[Path],
    open_client: Callable[[], Client],
    *,
    label: str | None = None,
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Download every URL of some lists; the counts of what happened."""
    lists = [checked_list(file) for file in files]
    images: set[str] = set()
    with dataset.stage(STAGE) as scratch, open_client() as client:
        store = dataset.originals(scratch)
        # Without a limit nobody asks for the images, and a list may be long.
        intake = Importer(dataset, STAGE, store, None if limit is None else images)
        download = Download(client, StageBytes(store))
        candidates = (c for file in lists for c in read_list(file, label))
        fetch_wanted(
            Wanted(candidates, intake, images, limit),
            intake,
            download,
            threads=threads or dataset.settings.net.threads,
            progress=progress,
            total=limit,
        )
        intake.finish()
    return intake.result()


def checked_list(file: Path) -> Path:
    """The file itself. Raises `InputUnusable` where there is none."""
    if not file.is_file():
        raise InputUnusable(f"there is no file {file}", "check its name")
    return file


def read_list(file: Path, label: str | None) -> Iterator[Candidate]:
    """One URL a line, read lazily; a tab and a hint may follow; `#` begins a comment.

    Raises `InputUnusable` for a file that may not be read.
    """
    for url, hint in read_lines(file, label):
        yield Candidate(url, Origin("urls", url, url=url, hint=hint))


def read_lines(file: Path, label: str | None) -> Iterator[tuple[str, str | None]]:
    """What stands on each line, with the label after its tab or else `label`."""
    try:
        # Some Windows programs begin a file with a mark; `utf-8-sig` reads over it.
        opened = file.open(encoding="utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "chmod u+r it") from error
    with opened as lines:
        for line in lines:
            text, _, hint = line.strip().partition("\t")
            if text and not text.startswith("#"):
                yield text.strip(), hint.strip() or label
