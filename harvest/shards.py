"""Lists of URLs straight into shards: downloaded, checked, measured and written as they come.

No dataset is needed. What passes is what passes into one; the same bytes are written once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.images.staging import StageBytes, measured
from gleanset.platform import interrupts_put_off
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from gleanset.work.progress import Progress
from harvest.downloads import DownloadRun
from harvest.http.scheduler import Scheduler
from harvest.importer import Importer
from harvest.lists import Columns
from harvest.shard_folder import MeasuredBytes, ShardFolder, ShardOptions
from harvest.urls import STAGE, read_list

Kept = Outcome[Candidate, MeasuredBytes]


@dataclass(frozen=True, slots=True)
class RowsOfLists:
    """The rows of some lists one after the other, numbered from 1 on."""

    files: tuple[Path, ...]
    label: str | None
    columns: Columns

    def __iter__(self) -> Iterator[tuple[int, Candidate]]:
        candidates = (c for file in self.files for c in read_list(file, self.label, self.columns))
        return enumerate(candidates, start=1)

    def digest(self) -> str:
        """Return what is equal where a number means the same row."""
        whole = hashlib.sha256(json.dumps([self.label, dict(self.columns)]).encode())
        for path in self.files:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()


class RowQueue:
    """The rows that no shard has yet; an address that is under way is not asked for twice.

    `pictures` are those that shards have, `limit` how many there may be.
    """

    asking = False

    def __init__(
        self, rows: Iterator[tuple[int, Candidate]], pictures: Set[bytes], limit: int | None
    ) -> None:
        self._rows = rows
        self._pictures = pictures
        self._limit = math.inf if limit is None else limit
        self._under_way: dict[str, list[int]] = {}

    def take(self) -> Candidate | None:
        """Return the next candidate that is needed, should all those under way succeed."""
        while self._limit > len(self._pictures) + len(self._under_way):
            number, candidate = next(self._rows, (0, None))
            if candidate is None:
                break
            if (numbers := self._under_way.get(candidate.url)) is None:
                self._under_way[candidate.url] = [number]
                return candidate
            numbers.append(number)
        return None

    def rows_of(self, candidate: Candidate) -> list[int]:
        """Return in which rows the address of one under way was met."""
        return self._under_way[candidate.url]

    def settled(self, candidate: Candidate) -> None:
        """Note that what became of it is recorded."""
        del self._under_way[candidate.url]


@dataclass(frozen=True, slots=True)
class _KeepBytes:
    """What a thread does with what it downloaded."""

    measure: Callable[[bytes], Measured]

    def __call__(self, data: bytes) -> MeasuredBytes:
        return MeasuredBytes(self.measure(data), data)


@contextmanager
def _catalogued(dataset: Dataset) -> Iterator[tuple[_KeepBytes, Callable[[list[Kept]], None]]]:
    """What measures pictures, and what takes some of them into a dataset as well."""
    with dataset.stage(STAGE) as scratch:
        store = dataset.originals(scratch)
        importer = Importer(dataset, STAGE, store)

        def take(batch: list[Kept]) -> None:
            with dataset.publishing(store):
                for outcome in batch:
                    result = outcome.result
                    picture = None if result is None else result.measured
                    importer.take_download(
                        Outcome(outcome.item, picture, outcome.reason, outcome.detail)
                    )

        yield _KeepBytes(StageBytes(store)), take
        importer.finish()


def harvest_to_shards(
    rows: RowsOfLists,
    options: ShardOptions,
    run: DownloadRun,
    requests: int,
    into: Dataset | None = None,
) -> dict[str, object]:
    """Download the rows that no shard has yet, so many requests at a time; return the counts.

    What was written of an open shard counts also where the run is stopped. `into` is a dataset
    that takes the same pictures in. Raises `InputUnusable`, `DatasetBusy`, `DiskFull`.
    """
    with ExitStack() as stack:
        shards = stack.enter_context(ShardFolder.opened(options, rows.digest()))
        process, take = _KeepBytes(measured), None
        if into is not None:
            process, take = stack.enter_context(_catalogued(into))
        client = stack.enter_context(run.open_client())
        queue = RowQueue(shards.missing(iter(rows)), shards.pictures, options.limit)
        scheduler: Scheduler[MeasuredBytes] = Scheduler(client, process, requests)
        batches = stack.enter_context(closing(scheduler.run(queue)))
        for batch in (run.progress or Progress()).batches(
            batches, "images", options.limit, note=shards.note
        ):
            if take is not None:
                take(batch)
            for outcome in batch:
                with interrupts_put_off():
                    shards.take(outcome, queue.rows_of(outcome.item))
    return shards.result()
