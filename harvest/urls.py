"""Lists of URLs, and the loop that downloads candidates of any source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Candidate, Measured, Origin
from gleanset.work.pool import Threads, run_over
from gleanset.work.progress import Progress
from harvest.http import Client
from harvest.intake import Intake, KeepBytes

STAGE = "harvest-urls"


class Download:
    """Download one candidate, measure and store it; runs in a thread."""

    def __init__(self, client: Client, keep: KeepBytes) -> None:
        self._client = client
        self._keep = keep

    def __call__(self, candidate: Candidate) -> Measured:
        """Raises `Unreadable` with what was wrong."""
        return self._keep(self._client.download(candidate.url, referer=candidate.referer).data)

    def stop(self) -> None:
        """Cut off all downloads under way."""
        self._client.close()


class Wanted:
    """The candidates still worth a download, no more of them than are still missing.

    Known candidates count before anything new is begun, so that a run that is taken up
    again ends with the same images as one that was never stopped.
    """

    def __init__(self, candidates: Iterable[Candidate], intake: Intake, limit: int | None) -> None:
        self._candidates = iter(candidates)
        self._intake = intake
        self._limit = limit
        self._head: Candidate | None = None

    def __iter__(self) -> Iterator[Candidate]:
        while (candidate := self._next_new()) is not None:
            self._head = None
            yield candidate

    def may_start(self, in_flight: int) -> bool:
        """Whether one more download is needed, should all those in flight succeed."""
        if self._limit is None:
            return True
        self._next_new()
        return len(self._intake.images) + in_flight < self._limit

    def _next_new(self) -> Candidate | None:
        while self._head is None and not self._full():
            candidate = next(self._candidates, None)
            if candidate is None:
                return None
            if not self._intake.knows(candidate.origin):
                self._head = candidate
        return self._head

    def _full(self) -> bool:
        return self._limit is not None and len(self._intake.images) >= self._limit


def fetch_candidates(
    candidates: Iterable[Candidate], intake: Intake, download: Download, *, threads: int,
    limit: int | None = None, progress: Progress | None = None, what: str = "images",
) -> None:  # fmt: skip
    """Download candidates until `limit` distinct images are there, known ones counted."""
    wanted = Wanted(candidates, intake, limit)
    workers = Threads(threads, stop=download.stop)
    outcomes = run_over(download, wanted, workers, may_start=wanted.may_start)
    for outcome in (progress or Progress()).over(outcomes, what, total=limit):
        intake.take(outcome.item.origin, outcome)


def harvest_urls(
    dataset: Dataset, files: Iterable[Path], open_client: Callable[[], Client], *,
    label: str | None = None, limit: int | None = None, threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Download every URL of some lists; the counts of what happened."""
    lists = [_checked(file) for file in files]
    with dataset.stage(STAGE) as scratch, open_client() as client:
        intake = Intake(dataset, STAGE, remember=limit is not None)
        download = Download(client, KeepBytes(dataset.originals(scratch)))
        candidates = (c for file in lists for c in read_list(file, label))
        fetch_candidates(
            candidates, intake, download, threads=threads or dataset.settings.net.threads,
            limit=limit, progress=progress,
        )  # fmt: skip
    return intake.result()


def _checked(file: Path) -> Path:
    if not file.is_file():
        raise InputUnusable(f"there is no file {file}", "check its name")
    return file


def read_list(file: Path, label: str | None) -> Iterator[Candidate]:
    """One URL a line, read lazily; a tab and a hint may follow; `#` begins a comment.

    Raises `InputUnusable` for a file that may not be read.
    """
    try:
        # Some Windows programs begin a file with a mark; `utf-8-sig` reads over it.
        opened = file.open(encoding="utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "chmod u+r it") from error
    with opened as lines:
        for line in lines:
            url, _, hint = line.strip().partition("\t")
            if url and not url.startswith("#"):
                origin = Origin("urls", url, url=url, hint=hint.strip() or label)
                yield Candidate(url, origin)
