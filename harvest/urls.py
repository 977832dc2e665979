"""Lists of URLs to download, and `harvest retry` for failed downloads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gleanset import Dataset
from gleanset.records import Candidate
from harvest.candidates import CandidateQueue
from harvest.downloads import DownloadRun
from harvest.http.scheduler import JobQueue
from harvest.importer import merge_counts
from harvest.keyword import STAGE as KEYWORD_STAGE
from harvest.lists import DEFAULT_COLUMNS, Columns, check_list, read_list

STAGE = "harvest-urls"
# Images that a person removed stay away.
_REMOVED = "forgotten"


def harvest_urls(
    dataset: Dataset,
    files: Iterable[Path],
    run: DownloadRun,
    *,
    label: str | None = None,
    columns: Columns = DEFAULT_COLUMNS,
    limit: int | None = None,
) -> dict[str, object]:
    """Download every URL of some lists; return the counts.

    Stops at `limit` distinct images. Raises `InputUnusable` for a list that does not exist.
    """
    lists = list(files)
    for file in lists:
        check_list(file, columns)
    images: set[str] = set()
    with run.open(dataset, STAGE) as downloader:
        # Without a limit the hashes are not needed, and a list may be long.
        importer = downloader.importer(*(() if limit is None else (images,)))
        candidates = (c for file in lists for c in read_list(file, label, columns))
        queue = CandidateQueue(candidates, importer, images, limit)
        goal = None if limit is None else (limit, images)
        downloader.run(queue, importer.record_download, "images", goal)
        importer.finish()
    return importer.result()


def retry(dataset: Dataset, run: DownloadRun, reason: str | None = None) -> dict[str, object]:
    """Retry every failed download, or those that failed for `reason`; return the counts.

    What succeeds loses its rejection; what fails again keeps its new reason.
    """
    results = []
    for stage in (STAGE, KEYWORD_STAGE):
        with run.open(dataset, stage) as downloader:
            importer = downloader.importer()
            queue = JobQueue(_failed_candidates(dataset, stage, reason))
            downloader.run(queue, importer.record_download, f"retry {stage}")
            importer.finish()
        results.append(importer.result())
    counts = merge_counts(*results)
    counts.pop("known")
    if not any(counts.values()):
        counts["nothing_to_retry"] = True
    return counts


def _failed_candidates(dataset: Dataset, stage: str, reason: str | None) -> Iterator[Candidate]:
    for failed in dataset.fetches.iter_failed():
        is_selected = failed.stage == stage and reason in (None, failed.reason)
        if is_selected and failed.candidate and failed.reason != _REMOVED:
            yield msgspec.convert(json.loads(failed.candidate), Candidate)
