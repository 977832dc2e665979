"""Lists of URLs, each row of which is downloaded; and `harvest retry` of what failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.records import Candidate, Origin
from harvest.candidates import CandidateQueue
from harvest.downloads import Downloader, DownloadRun
from harvest.gallery_dl import is_gallery_dl, read_gallery_dl
from harvest.http import Client
from harvest.http.robots import PAGE_SAYS
from harvest.http.scheduler import IterableQueue
from harvest.importer import combined
from harvest.keyword import STAGE as SEARCHED
from harvest.lists import PLAIN, Columns, check_file_exists, check_list, read_rows

STAGE = "harvest-urls"


def harvest_urls(
    dataset: Dataset,
    files: Iterable[Path],
    run: DownloadRun,
    *,
    label: str | None = None,
    columns: Columns = PLAIN,
    limit: int | None = None,
) -> dict[str, object]:
    """Download every URL of some lists; return the counts of what happened.

    `limit` is the number of distinct images to stop at. Raises `InputUnusable` for a list that is
    not there.
    """
    lists = list(files)
    for file in lists:
        check(file, columns)
    images: set[str] = set()
    with dataset.stage(STAGE) as scratch, run.open_client() as client:
        downloader = Downloader(dataset, client, scratch, run)
        # Without a limit the images are not asked for, and a list may be long.
        importer = downloader.importer(STAGE, None if limit is None else images)
        candidates = (c for file in lists for c in read_list(file, label, columns))
        new = importer.prefetch_states(candidates, "urls")
        queue = CandidateQueue(new, importer, images, limit)
        downloader.run(queue, importer.record_download, "images", limit)
        importer.finish()
    return importer.result()


def check(file: Path, columns: Columns = PLAIN) -> None:
    """Look at the beginning of a list; raises as `check_list`."""
    if not is_gallery_dl(file):
        check_list(file, columns)
    elif columns != PLAIN:
        raise UsageError(
            f"{file} is a list of gallery-dl, which has no columns", "leave --column out"
        )
    else:
        check_file_exists(file)


def read_list(
    file: Path, label: str | None = None, columns: Columns = PLAIN
) -> Iterator[Candidate]:
    """Yield the candidates of a list, read lazily; `label` is the hint of those without one.

    Raises as `check`.
    """
    if is_gallery_dl(file):
        yield from read_gallery_dl(file, label)
        return
    for row in read_rows(file, columns):
        origin = Origin(
            "urls",
            row.url,
            url=row.url,
            page_url=row.page,
            hint=row.label or label,
            author=row.author,
            licence=row.licence,
            title=row.caption,
        )
        yield Candidate(row.url, origin)


# What a person has thrown away stays away.
_FINAL = "forgotten"


def retry(dataset: Dataset, run: DownloadRun, reason: str | None = None) -> dict[str, object]:
    """Try every failed download again, or those that failed for `reason`; return the counts.

    What succeeds loses its rejection; what fails again keeps its new reason.
    """
    with run.open_client() as client:
        results = [_retry_stage(dataset, client, stage, reason, run) for stage in (STAGE, SEARCHED)]
    counts = combined(*results)
    counts.pop("known")
    if not any(counts.values()):
        counts["nothing_to_retry"] = True
    return counts


def _retry_stage(
    dataset: Dataset, client: Client, stage: str, reason: str | None, run: DownloadRun
) -> dict[str, object]:
    with dataset.stage(stage) as scratch:
        downloader = Downloader(dataset, client, scratch, run)
        importer = downloader.importer(stage)
        queue = IterableQueue(_candidates(dataset, stage, reason, client))
        downloader.run(queue, importer.record_download, f"retry {stage}")
        importer.finish()
    return importer.result()


def _candidates(
    dataset: Dataset, stage: str, reason: str | None, client: Client
) -> Iterator[Candidate]:
    for failed in dataset.fetches.failed():
        wanted = failed.stage == stage and reason in (None, failed.reason)
        # What a page said of its images still holds; the page is not asked again.
        _, page_says, word = failed.reason.partition(PAGE_SAYS)
        opted_out = page_says and client.heeds(word)
        if wanted and failed.candidate and failed.reason != _FINAL and not opted_out:
            yield msgspec.convert(json.loads(failed.candidate), Candidate)
